/*
 * Step 7, in thoxctl: a native process for as long as a command takes. It
 * calls, pushes and listens as programs do, under the name `thoxctl`.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/units.h"
#include "base/util.h"
#include "cli/ctl.h"
#include "cli/ctl_ask.h"
#include "cli/ctl_attach.h"
#include "cli/luajson.h"
#include "cli/say.h"
#include "cli/table.h"
#include "cli/trace_record.h"
#include "cli/value.h"
#include "native/native.h"
#include "rpc/status.h"

static int check_name(const char *name)
{
	if (wire_check_name(name, strlen(name)))
		return CTL_OK;
	say("%s: not a name that can be called: 1 to %u bytes of "
	    "A-Za-z0-9_- and dots between them",
	    name, WIRE_NAME_BYTES);
	return CTL_USAGE;
}

/* The operands after the name, as the arguments. */
static int read_arguments(const struct ctl *ctl, struct native_values *v)
{
	mp_write_array(&v->w, (uint32_t)(ctl->argc - 1));
	for (int i = 1; i < ctl->argc; i++) {
		int r = luajson_write_argument(&v->w, ctl->argv[i]);

		if (r == 0)
			continue;
		say("%s: cannot be sent: %s", ctl->argv[i],
		    r == -EINVAL ? "see VALUES in thoxctl(1)" : strerror(-r));
		return CTL_USAGE;
	}
	return CTL_OK;
}

static int read_timeout(const struct ctl *ctl, uint64_t *ret_ms)
{
	const char *text = ctl_option(ctl, "timeout");

	*ret_ms = 0;
	if (!text || units_parse_ms(text, ret_ms) == 0)
		return CTL_OK;
	say("--timeout %s: not a time, such as 2s, 500ms, 1m", text);
	return CTL_USAGE;
}

/* --- call -------------------------------------------------------------------
 */

static void print_array(struct mp_bytes array)
{
	struct mp_reader r;
	json_t *value;

	mp_reader_init(&r, array.p, array.size);
	value = luajson_from_mp(&r);
	if (value)
		value_dump(value);
	json_decref(value);
}

static int print_answer(const struct ctl *ctl, const struct native_answer *a)
{
	char text[1024];

	if (a->status != STATUS_OK) {
		native_answer_message(a, text, sizeof(text));
		say("%s: %s: %s", ctl->argv[0],
		    status_name((uint64_t)a->status), text);
		return ctl_exit_code((uint64_t)a->status);
	}
	if (ctl->json)
		print_array(a->args);
	else
		luajson_print_lines(stdout, a->args, isatty(STDOUT_FILENO));
	return CTL_OK;
}

static int failed(const struct ctl *ctl, int r)
{
	if (r == -EMSGSIZE)
		say("%s: the arguments are too large", ctl->argv[0]);
	else if (r == -EINVAL)
		say("%s: the arguments are nested too deep", ctl->argv[0]);
	else
		return ctl_lost(r);
	return CTL_FAILED;
}

static int call(struct ctl *ctl, const struct native_values *v,
		uint64_t timeout_ms)
{
	_cleanup_(native_freep) struct native *n = NULL;
	struct native_answer answer;
	int r = ctl_attach(ctl, &n);

	if (r != CTL_OK)
		return r;
	r = native_call_wait(n, NULL, ctl->argv[0], v, timeout_ms, &answer);
	if (r < 0)
		return failed(ctl, r);
	r = print_answer(ctl, &answer);
	native_answer_deinit(&answer);
	return r;
}

int ctl_call(struct ctl *ctl)
{
	struct native_values v;
	uint64_t timeout_ms;
	int r = check_name(ctl->argv[0]);

	native_values_init(&v);
	if (r == CTL_OK)
		r = read_timeout(ctl, &timeout_ms);
	if (r == CTL_OK)
		r = read_arguments(ctl, &v);
	if (r == CTL_OK)
		r = call(ctl, &v, timeout_ms);
	native_values_deinit(&v);
	return r;
}

/* --- push -------------------------------------------------------------------
 */

/* thoxd has read all that was sent before when it answers this. */
static int settle(struct native *n)
{
	struct native_answer answer;
	int r = native_call_wait(n, NULL, "clock", NULL, 0, &answer);

	if (r < 0)
		return ctl_lost(r);
	r = ctl_exit_code((uint64_t)answer.status);
	native_answer_deinit(&answer);
	return r;
}

