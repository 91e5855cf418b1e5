/*
 * Step 9: what is kept of services, to and from bytes.
 *
 * Each is an array that begins with its format. What comes from the keeper was
 * written by a thoxd, and is checked all the same: it may be another one's.
 */

#include "thoxd/record.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/util.h"

enum items {
	INSTANCE_ITEMS = 30,
	PROCESS_ITEMS = 22,
	NAME_ITEMS = 5,
	LINK_ITEMS = 14,
	REJECTION_ITEMS = 6,
};

static const uint8_t empty_array = 0x90;

static void begin(struct mp_writer *w, uint32_t items)
{
	mp_write_array(w, items);
	mp_write_uint(w, RECORD_FORMAT);
}

static int open_record(struct mp_reader *r, struct mp_bytes b, uint32_t items)
{
	uint32_t n;

	mp_reader_init(r, b.p, b.size);
	n = mp_read_array(r);
	if (mp_read_uint(r) != RECORD_FORMAT && !r->bad)
		return -ENOTSUP;
	return r->bad || n != items ? -EBADMSG : 0;
}

static void write_bytes(struct mp_writer *w, struct mp_bytes b)
{
	mp_write_strn(w, b.size ? b.p : "", b.size);
}

static void write_raw(struct mp_writer *w, struct mp_bytes b)
{
	mp_write_raw(w, b.size ? (const void *)b.p : &empty_array,
		     b.size ? b.size : 1);
}

static void read_text(struct mp_reader *r, char *ret, size_t size)
{
	if (mp_bytes_copy(mp_read_str(r), ret, size) < 0)
		r->bad = true;
}

static uint64_t read_up_to(struct mp_reader *r, uint64_t most)
{
	uint64_t value = mp_read_uint(r);

	if (value > most)
		r->bad = true;
	return r->bad ? 0 : value;
}

/* An array of @type alone, as its bytes. */
static struct mp_bytes read_array_of(struct mp_reader *r, enum mp_type type)
{
	const uint8_t *start = r->p;
	uint32_t n = mp_read_array(r);

	for (uint32_t i = 0; i < n && !r->bad; i++) {
		if (mp_peek(r) != type)
			r->bad = true;
		mp_skip(r);
	}
	if (r->bad)
		return (struct mp_bytes){ "", 0 };
	return (struct mp_bytes){ (const char *)start, (size_t)(r->p - start) };
}

/* --- instances ------------------------------------------------------------ */

void record_write_instance(struct mp_writer *w, const struct record_instance *i)
{
	begin(w, INSTANCE_ITEMS);
	mp_write_uint(w, i->key);
	mp_write_str(w, i->service);
	mp_write_uint(w, i->number);
	mp_write_uint(w, i->state);
	mp_write_uint(w, i->reason);
	mp_write_bool(w, i->start_again);
	mp_write_bool(w, i->reload_again);
	mp_write_bool(w, i->failing);
	mp_write_bool(w, i->trial);
	mp_write_bool(w, i->wanted);
	mp_write_bool(w, i->by_call);
	mp_write_uint(w, i->ready_ms);
	mp_write_uint(w, i->changed_ms);
	mp_write_uint(w, i->failures);
	mp_write_uint(w, i->restarts);
	write_raw(w, i->times);
	mp_write_uint(w, i->since_ms);
	mp_write_uint(w, i->good);
	for (int slot = 0; slot < SLOT_COUNT; slot++) {
		mp_write_uint(w, i->process[slot]);
		mp_write_bool(w, i->present[slot]);
		mp_write_uint(w, i->due_ms[slot]);
	}
	mp_write_uint(w, (uint64_t)i->last_pid);
	mp_write_int(w, i->last_signalled ? -i->last_code : i->last_code);
	mp_write_uint(w, i->last_ms);
	mp_write_str(w, i->last_reason);
	mp_write_array(w, 2);
	write_bytes(w, i->last_detail);
	write_bytes(w, i->detail);
}

