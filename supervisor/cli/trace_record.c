/* Step 7, in thoxctl: what a traced process has written becomes a record. */

#include "cli/trace_record.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/util.h"
#include "rpc/mp.h"
#include "rpc/status.h"

const char *const trace_what_name[TRACE_WHAT_COUNT] = {
	[TRACE_CALL] = "call", [TRACE_ANSWER] = "answer",
	[TRACE_PUSH] = "push", [TRACE_CANCEL] = "cancel",
	[TRACE_LOST] = "lost",
};

static void read_pid(struct mp_reader *r, struct trace_record *t)
{
	uint64_t pid;

	if (mp_peek(r) == MP_NIL) {
		mp_read_nil(r);
		return;
	}
	pid = mp_read_uint(r);
	if (pid > INT_MAX)
		r->bad = true;
	else
		t->pid = (pid_t)pid;
}

static void read_name(struct mp_reader *r, struct trace_record *t)
{
	struct mp_bytes name = mp_read_str(r);

	if (!wire_check_name(name.p, name.size) ||
	    mp_bytes_copy(name, t->name, sizeof(t->name)) < 0)
		r->bad = true;
}

static void read_fields(struct mp_reader *r, struct trace_record *t)
{
	if (t->what == TRACE_LOST) {
		t->lost = mp_read_uint(r);
		return;
	}
	t->link = mp_read_uint(r);
	if (t->what != TRACE_PUSH)
		t->cid = mp_read_uint(r);
	t->out = mp_read_bool(r);
	switch (t->what) {
	case TRACE_CALL:
	case TRACE_PUSH:
		read_pid(r, t);
		read_name(r, t);
		t->bytes = mp_read_uint(r);
		break;
	case TRACE_ANSWER:
		t->status = mp_read_uint(r);
		t->took_us = mp_read_uint(r);
		t->bytes = mp_read_uint(r);
		break;
	default:
		break;
	}
}

int trace_record_parse(const void *data, size_t size, struct trace_record *ret)
{
	struct trace_record t = { .what = TRACE_WHAT_COUNT };
	struct mp_bytes what;
	struct mp_reader r;

	mp_reader_init(&r, data, size);
	mp_read_array(&r);
	t.time_us = mp_read_uint(&r);
	what = mp_read_str(&r);
	for (int i = 0; i < TRACE_WHAT_COUNT; i++)
		if (mp_bytes_equal(what, trace_what_name[i]))
			t.what = (enum trace_what)i;
	if (r.bad || t.what == TRACE_WHAT_COUNT)
		return -EBADMSG;
	read_fields(&r, &t);
	if (mp_end(&r) < 0)
		return -EBADMSG;
	*ret = t;
	return 0;
}
