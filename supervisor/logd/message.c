/* Step 8, in thox-logd: thoxd's messages. */

#include "logd/message.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/util.h"
#include "rpc/logd.h"

/* One part of a path, of the bytes that names have. */
static bool is_name(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz"
				      "0123456789._+-";

	return name[0] != '.' && strspn(name, allowed) == strlen(name);
}

static void read_name(struct mp_reader *r, char *ret)
{
	if (mp_bytes_copy(mp_read_str(r), ret, LOGD_SERVICE_BYTES + 1) < 0 ||
	    !is_name(ret))
		r->bad = true;
}

static void open_key(struct mp_reader *r, struct mp_bytes key,
		     struct logd_message *m)
{
	if (mp_bytes_equal(key, "service"))
		read_name(r, m->service);
	else if (mp_bytes_equal(key, "instance"))
		read_name(r, m->instance);
	else if (mp_bytes_equal(key, "error"))
		m->error = mp_read_bool(r);
	else if (mp_bytes_equal(key, "keep"))
		m->keep = mp_read_uint(r);
	else if (mp_bytes_equal(key, "rotate_bytes"))
		m->rotate_bytes = mp_read_uint(r);
	else if (mp_bytes_equal(key, "rotate_ms"))
		m->rotate_ms = mp_read_uint(r);
	else if (mp_bytes_equal(key, "rate_bytes"))
		m->rate_bytes = mp_read_uint(r);
	else
		mp_skip(r);
}

static void read_open(struct mp_reader *r, struct logd_message *m)
{
	uint32_t n;

	m->stream = mp_read_uint(r);
	m->keep = LOGD_KEEP;
	m->rotate_bytes = LOGD_ROTATE_BYTES;
	n = mp_read_map(r);
	while (n-- > 0 && !r->bad)
		open_key(r, mp_read_str(r), m);
	if (!m->service[0])
		r->bad = true;
}

static void read_pid(struct mp_reader *r, struct logd_message *m)
{
	uint64_t pid;

	m->stream = mp_read_uint(r);
	pid = mp_read_uint(r);
	if (pid == 0 || pid > INT_MAX)
		r->bad = true;
	m->pid = r->bad ? 0 : (pid_t)pid;
}

int logd_message_parse(const void *data, size_t size, unsigned n_fds,
		       struct logd_message *ret)
{
	struct logd_message m = { 0 };
	struct mp_reader r;
	uint32_t items;
	bool ok = false;

	mp_reader_init(&r, data, size);
	items = mp_read_array(&r);
	m.kind = (unsigned)mp_read_uint(&r);
	switch (m.kind) {
	case LOGD_OPEN:
		ok = items == 3;
		read_open(&r, &m);
		break;
	case LOGD_PID:
		ok = items == 3;
		read_pid(&r, &m);
		break;
	case LOGD_SYNC:
		ok = items == 2;
		m.token = mp_read_uint(&r);
		break;
	}
	if (!ok || n_fds != (m.kind == LOGD_OPEN) || mp_end(&r) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}