int record_read_instance(struct mp_bytes b, struct record_instance *ret)
{
	struct record_instance i = { 0 };
	struct mp_reader r;
	int64_t code;
	int e = open_record(&r, b, INSTANCE_ITEMS);

	if (e < 0)
		return e;
	i.key = mp_read_uint(&r);
	read_text(&r, i.service, sizeof(i.service));
	i.number = (unsigned)read_up_to(&r, UINT_MAX);
	i.state = (enum machine_state)read_up_to(&r, MACHINE_N_STATES - 1);
	i.reason = (enum machine_reason)read_up_to(&r, MACHINE_N_REASONS - 1);
	i.start_again = mp_read_bool(&r);
	i.reload_again = mp_read_bool(&r);
	i.failing = mp_read_bool(&r);
	i.trial = mp_read_bool(&r);
	i.wanted = mp_read_bool(&r);
	i.by_call = mp_read_bool(&r);
	i.ready_ms = mp_read_uint(&r);
	i.changed_ms = mp_read_uint(&r);
	i.failures = (uint32_t)read_up_to(&r, UINT32_MAX);
	i.restarts = (uint32_t)read_up_to(&r, UINT32_MAX);
	i.times = read_array_of(&r, MP_INT);
	i.since_ms = mp_read_uint(&r);
	i.good = mp_read_uint(&r);
	for (int slot = 0; slot < SLOT_COUNT; slot++) {
		i.process[slot] = mp_read_uint(&r);
		i.present[slot] = mp_read_bool(&r);
		i.due_ms[slot] = mp_read_uint(&r);
	}
	i.last_pid = (pid_t)read_up_to(&r, INT_MAX);
	code = mp_read_int(&r);
	if (code < -255 || code > 255)
		r.bad = true;
	i.last_signalled = code < 0;
	i.last_code = (int)(code < 0 ? -code : code);
	i.last_ms = mp_read_uint(&r);
	read_text(&r, i.last_reason, sizeof(i.last_reason));
	if (mp_read_array(&r) != 2)
		r.bad = true;
	i.last_detail = mp_read_str(&r);
	i.detail = mp_read_str(&r);
	*ret = i;
	return i.key == 0 ? -EBADMSG : mp_end(&r);
}

/* --- processes ------------------------------------------------------------ */

void record_write_process(struct mp_writer *w, const struct record_process *p)
{
	unsigned has = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(p->has); i++)
		has |= (unsigned)p->has[i] << i;
	begin(w, PROCESS_ITEMS);
	mp_write_uint(w, p->key);
	mp_write_str(w, p->service);
	mp_write_uint(w, p->number);
	mp_write_uint(w, p->definition);
	mp_write_str(w, p->program);
	mp_write_uint(w, p->version);
	mp_write_bool(w, p->itself);
	mp_write_str(w, p->runtime);
	mp_write_uint(w, p->uid);
	mp_write_str(w, p->sha256);
	mp_write_uint(w, p->logs[0]);
	mp_write_uint(w, p->logs[1]);
	mp_write_bool(w, p->ready);
	mp_write_bool(w, p->waits);
	mp_write_uint(w, p->started_ms);
	mp_write_uint(w, p->memory_bytes);
	mp_write_uint(w, p->cpu_ms);
	mp_write_uint(w, p->tasks);
	mp_write_uint(w, p->descriptors);
	mp_write_array(w, 2);
	mp_write_uint(w, p->processes);
	mp_write_uint(w, has);
	write_raw(w, p->names);
}

int record_read_process(struct mp_bytes b, struct record_process *ret)
{
	struct record_process p = { 0 };
	struct mp_reader r;
	uint64_t has;
	int e = open_record(&r, b, PROCESS_ITEMS);

	if (e < 0)
		return e;
	p.key = mp_read_uint(&r);
	read_text(&r, p.service, sizeof(p.service));
	p.number = (unsigned)read_up_to(&r, UINT_MAX);
	p.definition = mp_read_uint(&r);
	read_text(&r, p.program, sizeof(p.program));
	p.version = mp_read_uint(&r);
	p.itself = mp_read_bool(&r);
	read_text(&r, p.runtime, sizeof(p.runtime));
	p.uid = (uid_t)read_up_to(&r, INT_MAX);
	read_text(&r, p.sha256, sizeof(p.sha256));
	p.logs[0] = mp_read_uint(&r);
	p.logs[1] = mp_read_uint(&r);
	p.ready = mp_read_bool(&r);
	p.waits = mp_read_bool(&r);
	p.started_ms = mp_read_uint(&r);
	p.memory_bytes = mp_read_uint(&r);
	p.cpu_ms = mp_read_uint(&r);
	p.tasks = mp_read_uint(&r);
	p.descriptors = mp_read_uint(&r);
	if (mp_read_array(&r) != 2)
		r.bad = true;
	p.processes = mp_read_uint(&r);
	has = read_up_to(&r, 7);
	for (unsigned i = 0; i < ARRAY_SIZE(p.has); i++)
		p.has[i] = has >> i & 1;
	p.names = read_array_of(&r, MP_STR);
	*ret = p;
	return p.key == 0 ? -EBADMSG : mp_end(&r);
}

