/* What goes over a context's link: messages taken apart and put together. */

#include "rpc/wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "rpc/status.h"

#define KINDS_OF_OURS 16 /* unknown ones from here on are ignored */
#define CONTEXT_BYTES 8

/* --- names ------------------------------------------------------------------
 */

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool wire_check_name(const char *name, size_t size)
{
	bool part = false; /* a byte of one came since the last dot */

	if (size > WIRE_NAME_BYTES)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (name[i] == '.' ? !part : !is_name_byte(name[i]))
			return false;
		part = name[i] != '.';
	}
	return part;
}

bool wire_below(struct mp_bytes name, const char *prefix, size_t prefix_size)
{
	if (prefix_size == 0)
		return true;
	return name.size >= prefix_size &&
	       memcmp(name.p, prefix, prefix_size) == 0 &&
	       (name.size == prefix_size || name.p[prefix_size] == '.');
}

/* --- reading ----------------------------------------------------------------
 */

static uint32_t read_cid(struct mp_reader *r)
{
	uint64_t cid = mp_read_uint(r);

	if (cid > UINT32_MAX)
		r->bad = true;
	return (uint32_t)cid;
}

static struct mp_bytes read_name(struct mp_reader *r)
{
	struct mp_bytes name = mp_read_str(r);

	if (!wire_check_name(name.p, name.size))
		r->bad = true;
	return name;
}

/* Each value may be nested as deep as a value may; the array is not one. */
static struct mp_bytes read_args(struct mp_reader *r, uint32_t *ret_n_ext)
{
	const uint8_t *start = r->p;
	uint32_t n = mp_read_array(r);

	while (n-- > 0 && !r->bad)
		mp_skip(r);
	*ret_n_ext = r->n_ext;
	if (r->bad)
		return (struct mp_bytes){ "", 0 };
	return (struct mp_bytes){ (const char *)start, (size_t)(r->p - start) };
}

static struct mp_bytes read_info(struct mp_reader *r)
{
	if (mp_peek(r) != MP_MAP)
		r->bad = true;
	return mp_read_raw(r);
}

static void read_limits(struct mp_reader *r, struct wire_message *m)
{
	uint32_t n = mp_read_map(r);

	while (n-- > 0 && !r->bad) {
		struct mp_bytes key = mp_read_str(r);

		if (mp_bytes_equal(key, "message_bytes"))
			m->message_bytes = mp_read_uint(r);
		else if (mp_bytes_equal(key, "again"))
			m->again = mp_read_uint(r);
		else if (mp_bytes_equal(key, "returns"))
			m->returns = mp_read_bool(r);
		else
			mp_skip(r);
	}
}

/* @n items follow the kind. */
static void read_fields(struct mp_reader *r, uint32_t n, struct wire_message *m)
{
	static const uint8_t least[] = {
		[WIRE_HELLO] = 2,  [WIRE_CALL] = 3,    [WIRE_ANSWER] = 3,
		[WIRE_CANCEL] = 1, [WIRE_PUSH] = 2,    [WIRE_LISTEN] = 2,
		[WIRE_MOVED] = 0,  [WIRE_RESOLVE] = 2, [WIRE_RETURN] = 0,
	};
	uint32_t most =
		least[m->kind] + (m->kind == WIRE_CALL || m->kind == WIRE_PUSH);

	if (n < least[m->kind] || n > most) {
		r->bad = true;
		return;
	}
	switch (m->kind) {
	case WIRE_HELLO:
		if (mp_read_uint(r) != WIRE_VERSION)
			r->bad = true;
		read_limits(r, m);
		break;
	case WIRE_CALL:
		m->cid = read_cid(r);
		m->name = read_name(r);
		m->args = read_args(r, &m->n_ext);
		if (n > 3)
			m->deadline_ms = mp_read_uint(r);
		break;
	case WIRE_ANSWER:
		m->cid = read_cid(r);
		m->status = mp_read_int(r);
		m->args = read_args(r, &m->n_ext);
		if (m->status < STATUS_OK || m->status > STATUS_TOO_LARGE)
			m->status = STATUS_ERROR;
		break;
	case WIRE_CANCEL:
		m->cid = read_cid(r);
		break;
	case WIRE_PUSH:
		m->name = read_name(r);
		m->args = read_args(r, &m->n_ext);
		if (n > 2)
			m->info = read_info(r);
		break;
	case WIRE_LISTEN:
		m->name = read_name(r);
		m->on = mp_read_bool(r);
		break;
	case WIRE_MOVED:
	case WIRE_RETURN:
		break;
	case WIRE_RESOLVE:
		m->cid = read_cid(r);
		m->name = read_name(r);
		break;
	}
}

int wire_parse(const void *data, size_t size, struct wire_message *ret)
{
	struct mp_reader r;
	uint32_t n;

	memset(ret, 0, sizeof(*ret));
	mp_reader_init(&r, data, size);
	n = mp_read_array(&r);
	ret->kind = mp_read_int(&r);
	if (r.bad || n == 0)
		return -EBADMSG;
	if (ret->kind >= KINDS_OF_OURS) {
		while (--n > 0)
			mp_skip(&r);
		return mp_end(&r);
	}
	if (ret->kind < WIRE_HELLO || ret->kind > WIRE_RETURN)
		return -EBADMSG;
	read_fields(&r, n - 1, ret);
	return mp_end(&r);
}

