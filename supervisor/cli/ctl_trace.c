/*
 * Step 7, in thoxctl: what a process calls and answers, as it happens.
 *
 * The traced process writes a record for each message to a socket that thoxd
 * has made (rpc/control.h has the forms); what it writes is hostile. A table of
 * the calls under way gives an answer its name.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/units.h"
#include "base/util.h"
#include "cli/ctl.h"
#include "cli/ctl_ask.h"
#include "cli/ctl_attach.h"
#include "cli/say.h"
#include "cli/trace_record.h"
#include "rpc/status.h"

#define RECORD_BYTES 4096
#define CALLS_MAX    4096U /* under way, whose names are remembered */

/* --- the calls under way ----------------------------------------------------
 */

struct open_call {
	uint64_t link;
	uint64_t cid;
	bool out;
	bool used;
	char name[TRACE_NAME_BYTES];
};

static struct open_call calls[CALLS_MAX];

/* Which way the call went: its answer goes the other. */
static bool called_out(const struct trace_record *t)
{
	return t->what == TRACE_ANSWER ? !t->out : t->out;
}

static struct open_call *slot_of(const struct trace_record *t)
{
	uint64_t hash = t->link * 0x9e3779b97f4a7c15u ^
			(t->cid * 2 + called_out(t)) * 0xff51afd7ed558ccdu;

	return &calls[(hash >> 32) % CALLS_MAX];
}

static void remember(const struct trace_record *t)
{
	struct open_call *c = slot_of(t);

	c->used = true;
	c->link = t->link;
	c->cid = t->cid;
	c->out = called_out(t);
	strcpy(c->name, t->name);
}

/* The name of the call that @t is about, "" when it is not known any more. */
static const char *recall(const struct trace_record *t)
{
	struct open_call *c = slot_of(t);

	if (!c->used || c->link != t->link || c->cid != t->cid ||
	    c->out != called_out(t))
		return "";
	c->used = t->what != TRACE_ANSWER;
	return c->name;
}

/* --- a line for each record -------------------------------------------------
 */

static void print_time(uint64_t time_us)
{
	time_t seconds = (time_t)(time_us / 1000000);
	struct tm tm;
	char text[16] = "?";

	if (localtime_r(&seconds, &tm))
		strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s.%06u ", text, (unsigned)(time_us % 1000000));
}

static void print_size(uint64_t bytes)
{
	char text[UNITS_TEXT_BYTES];

	units_format_bytes(bytes, text);
	printf("  %s", text);
}

static void print_line(const struct trace_record *t, const char *name)
{
	char text[UNITS_TEXT_BYTES];

	print_time(t->time_us);
	if (t->what == TRACE_LOST) {
		printf("-- %llu lost\n", (unsigned long long)t->lost);
		return;
	}
	/* A call's arrow points where it goes, an answer's likewise. */
	printf("%s %-6s %s", t->out ? "->" : "<-", trace_what_name[t->what],
	       *name ? name : "?");
	if (t->what != TRACE_PUSH)
		printf(" #%llu.%llu", (unsigned long long)t->link,
		       (unsigned long long)t->cid);
	if (t->pid)
		printf("  pid %lld", (long long)t->pid);
	if (t->what == TRACE_ANSWER) {
		units_format_us(t->took_us, text);
		printf("  %s  %s", status_name(t->status), text);
	}
	if (t->what != TRACE_CANCEL)
		print_size(t->bytes);
	putchar('\n');
}

static void set_uint(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void print_json(const struct trace_record *t, const char *name)
{
	json_t *object = json_object();

	set_uint(object, "time_us", t->time_us);
	json_object_set_new(object, "what",
			    json_string(trace_what_name[t->what]));
	if (t->what == TRACE_LOST) {
		set_uint(object, "lost", t->lost);
	} else {
		set_uint(object, "link", t->link);
		json_object_set_new(object, "out", json_boolean(t->out));
		json_object_set_new(object, "name",
				    *name ? json_string(name) : json_null());
	}
	if (t->what == TRACE_CALL || t->what == TRACE_ANSWER ||
	    t->what == TRACE_CANCEL)
		set_uint(object, "cid", t->cid);
	if (t->pid)
		set_uint(object, "pid", (uint64_t)t->pid);
	if (t->what == TRACE_ANSWER) {
		json_object_set_new(object, "status",
				    json_string(status_name(t->status)));
		set_uint(object, "took_us", t->took_us);
	}
	if (t->what != TRACE_LOST && t->what != TRACE_CANCEL)
		set_uint(object, "bytes", t->bytes);
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

static void print_record(const struct ctl *ctl, const struct trace_record *t)
{
	const char *name = t->name;

	if (t->what == TRACE_CALL)
		remember(t);
	else if (t->what == TRACE_ANSWER || t->what == TRACE_CANCEL)
		name = recall(t);
	if (ctl->json)
		print_json(t, name);
	else
		print_line(t, name);
}

/* --- reading ----------------------------------------------------------------
 */

/* 1: the trace goes on; 0: its end. */
static int take_records(const struct ctl *ctl, int fd)
{
	static uint8_t buf[RECORD_BYTES];
	struct trace_record t;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		if (trace_record_parse(buf, (size_t)n, &t) == 0)
			print_record(ctl, &t);
	fflush(stdout);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	return 0;
}

/* Until the process ends, or thoxd, or the user wants no more. */
static int follow(const struct ctl *ctl, const struct link *l, int fd)
{
	_cleanup_(fd_closep) int signals = ctl_end_signals();
	struct pollfd p[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
		{ .fd = l->fd, .events = POLLIN },
	};

	while (!ferror(stdout)) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return ctl_fail("poll", -errno);
		if (p[0].revents && !take_records(ctl, fd)) {
			say("the trace has ended: the process is gone, or "
			    "another one traces it");
			return CTL_OK;
		}
		if (p[1].revents)
			return CTL_OK;
		if (p[2].revents)
			return ctl_lost(-ECONNRESET);
	}
	return CTL_OK;
}

int ctl_trace(struct ctl *ctl)
{
	_cleanup_(fd_closep) int fd = -1;
	json_t *arguments = ctl_process_arguments(ctl->argv[0]);
	json_t *value = NULL;
	struct link l;
	int r;

	if (!arguments) {
		say("that is no name");
		return CTL_USAGE;
	}
	r = ctl_connect(ctl, &l);
	if (r != CTL_OK) {
		json_decref(arguments);
		return r;
	}
	r = ctl_ask(&l, "trace", arguments, &value, &fd);
	json_decref(value);
	if (r == CTL_OK && fd < 0) {
		say("thoxd sent what is not understood");
		r = CTL_FAILED;
	}
	if (r == CTL_OK) {
		say("tracing %s; Ctrl-C ends it", ctl->argv[0]);
		r = follow(ctl, &l, fd);
	}
	link_deinit(&l);
	return r;
}