/* --- names ---------------------------------------------------------------- */

void record_write_name(struct mp_writer *w, const struct record_name *n)
{
	begin(w, NAME_ITEMS);
	mp_write_uint(w, n->key);
	write_bytes(w, n->name);
	mp_write_bool(w, n->fallback);
	mp_write_bool(w, n->waits);
}

int record_read_name(struct mp_bytes b, struct record_name *ret)
{
	struct record_name n = { 0 };
	struct mp_reader r;
	int e = open_record(&r, b, NAME_ITEMS);

	if (e < 0)
		return e;
	n.key = mp_read_uint(&r);
	n.name = mp_read_str(&r);
	n.fallback = mp_read_bool(&r);
	n.waits = mp_read_bool(&r);
	*ret = n;
	if (n.key == 0 || !wire_check_name(n.name.p, n.name.size))
		return -EBADMSG;
	return mp_end(&r);
}

/* --- links ---------------------------------------------------------------- */

void record_write_link(struct mp_writer *w, const struct record_link *l)
{
	begin(w, LINK_ITEMS);
	mp_write_uint(w, l->number);
	mp_write_bool(w, l->trace);
	mp_write_bool(w, l->routed);
	mp_write_bool(w, l->zero);
	mp_write_uint(w, l->owner);
	mp_write_uint(w, l->holder);
	mp_write_uint(w, l->as);
	mp_write_uint(w, l->context);
	write_bytes(w, l->name);
	mp_write_uint(w, l->through);
	mp_write_uint(w, l->over);
	mp_write_uint(w, l->grant);
	write_raw(w, l->levels);
}

int record_read_link(struct mp_bytes b, struct record_link *ret)
{
	struct record_link l = { 0 };
	struct mp_reader r;
	int e = open_record(&r, b, LINK_ITEMS);

	if (e < 0)
		return e;
	l.number = mp_read_uint(&r);
	l.trace = mp_read_bool(&r);
	l.routed = mp_read_bool(&r);
	l.zero = mp_read_bool(&r);
	l.owner = mp_read_uint(&r);
	l.holder = mp_read_uint(&r);
	l.as = mp_read_uint(&r);
	l.context = mp_read_uint(&r);
	l.name = mp_read_str(&r);
	l.through = mp_read_uint(&r);
	l.over = mp_read_uint(&r);
	l.grant = mp_read_uint(&r);
	l.levels = read_array_of(&r, MP_ARRAY);
	*ret = l;
	/* it is of thoxd, or else of a context or of a name */
	if (l.number == 0 || l.holder == 0 || l.as == 0 ||
	    (l.owner == 0 && l.context != 0) ||
	    (l.name.size > 0 && !wire_check_name(l.name.p, l.name.size)) ||
	    (l.owner != 0 && (l.context != 0) == (l.name.size != 0)))
		return -EBADMSG;
	return mp_end(&r);
}

/* --- rejections ----------------------------------------------------------- */

void record_write_rejection(struct mp_writer *w,
			    const struct record_rejection *j)
{
	begin(w, REJECTION_ITEMS);
	mp_write_uint(w, j->key);
	mp_write_str(w, j->program);
	mp_write_uint(w, j->bad);
	mp_write_uint(w, j->good);
	mp_write_str(w, j->reason);
}

int record_read_rejection(struct mp_bytes b, struct record_rejection *ret)
{
	struct record_rejection j = { 0 };
	struct mp_reader r;
	int e = open_record(&r, b, REJECTION_ITEMS);

	if (e < 0)
		return e;
	j.key = mp_read_uint(&r);
	read_text(&r, j.program, sizeof(j.program));
	j.bad = mp_read_uint(&r);
	j.good = mp_read_uint(&r);
	read_text(&r, j.reason, sizeof(j.reason));
	*ret = j;
	if (j.key == 0 || j.bad == 0 || j.good == 0 || j.bad == j.good ||
	    !name_valid(j.program))
		return -EBADMSG;
	return mp_end(&r);
}