uint64_t wire_read_context(struct mp_reader *r)
{
	struct mp_bytes bytes;
	uint64_t number;
	int8_t type;

	if (mp_peek(r) != MP_EXT) {
		r->bad = true;
		return 0;
	}
	bytes = mp_read_ext(r, &type);
	if (r->bad || type != WIRE_EXT_CONTEXT || bytes.size != CONTEXT_BYTES)
		return 0;
	memcpy(&number, bytes.p, sizeof(number));
	return be64toh(number);
}

/* In one pass: whole arrays and maps are their heads and then their items. */
int wire_find_contexts(struct mp_bytes args, struct wire_context *ret,
		       unsigned max)
{
	struct mp_reader r;
	unsigned n = 0;
	uint64_t number;

	mp_reader_init(&r, args.p, args.size);
	while (r.p < r.end && !r.bad) {
		switch (mp_peek(&r)) {
		case MP_ARRAY:
			mp_read_array(&r);
			continue;
		case MP_MAP:
			mp_read_map(&r);
			continue;
		case MP_EXT:
			break;
		default:
			mp_skip(&r);
			continue;
		}
		number = wire_read_context(&r);
		if (number == 0)
			continue; /* another extension */
		if (n == max)
			return -E2BIG;
		ret[n].number = number;
		ret[n++].offset =
			(size_t)(r.p - (const uint8_t *)args.p) - CONTEXT_BYTES;
	}
	return (int)n;
}

/* --- writing ----------------------------------------------------------------
 */

static void begin(struct mp_writer *w, uint32_t items, int64_t kind)
{
	mp_write_array(w, items);
	mp_write_int(w, kind);
}

void wire_begin_call(struct mp_writer *w, uint32_t cid, const char *name,
		     size_t name_size, uint64_t deadline_ms)
{
	begin(w, deadline_ms ? 5 : 4, WIRE_CALL);
	mp_write_uint(w, cid);
	mp_write_strn(w, name, name_size);
}

void wire_end_call(struct mp_writer *w, uint64_t deadline_ms)
{
	if (deadline_ms)
		mp_write_uint(w, deadline_ms);
}

void wire_begin_answer(struct mp_writer *w, uint32_t cid, int status)
{
	begin(w, 4, WIRE_ANSWER);
	mp_write_uint(w, cid);
	mp_write_int(w, status);
}

void wire_begin_push(struct mp_writer *w, const char *name, size_t name_size,
		     bool with_info)
{
	begin(w, with_info ? 4 : 3, WIRE_PUSH);
	mp_write_strn(w, name, name_size);
}

/* @more: how many keys come after it */
static void begin_hello(struct mp_writer *w, uint64_t message_bytes,
			unsigned more)
{
	begin(w, 3, WIRE_HELLO);
	mp_write_uint(w, WIRE_VERSION);
	mp_write_map(w, 1 + more);
	mp_write_str(w, "message_bytes");
	mp_write_uint(w, message_bytes);
}

void wire_write_hello(struct mp_writer *w, uint64_t message_bytes)
{
	wire_write_hello_again(w, message_bytes, 0);
}

void wire_write_hello_again(struct mp_writer *w, uint64_t message_bytes,
			    uint64_t again)
{
	begin_hello(w, message_bytes, again > 0);
	if (!again)
		return;
	mp_write_str(w, "again");
	mp_write_uint(w, again);
}

void wire_write_hello_returns(struct mp_writer *w, uint64_t message_bytes)
{
	begin_hello(w, message_bytes, 1);
	mp_write_str(w, "returns");
	mp_write_bool(w, true);
}

void wire_write_return(struct mp_writer *w)
{
	begin(w, 1, WIRE_RETURN);
}

void wire_write_failure(struct mp_writer *w, uint32_t cid, int status,
			const char *message)
{
	wire_begin_answer(w, cid, status);
	mp_write_array(w, 1);
	mp_write_str(w, message);
}

void wire_write_cancel(struct mp_writer *w, uint32_t cid)
{
	begin(w, 2, WIRE_CANCEL);
	mp_write_uint(w, cid);
}

void wire_write_listen(struct mp_writer *w, const char *name, size_t name_size,
		       bool on)
{
	begin(w, 3, WIRE_LISTEN);
	mp_write_strn(w, name, name_size);
	mp_write_bool(w, on);
}

void wire_write_moved(struct mp_writer *w)
{
	begin(w, 1, WIRE_MOVED);
}

void wire_write_resolve(struct mp_writer *w, uint32_t cid, const char *name,
			size_t name_size)
{
	begin(w, 3, WIRE_RESOLVE);
	mp_write_uint(w, cid);
	mp_write_strn(w, name, name_size);
}

void wire_write_context(struct mp_writer *w, uint64_t link)
{
	uint64_t number = htobe64(link);

	mp_write_ext(w, WIRE_EXT_CONTEXT, &number, sizeof(number));
}
