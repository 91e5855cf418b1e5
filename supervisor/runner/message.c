/*
 * Step 4, in the zygote and in a runner: thoxd's messages.
 */

#include "runner/message.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "rpc/control.h"
#include "rpc/wire.h"

/* An array of strings and contexts, left as it is: read again when its items
 * are used. */
static struct mp_bytes arguments(struct mp_reader *r)
{
	const uint8_t *begin = r->p;
	uint32_t n = mp_read_array(r);

	for (uint32_t i = 0; i < n && !r->bad; i++)
		if (mp_peek(r) == MP_EXT)
			wire_read_context(r);
		else
			mp_read_str(r);
	return (struct mp_bytes){ (const char *)begin, (size_t)(r->p - begin) };
}

static struct mp_bytes string_map(struct mp_reader *r)
{
	const uint8_t *begin = r->p;
	uint32_t n = mp_read_map(r);

	for (uint32_t i = 0; i < n && !r->bad; i++) {
		mp_read_str(r);
		mp_read_str(r);
	}
	return (struct mp_bytes){ (const char *)begin, (size_t)(r->p - begin) };
}

static void start_key(struct mp_reader *r, struct mp_bytes key,
		      struct message_start *s)
{
	if (mp_bytes_equal(key, "name"))
		s->name = mp_read_str(r);
	else if (mp_bytes_equal(key, "args"))
		s->args = arguments(r);
	else if (mp_bytes_equal(key, "env"))
		s->env = string_map(r);
	else if (mp_bytes_equal(key, "secrets"))
		s->secrets = string_map(r);
	else if (mp_bytes_equal(key, "messages"))
		s->messages = mp_read_uint(r);
	else if (mp_bytes_equal(key, "label"))
		s->label = mp_read_str(r);
	else if (mp_bytes_equal(key, "service"))
		s->service = mp_read_str(r);
	else if (mp_bytes_equal(key, "memory_bytes"))
		s->memory_bytes = mp_read_uint(r);
	else if (mp_bytes_equal(key, "tasks"))
		s->tasks = mp_read_uint(r);
	else if (mp_bytes_equal(key, "rows"))
		s->rows = mp_read_uint(r);
	else if (mp_bytes_equal(key, "columns"))
		s->columns = mp_read_uint(r);
	else if (mp_bytes_equal(key, "demand_stdin"))
		s->demand_stdin = mp_read_bool(r);
	else if (mp_bytes_equal(key, "interactive"))
		s->interactive = mp_read_bool(r);
	else if (mp_bytes_equal(key, "expression"))
		s->expression = mp_read_bool(r);
	else
		mp_skip(r);
}

static void start_body(struct mp_reader *r, struct message_start *s)
{
	uint32_t n = mp_read_map(r);

	for (uint32_t i = 0; i < n && !r->bad; i++)
		start_key(r, mp_read_str(r), s);
}

static void setup_body(struct mp_reader *r, struct message_setup *s)
{
	uint32_t n = mp_read_map(r);

	for (uint32_t i = 0; i < n && !r->bad; i++) {
		struct mp_bytes key = mp_read_str(r);

		if (mp_bytes_equal(key, "runtime"))
			s->runtime = mp_read_str(r);
		else if (mp_bytes_equal(key, "uid"))
			s->uid = mp_read_uint(r);
		else if (mp_bytes_equal(key, "memory_bytes"))
			s->memory_bytes = mp_read_uint(r);
		else
			mp_skip(r);
	}
}

static void event_body(struct mp_reader *r, uint32_t items,
		       struct message_event *e)
{
	static const struct {
		const char *name;
		enum control_event event;
	} events[] = {
		{ "interrupt", EVENT_INTERRUPT },
		{ "terminate", EVENT_TERMINATE },
		{ "resize", EVENT_RESIZE },
		{ "reload", EVENT_RELOAD },
	};
	struct mp_bytes name = mp_read_str(r);

	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		if (mp_bytes_equal(name, events[i].name))
			e->event = events[i].event;
	if (items > 2)
		e->rows = mp_read_uint(r);
	if (items > 3)
		e->columns = mp_read_uint(r);
}

static void library_body(struct mp_reader *r, struct message_library *l)
{
	l->id = mp_read_uint(r);
	l->status = mp_read_int(r);
	l->text = mp_read_str(r);
}

int message_parse(const void *data, size_t size, struct message *ret)
{
	struct message m = { 0 };
	struct mp_reader r;
	uint32_t items;
	int e;

	mp_reader_init(&r, data, size);
	items = mp_read_array(&r);
	if (items == 0)
		return -EBADMSG;
	m.kind = mp_read_int(&r);
	switch (m.kind) {
	case CONTROL_START:
		start_body(&r, &m.start);
		break;
	case CONTROL_EVENT:
		event_body(&r, items, &m.event);
		break;
	case CONTROL_LIBRARY:
		library_body(&r, &m.library);
		break;
	case CONTROL_EVALUATE:
		m.text = mp_read_str(&r);
		break;
	case CONTROL_SETUP:
		setup_body(&r, &m.setup);
		break;
	case CONTROL_FORK:
		m.token = mp_read_int(&r);
		break;
	case CONTROL_MAPPED:
		break;
	default:
		return -EBADMSG;
	}
	e = mp_end(&r);
	if (e < 0)
		return e;
	*ret = m;
	return 0;
}

bool message_lookup(struct mp_bytes map, const char *name,
		    struct mp_bytes *ret_value)
{
	struct mp_reader r;
	uint32_t n;

	if (map.size == 0)
		return false;
	mp_reader_init(&r, map.p, map.size);
	n = mp_read_map(&r);
	for (uint32_t i = 0; i < n; i++) {
		struct mp_bytes key = mp_read_str(&r);
		struct mp_bytes value = mp_read_str(&r);

		if (!r.bad && mp_bytes_equal(key, name)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}
