/*
 * Step 4 and all later ones: foreign bytes become a message.
 *
 * A map's keys are read in any order; one that is not known is skipped, so
 * that a newer peer may say more. Each kind then checks that nothing is left
 * over, which also tells when anything before was wrong.
 */

#include "thoxd/message.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/util.h"

const char *const run_signal_name[RUN_SIGNAL_COUNT] = {
	[RUN_INTERRUPT] = "interrupt", [RUN_TERMINATE] = "terminate",
	[RUN_KILL] = "kill",	       [RUN_PAUSE] = "pause",
	[RUN_RESUME] = "resume",       [RUN_RESIZE] = "resize",
	[RUN_RELOAD] = "reload",
};

static bool enough(unsigned n, unsigned least, unsigned most)
{
	return n >= least && n <= most;
}

static pid_t read_pid(struct mp_reader *r)
{
	uint64_t pid = mp_read_uint(r);

	if (pid == 0 || pid > INT_MAX)
		r->bad = true;
	return r->bad ? 0 : (pid_t)pid;
}

static pid_t read_pid_or_none(struct mp_reader *r)
{
	uint64_t pid = mp_read_uint(r);

	if (pid > INT_MAX)
		r->bad = true;
	return r->bad ? 0 : (pid_t)pid;
}

/* An array or map of strings, as its bytes. */
static struct mp_bytes read_strings(struct mp_reader *r, bool map, uint32_t max)
{
	const uint8_t *start = r->p;
	uint32_t n = map ? mp_read_map(r) : mp_read_array(r);

	if (n > max)
		r->bad = true;
	for (uint32_t i = 0; !r->bad && i < (map ? 2 * n : n); i++)
		mp_read_str(r);
	if (r->bad)
		return (struct mp_bytes){ "", 0 };
	return (struct mp_bytes){ (const char *)start, (size_t)(r->p - start) };
}

/* --- from a client --------------------------------------------------------
 */

/* Its rules are policy_narrow()'s to read. */
static struct mp_bytes read_map(struct mp_reader *r)
{
	if (mp_peek(r) != MP_MAP)
		r->bad = true;
	return mp_read_raw(r);
}

static void run_field(struct mp_reader *r, struct mp_bytes key,
		      struct client_message *m)
{
	struct run_spec *q = &m->run;

	if (mp_bytes_equal(key, "name"))
		q->name = mp_read_str(r);
	else if (mp_bytes_equal(key, "text"))
		q->text = mp_read_bool(r);
	else if (mp_bytes_equal(key, "file"))
		q->file = mp_read_str(r);
	else if (mp_bytes_equal(key, "runtime"))
		q->runtime = mp_read_str(r);
	else if (mp_bytes_equal(key, "args"))
		q->args = read_strings(r, false, CONTROL_ARGS_MAX);
	else if (mp_bytes_equal(key, "env"))
		q->env = read_strings(r, true, CONTROL_ENV_MAX);
	else if (mp_bytes_equal(key, "memory_bytes"))
		q->memory_bytes = mp_read_uint(r);
	else if (mp_bytes_equal(key, "cpu_ms"))
		q->cpu_ms = mp_read_uint(r);
	else if (mp_bytes_equal(key, "wall_ms"))
		q->wall_ms = mp_read_uint(r);
	else if (mp_bytes_equal(key, "rows"))
		q->rows = mp_read_uint(r);
	else if (mp_bytes_equal(key, "columns"))
		q->columns = mp_read_uint(r);
	else if (mp_bytes_equal(key, "demand_stdin"))
		q->demand_stdin = mp_read_bool(r);
	else if (mp_bytes_equal(key, "interactive"))
		q->interactive = mp_read_bool(r);
	else if (mp_bytes_equal(key, "expression"))
		q->expression = mp_read_bool(r);
	else if (mp_bytes_equal(key, "allow"))
		m->allow = read_map(r);
	else if (mp_bytes_equal(key, "deny"))
		m->deny = read_map(r);
	else if (mp_bytes_equal(key, "background"))
		m->background = mp_read_bool(r);
	else if (mp_bytes_equal(key, "service"))
		m->service = mp_read_str(r);
	else
		mp_skip(r);
}

static void parse_run(struct mp_reader *r, unsigned n_fds,
		      struct client_message *m)
{
	uint32_t n = mp_read_map(r);

	while (n-- > 0 && !r->bad)
		run_field(r, mp_read_str(r), m);
	if (n_fds != (m->run.text ? 4U : 3U))
		r->bad = true;
}

static void parse_signal(struct mp_reader *r, unsigned items,
			 struct client_message *m)
{
	struct mp_bytes name = mp_read_str(r);
	int found = -1;

	for (int i = 0; i < RUN_SIGNAL_COUNT; i++)
		if (mp_bytes_equal(name, run_signal_name[i]))
			found = i;
	if (found < 0) {
		r->bad = true;
		return;
	}
	m->signal = (enum run_signal)found;
	if (items > 2)
		m->rows = mp_read_uint(r);
	if (items > 3)
		m->columns = mp_read_uint(r);
}

