/* Step 6, in a native process: what thoxd says becomes a structure. */

#include "native/message.h"

#include <errno.h>
#include <limits.h>

#include "rpc/control.h"
#include "rpc/pattern.h"
#include "rpc/status.h"
#include "rpc/wire.h"

static struct mp_bytes read_text(struct mp_reader *r, size_t max)
{
	struct mp_bytes text = mp_read_str(r);

	if (text.size > max)
		r->bad = true;
	return text;
}

static pid_t read_pid(struct mp_reader *r)
{
	uint64_t pid = mp_read_uint(r);

	if (pid > INT_MAX)
		r->bad = true;
	return r->bad ? 0 : (pid_t)pid;
}

static int read_status(struct mp_reader *r)
{
	uint64_t status = mp_read_uint(r);

	if (status > STATUS_TOO_LARGE)
		r->bad = true;
	return (int)status;
}

static void read_patterns(struct mp_reader *r)
{
	uint32_t n = mp_read_array(r);

	while (n-- > 0 && !r->bad) {
		struct mp_bytes pattern = mp_read_str(r);

		if (!pattern_check(pattern.p, pattern.size))
			r->bad = true;
	}
}

/* [[allow, deny], …], as its bytes. */
static struct mp_bytes read_grants(struct mp_reader *r)
{
	const uint8_t *start = r->p;
	uint32_t n = mp_read_array(r);

	while (n-- > 0 && !r->bad) {
		if (mp_read_array(r) != 2)
			r->bad = true;
		read_patterns(r);
		read_patterns(r);
	}
	if (r->bad)
		return (struct mp_bytes){ "", 0 };
	return (struct mp_bytes){ (const char *)start, (size_t)(r->p - start) };
}

static bool admits(struct mp_reader *r, struct mp_bytes name)
{
	bool admitted = false;
	uint32_t n = mp_read_array(r);

	while (n-- > 0 && !r->bad) {
		struct mp_bytes pattern = mp_read_str(r);

		if (pattern_match(pattern.p, pattern.size, name.p, name.size))
			admitted = true;
	}
	return admitted;
}

bool native_grants_admit(struct mp_bytes grants, struct mp_bytes name)
{
	struct mp_reader r;
	uint32_t n;

	if (grants.size == 0)
		return true;
	mp_reader_init(&r, grants.p, grants.size);
	n = mp_read_array(&r);
	while (n-- > 0) {
		bool allowed, denied;

		mp_read_array(&r);
		allowed = admits(&r, name);
		denied = admits(&r, name);
		if (!allowed || denied || r.bad)
			return false;
	}
	return true;
}

static void opened_field(struct mp_reader *r, struct mp_bytes key,
			 struct native_control *m)
{
	if (mp_bytes_equal(key, "context")) {
		m->context = mp_read_uint(r);
	} else if (mp_bytes_equal(key, "name")) {
		m->name = read_text(r, WIRE_NAME_BYTES);
		m->has_name = true;
	} else if (mp_bytes_equal(key, "pid")) {
		m->pid = read_pid(r);
	} else if (mp_bytes_equal(key, "answers")) {
		m->id = mp_read_uint(r);
		m->answers = true;
	} else if (mp_bytes_equal(key, "program")) {
		m->program = mp_read_str(r);
	} else if (mp_bytes_equal(key, "service")) {
		m->service = mp_read_str(r);
	} else if (mp_bytes_equal(key, "storage")) {
		m->storage = mp_read_str(r);
	} else if (mp_bytes_equal(key, "storage_bytes")) {
		m->storage_bytes = mp_read_uint(r);
	} else if (mp_bytes_equal(key, "storage_since")) {
		m->storage_since = mp_read_uint(r);
	} else if (mp_bytes_equal(key, "grants")) {
		m->grants = read_grants(r);
	} else {
		mp_skip(r);
	}
}

static void hold_field(struct mp_reader *r, struct mp_bytes key,
		       struct native_control *m)
{
	if (mp_bytes_equal(key, "zero"))
		m->zero = mp_read_bool(r);
	else if (mp_bytes_equal(key, "resolves"))
		m->resolves = mp_read_bool(r);
	else if (mp_bytes_equal(key, "pid"))
		m->pid = read_pid(r);
	else if (mp_bytes_equal(key, "over"))
		m->over = mp_read_uint(r);
	else
		mp_skip(r);
}

static void read_link(struct mp_reader *r, struct native_control *m)
{
	uint32_t n;

	m->link = mp_read_uint(r);
	if (m->link == 0)
		r->bad = true;
	n = mp_read_map(r);
	while (n-- > 0 && !r->bad) {
		struct mp_bytes key = mp_read_str(r);

		if (m->kind == CONTROL_OPENED)
			opened_field(r, key, m);
		else
			hold_field(r, key, m);
	}
}

static void read_result(struct mp_reader *r, struct native_control *m)
{
	m->id = mp_read_uint(r);
	m->status = read_status(r);
	if (m->status != STATUS_OK)
		m->message = mp_read_str(r);
	else if (m->kind == CONTROL_SHARED)
		m->link = mp_read_uint(r);
	else if (m->kind == CONTROL_REVOKED && mp_peek(r) == MP_ARRAY)
		m->links = mp_read_raw(r);
	else
		mp_skip(r);
}

static void read_name(struct mp_reader *r, struct native_control *m)
{
	m->name = read_text(r, WIRE_NAME_BYTES);
	m->has_name = true;
}

/* What came with it, besides the message: a descriptor or none. */
static unsigned wants_fds(const struct native_control *m)
{
	switch (m->kind) {
	case CONTROL_OPENED:
	case CONTROL_HOLD:
		return 1;
	case CONTROL_TRACE:
		return m->on;
	}
	return 0;
}

int native_control_parse(const void *data, size_t size, unsigned n_fds,
			 struct native_control *ret)
{
	struct native_control m = { 0 };
	struct mp_reader r;
	uint32_t items;

	mp_reader_init(&r, data, size);
	items = mp_read_array(&r);
	m.kind = (unsigned)mp_read_uint(&r);
	switch (m.kind) {
	case CONTROL_HELLO: /* of a connection that was greeted */
		while (items-- > 1)
			mp_skip(&r);
		break;
	case CONTROL_OPENED:
	case CONTROL_HOLD:
		read_link(&r, &m);
		break;
	case CONTROL_REPLY:
	case CONTROL_SHARED:
	case CONTROL_REVOKED:
		read_result(&r, &m);
		break;
	case CONTROL_AGAIN:
		m.id = mp_read_uint(&r);
		break;
	case CONTROL_FORGET:
	case CONTROL_MOVE:
		read_name(&r, &m);
		break;
	case CONTROL_EVENT:
		read_name(&r, &m);
		for (; items > 2; items--)
			mp_skip(&r);
		break;
	case CONTROL_TRACE:
		m.on = mp_read_bool(&r);
		if (items > 2 && mp_peek(&r) == MP_NIL)
			mp_read_nil(&r);
		else if (items > 2)
			read_name(&r, &m);
		break;
	case CONTROL_REFUSED:
		m.status = read_status(&r);
		m.message = mp_read_str(&r);
		for (; items > 3; items--)
			mp_skip(&r);
		break;
	case CONTROL_NOTICE:
		m.message = mp_read_str(&r);
		break;
	default: /* of a newer thoxd: to be passed over */
		for (; items > 1; items--)
			mp_skip(&r);
		n_fds = 0;
	}
	if (mp_end(&r) < 0 || n_fds != wants_fds(&m))
		return -EBADMSG;
	*ret = m;
	return 0;
}
