/*
 * Steps 6 to 9: what a process says about contexts, from bytes.
 */

#include "thoxd/message.h"

#include <errno.h>
#include <limits.h>

#include "base/util.h"

static const char *const notice_name[] = {
	[NOTICE_READY] = "ready",
	[NOTICE_ALIVE] = "alive",
	[NOTICE_SERVING] = "serving",
	[NOTICE_LEFT] = "left",
};

static uint64_t read_number(struct mp_reader *r)
{
	uint64_t number = mp_read_uint(r);

	if (number == 0)
		r->bad = true;
	return number;
}

static uint64_t read_pid(struct mp_reader *r)
{
	uint64_t pid = read_number(r);

	if (pid > INT_MAX)
		r->bad = true;
	return pid;
}

static bool read_end(struct mp_reader *r)
{
	struct mp_bytes end = mp_read_str(r);
	bool writer = mp_bytes_equal(end, "writer");

	if (!writer && !mp_bytes_equal(end, "reader"))
		r->bad = true;
	return writer;
}

static void parse_notice(struct mp_reader *r, unsigned items,
			 struct principal_message *m)
{
	struct mp_bytes what = mp_read_str(r);
	bool known = false;

	for (unsigned i = 0; i < ARRAY_SIZE(notice_name); i++) {
		if (!mp_bytes_equal(what, notice_name[i]))
			continue;
		m->notice = (enum notice)i;
		known = true;
	}
	if (!known)
		r->bad = true;
	if (items < 3)
		return;
	if (mp_peek(r) == MP_NIL)
		mp_read_nil(r);
	else
		m->text = mp_read_str(r);
	if (m->text.size > NOTICE_TEXT_BYTES)
		r->bad = true;
}

static void parse_share(struct mp_reader *r, struct principal_message *m)
{
	struct stream_wish *file = &m->file;

	for (uint32_t n = mp_read_map(r); n > 0 && !r->bad; n--) {
		struct mp_bytes key = mp_read_str(r);

		if (mp_bytes_equal(key, "joined"))
			m->joined = mp_read_bool(r);
		else if (mp_bytes_equal(key, "inode"))
			file->inode = read_number(r);
		else if (mp_bytes_equal(key, "limit_bytes"))
			file->limit_bytes = mp_read_uint(r);
		else if (mp_bytes_equal(key, "write"))
			file->write = mp_read_bool(r);
		else
			mp_skip(r);
	}
}

int principal_message_parse(const void *data, size_t size, unsigned n_fds,
			    struct principal_message *ret)
{
	struct principal_message m = { 0 };
	unsigned items, wanted = 0;
	struct mp_reader r;

	mp_reader_init(&r, data, size);
	items = mp_read_array(&r);
	m.kind = (unsigned)mp_read_uint(&r);
	switch (m.kind) {
	case CONTROL_WANT_ZERO:
		wanted = 1;
		break;
	case CONTROL_SHARE_OWN:
		wanted = items == 5 ? 5 : 4;
		m.id = mp_read_uint(&r);
		m.context = read_number(&r);
		m.to = read_number(&r);
		if (items == 5)
			parse_share(&r, &m);
		break;
	case CONTROL_SHARE_HELD:
		wanted = 4;
		m.id = mp_read_uint(&r);
		m.link = read_number(&r);
		m.to = read_number(&r);
		break;
	case CONTROL_REVOKE:
		wanted = 4;
		m.id = mp_read_uint(&r);
		m.context = read_number(&r);
		m.pid = read_pid(&r);
		break;
	case CONTROL_LINK_CLOSED:
		wanted = 2;
		m.link = read_number(&r);
		break;
	case CONTROL_CONTEXT_CLOSED:
		wanted = 2;
		m.context = read_number(&r);
		break;
	case CONTROL_WANT_PIPE:
		wanted = 2;
		m.id = mp_read_uint(&r);
		break;
	case CONTROL_PIPE_CLOSED:
		wanted = 3;
		m.pipe = read_number(&r);
		m.writer = read_end(&r);
		break;
	case CONTROL_USE:
		wanted = 5;
		m.id = mp_read_uint(&r);
		m.use.calls = mp_read_uint(&r);
		m.use.waiting = mp_read_uint(&r);
		m.use.idle_ms = mp_read_uint(&r);
		break;
	case CONTROL_NOTIFY:
		wanted = items == 2 ? 2 : 3;
		parse_notice(&r, items, &m);
		break;
	}
	/* a principal has nothing to hand to anybody */
	if (wanted == 0 || items != wanted || n_fds > 0 || mp_end(&r) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}