static void parse_attach(struct mp_reader *r, struct client_message *m)
{
	uint32_t n = mp_read_map(r);

	while (n-- > 0 && !r->bad) {
		if (mp_bytes_equal(mp_read_str(r), "name"))
			m->name = mp_read_str(r);
		else
			mp_skip(r);
	}
}

int client_message_parse(const void *data, size_t size, unsigned n_fds,
			 struct client_message *ret)
{
	struct client_message m = { 0 };
	struct mp_reader r;
	unsigned items;
	bool ok = false;

	mp_reader_init(&r, data, size);
	items = mp_read_array(&r);
	m.kind = (unsigned)mp_read_uint(&r);
	if (m.kind != CONTROL_RUN && n_fds > 0)
		return -EBADMSG;
	switch (m.kind) {
	case CONTROL_HELLO:
		ok = enough(items, 2, 3);
		m.version = mp_read_uint(&r);
		if (items > 2)
			mp_read_str(&r);
		break;
	case CONTROL_RUN:
		ok = items == 2;
		parse_run(&r, n_fds, &m);
		break;
	case CONTROL_SIGNAL:
		ok = enough(items, 2, 4);
		parse_signal(&r, items, &m);
		break;
	case CONTROL_REQUEST:
		ok = enough(items, 3, 4);
		m.id = mp_read_uint(&r);
		m.verb = mp_read_str(&r);
		if (items > 3)
			m.arguments = mp_read_raw(&r);
		break;
	case CONTROL_ATTACH:
		ok = items == 2;
		parse_attach(&r, &m);
		break;
	case CONTROL_EVAL:
		ok = items == 2;
		m.text = mp_read_str(&r);
		ok = ok && m.text.size <= CONTROL_EVAL_BYTES;
		break;
	}
	if (!ok || mp_end(&r) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

int request_arguments_parse(struct mp_bytes map, struct request_arguments *ret)
{
	struct request_arguments a = { 0 };
	struct mp_reader r;
	uint32_t n;

	if (map.size == 0) {
		*ret = a;
		return 0;
	}
	mp_reader_init(&r, map.p, map.size);
	n = mp_read_map(&r);
	while (n-- > 0 && !r.bad) {
		struct mp_bytes key = mp_read_str(&r);

		if (mp_bytes_equal(key, "pid"))
			a.pid = (uint64_t)read_pid(&r);
		else if (mp_bytes_equal(key, "name"))
			a.name = mp_read_str(&r);
		else if (mp_bytes_equal(key, "dir"))
			a.dir = mp_read_str(&r);
		else if (mp_bytes_equal(key, "names"))
			a.names = read_strings(&r, false, CONTROL_NAMES_MAX);
		else if (mp_bytes_equal(key, "dry_run"))
			a.dry_run = mp_read_bool(&r);
		else if (mp_bytes_equal(key, "no_wait"))
			a.no_wait = mp_read_bool(&r);
		else if (mp_bytes_equal(key, "until_end"))
			a.until_end = mp_read_bool(&r);
		else
			mp_skip(&r);
	}
	if (mp_end(&r) < 0)
		return -EBADMSG;
	*ret = a;
	return 0;
}

/* --- from a runner --------------------------------------------------------
 */

static const char *const report_name[] = {
	[REPORT_TRAP] = "trap",
	[REPORT_MEMORY] = "memory",
	[REPORT_ERROR] = "error",
	[REPORT_INTERRUPTED] = "interrupted",
	[REPORT_TERMINATED] = "terminated",
	[REPORT_CRASH] = "crash",
};

static void parse_report(struct mp_reader *r, unsigned items,
			 struct runner_message *m)
{
	struct mp_bytes what = mp_read_str(r);

	for (unsigned i = REPORT_TRAP; i < ARRAY_SIZE(report_name); i++)
		if (mp_bytes_equal(what, report_name[i]))
			m->report = (enum report)i;
	if (items < 3)
		return;
	if (m->report == REPORT_TRAP || m->report == REPORT_MEMORY)
		m->detail = mp_read_uint(r);
	else
		mp_skip(r);
}

static unsigned kind_of(const struct link_message *m)
{
	struct mp_reader r;
	uint64_t kind;

	mp_reader_init(&r, m->data, m->size);
	(void)mp_read_array(&r);
	kind = mp_read_uint(&r);
	return r.bad || kind > UINT16_MAX ? UINT16_MAX : (unsigned)kind;
}

bool runner_message_comes_again(const struct link_message *m)
{
	switch (kind_of(m)) {
	case CONTROL_WANT_LIBRARY:
	case CONTROL_WANT_ZERO:
	case CONTROL_SHARE_OWN:
	case CONTROL_SHARE_HELD:
	case CONTROL_REVOKE:
	case CONTROL_WANT_PIPE:
		return true;
	}
	return false;
}

int runner_message_parse(const void *data, size_t size, unsigned n_fds,
			 struct runner_message *ret)
{
	struct runner_message m = { 0 };
	struct mp_reader r;
	unsigned items;
	bool ok = false;

	mp_reader_init(&r, data, size);
	items = mp_read_array(&r);
	m.kind = (unsigned)mp_read_uint(&r);
	switch (m.kind) {
	case CONTROL_REPORT:
		ok = enough(items, 2, 3);
		parse_report(&r, items, &m);
		break;
	case CONTROL_WANT_LIBRARY:
		ok = items == 3;
		m.id = mp_read_uint(&r);
		m.name = mp_read_str(&r);
		break;
	case CONTROL_EVALUATE_DONE:
		ok = items == 2;
		m.ok = mp_read_bool(&r);
		break;
	case CONTROL_AGAIN_HEARD:
		ok = items == 2;
		m.id = mp_read_uint(&r);
		break;
	case CONTROL_RUNNER_READY:
		ok = items == 1;
		break;
	case CONTROL_STREAM_CLOSED:
		m.number = (unsigned)mp_read_uint(&r);
		ok = items == 2 && m.number <= 2;
		break;
	}
	/* a runner has nothing to hand to anybody */
	if (!ok || n_fds > 0 || mp_end(&r) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

/* --- from a zygote --------------------------------------------------------
 */

static void parse_zygote_ready(struct mp_reader *r, struct zygote_message *m)
{
	uint32_t n = mp_read_map(r);

	while (n-- > 0 && !r->bad) {
		struct mp_bytes key = mp_read_str(r);

		if (mp_bytes_equal(key, "lua"))
			m->lua = mp_read_str(r);
		else if (mp_bytes_equal(key, "landlock_abi"))
			m->landlock_abi = mp_read_uint(r);
		else if (mp_bytes_equal(key, "mdwe"))
			m->mdwe = mp_read_bool(r);
		else if (mp_bytes_equal(key, "layers"))
			m->layers = read_strings(r, false, 64);
		else
			mp_skip(r);
	}
}

int zygote_message_parse(const void *data, size_t size, unsigned n_fds,
			 struct zygote_message *ret)
{
	struct zygote_message m = { 0 };
	struct mp_reader r;
	unsigned items;
	uint64_t error;
	bool ok = false;

	mp_reader_init(&r, data, size);
	items = mp_read_array(&r);
	m.kind = (unsigned)mp_read_uint(&r);
	switch (m.kind) {
	case CONTROL_MAP:
		ok = items == 1;
		break;
	case CONTROL_ZYGOTE_READY:
		ok = items == 2;
		parse_zygote_ready(&r, &m);
		break;
	case CONTROL_FORKED:
		ok = items == 3;
		m.token = mp_read_uint(&r);
		m.pid = read_pid(&r);
		break;
	case CONTROL_FORK_FAILED:
		m.token = mp_read_uint(&r);
		error = mp_read_uint(&r);
		m.error = (int)error;
		ok = items == 3 && error <= 4095;
		break;
	case CONTROL_ZYGOTE_FAILED:
		ok = items == 3;
		m.what = mp_read_str(&r);
		m.message = mp_read_str(&r);
		break;
	}
	if (!ok || n_fds != (m.kind == CONTROL_FORKED) || mp_end(&r) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

/* --- from the keeper ------------------------------------------------------
 */

static void parse_exited(struct mp_reader *r, struct process_exit *e)
{
	e->pid = read_pid(r);
	e->status = (int)mp_read_uint(r);
	e->user_us = mp_read_uint(r);
	e->system_us = mp_read_uint(r);
	e->memory_bytes = mp_read_uint(r);
}

int keeper_message_parse(const void *data, size_t size, unsigned n_fds,
			 struct keeper_message *ret)
{
	struct keeper_message m = { 0 };
	struct mp_reader r;
	unsigned items, fds = 0;
	bool ok = false;

	mp_reader_init(&r, data, size);
	items = mp_read_array(&r);
	m.kind = (unsigned)mp_read_uint(&r);
	switch (m.kind) {
	case KEEPER_SPAWNED:
		ok = items == 3;
		fds = 1;
		m.token = mp_read_uint(&r);
		m.pid = read_pid(&r);
		break;
	case KEEPER_SPAWN_FAILED:
		ok = items == 3;
		m.token = mp_read_uint(&r);
		m.error = (int)mp_read_uint(&r);
		break;
	case KEEPER_EXITED:
		ok = items == 6;
		parse_exited(&r, &m.exit);
		break;
	case KEEPER_KEPT:
		fds = n_fds; /* any */
		ok = items == 4 && mp_bytes_copy(mp_read_str(&r), m.name,
						 sizeof(m.name)) == 0;
		m.record = mp_read_str(&r);
		m.pid = read_pid_or_none(&r);
		break;
	case KEEPER_BEGIN:
		ok = items == 3;
		m.state = mp_read_str(&r);
		m.restarts = mp_read_uint(&r);
		break;
	}
	if (!ok || n_fds != fds || mp_end(&r) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}