static int push(struct ctl *ctl, const struct native_values *v)
{
	_cleanup_(native_freep) struct native *n = NULL;
	int r = ctl_attach(ctl, &n);

	if (r != CTL_OK)
		return r;
	r = native_push(n, NULL, ctl->argv[0], v);
	if (r < 0)
		return failed(ctl, r);
	return settle(n);
}

int ctl_push(struct ctl *ctl)
{
	struct native_values v;
	int r = check_name(ctl->argv[0]);

	native_values_init(&v);
	if (r == CTL_OK)
		r = read_arguments(ctl, &v);
	if (r == CTL_OK)
		r = push(ctl, &v);
	native_values_deinit(&v);
	return r;
}

/* --- listen -----------------------------------------------------------------
 */

struct listening {
	bool json;
	bool terminal;
	uint64_t left; /* messages until it ends; 0: none are counted */
	bool over;
};

static void print_push_json(const struct native_push *p)
{
	json_t *object = json_object();
	struct mp_reader r;

	mp_reader_init(&r, p->args.p, p->args.size);
	json_object_set_new(object, "name",
			    value_string(p->name.p, p->name.size));
	json_object_set_new(object, "args", luajson_from_mp(&r));
	if (p->pid)
		json_object_set_new(object, "pid", json_integer(p->pid));
	if (p->program.size)
		json_object_set_new(
			object, "program",
			value_string(p->program.p, p->program.size));
	if (p->service.size)
		json_object_set_new(
			object, "service",
			value_string(p->service.p, p->service.size));
	if (p->lost)
		json_object_set_new(object, "lost",
				    json_integer((json_int_t)p->lost));
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

static void print_push(const struct listening *l, const struct native_push *p)
{
	if (p->lost)
		printf("(%llu lost)\n", (unsigned long long)p->lost);
	luajson_print_text(stdout, p->name.p, p->name.size, l->terminal);
	luajson_print_words(stdout, p->args, l->terminal);
	putchar('\n');
}

static void on_push(struct native *n, const struct native_push *p, void *user)
{
	struct listening *l = user;

	(void)n;
	if (l->over)
		return;
	if (l->json)
		print_push_json(p);
	else
		print_push(l, p);
	fflush(stdout);
	if (l->left > 0 && --l->left == 0)
		l->over = true;
}

static int listen_to(struct ctl *ctl, struct native *n, struct listening *l)
{
	struct ctl_end end;
	int r = native_listen(n, NULL, ctl->argv[0], on_push, l);

	if (r == 0)
		r = ctl_end_watch(n, &end);
	if (r < 0)
		return ctl_lost(r);
	r = settle(n);
	if (r != CTL_OK)
		return r;
	say("listening to %s; Ctrl-C ends it", ctl->argv[0]);
	while (r == 0 && !l->over && !end.over && !ferror(stdout))
		r = native_wait(n, -1);
	fd_close(end.watch.fd);
	return r < 0 ? ctl_lost(r) : CTL_OK;
}

int ctl_listen(struct ctl *ctl)
{
	_cleanup_(native_freep) struct native *n = NULL;
	const char *count = ctl_option(ctl, "count");
	struct listening l = {
		.json = ctl->json,
		.terminal = isatty(STDOUT_FILENO),
	};
	char *rest;
	int r = check_name(ctl->argv[0]);

	if (r == CTL_OK && count) {
		l.left = strtoull(count, &rest, 10);
		if (*count < '1' || *count > '9' || *rest) {
			say("--count %s: not a number of messages", count);
			r = CTL_USAGE;
		}
	}
	if (r == CTL_OK)
		r = ctl_attach(ctl, &n);
	return r == CTL_OK ? listen_to(ctl, n, &l) : r;
}

/* --- bus --------------------------------------------------------------------
 */

int ctl_bus(struct ctl *ctl)
{
	static const struct column columns[] = {
		{ "NAME", "name", false, true },
		{ "PID", "pid", true, false },
		{ "PROGRAM", "program", false, true },
		{ "SERVICE", "service", false, true },
		{ "FALLBACK", "fallback", false, false },
		{ NULL, NULL, false, false },
	};
	json_t *value;
	int r = ctl_request(ctl, "bus", json_object(), &value);

	if (r != CTL_OK)
		return r;
	if (ctl->json)
		value_dump(value);
	else
		table_print(columns, value);
	json_decref(value);
	return CTL_OK;
}
