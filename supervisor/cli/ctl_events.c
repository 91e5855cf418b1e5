/*
 * Steps 2 and 3, in thoxctl: what happens, as it does.
 *
 * First what there is, then a line for each event. Events are asked for before
 * that, so none is missed in between; one may be in both.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl_ask.h"
#include "cli/ctl_attach.h"
#include "cli/ctl_service.h"
#include "cli/say.h"
#include "cli/value.h"

#define RECORD_BYTES 65536

static void print_json(json_t *event)
{
	json_dumpf(event, stdout, JSON_COMPACT);
	putchar('\n');
}

/* --- what there is -------------------------------------------------------- */

static int print_snapshot(const struct ctl *ctl, struct link *l)
{
	json_t *services = NULL, *processes = NULL, *all, *row;
	size_t i;
	int r = ctl_ask(l, "service.list", json_object(), &services, NULL);

	if (r == CTL_OK)
		r = ctl_ask(l, "ps", json_object(), &processes, NULL);
	if (r == CTL_OK && ctl->json) {
		all = json_object();
		json_object_set_new(all, "type", json_string("snapshot"));
		json_object_set(all, "services", services);
		json_object_set(all, "processes", processes);
		print_json(all);
		json_decref(all);
	} else if (r == CTL_OK) {
		json_array_foreach(services, i, row)
			printf("%-15s service %s is %s\n", "now",
			       ctl_service_text(row, "name"),
			       ctl_service_text(row, "state"));
	}
	json_decref(services);
	json_decref(processes);
	return r;
}

/* --- an event ------------------------------------------------------------- */

static void print_time(const json_t *event)
{
	json_int_t ms = json_integer_value(json_object_get(event, "time_ms"));
	time_t seconds = (time_t)(ms / 1000);
	char when[32];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%b %d %H:%M:%S", &tm);
	printf("%-15s ", when);
}

static void print_text(const json_t *event, const char *key)
{
	char text[VALUE_TEXT_BYTES];

	value_text(key, json_object_get(event, key), text);
	fputs(text, stdout);
}

/* All of its keys; what its type means is said by their names. */
static void print_rest(const json_t *event)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)event, key, value)
	{
		if (strcmp(key, "type") == 0 || strcmp(key, "time_ms") == 0 ||
		    (json_is_string(value) && json_string_length(value) == 0))
			continue;
		printf(" %s=", key);
		print_text(event, key);
	}
}

static void print_event(const json_t *event)
{
	const char *why = ctl_service_text(event, "why");

	print_time(event);
	if (strcmp(ctl_service_text(event, "type"), "service") != 0) {
		print_text(event, "type");
		print_rest(event);
		putchar('\n');
		return;
	}
	printf("service ");
	print_text(event, "service");
	printf(": %s -> %s", ctl_service_text(event, "from"),
	       ctl_service_text(event, "state"));
	if (*why) {
		printf(" (");
		print_text(event, "why");
		putchar(')');
	}
	putchar('\n');
}

static void take(const struct ctl *ctl, const uint8_t *data, size_t size)
{
	struct mp_reader r;
	json_t *event;

	mp_reader_init(&r, data, size);
	event = value_from_mp(&r);
	if (!json_is_object(event)) {
		json_decref(event);
		return;
	}
	if (ctl->json)
		print_json(event);
	else
		print_event(event);
	json_decref(event);
}

/* --- reading -------------------------------------------------------------- */

/* 1: it goes on; 0: its end. */
static int take_all(const struct ctl *ctl, int fd)
{
	static uint8_t buf[RECORD_BYTES];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		take(ctl, buf, (size_t)n);
	fflush(stdout);
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static int follow(const struct ctl *ctl, int fd)
{
	_cleanup_(fd_closep) int signals = ctl_end_signals();
	struct pollfd p[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};

	fflush(stdout);
	while (!ferror(stdout)) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return ctl_fail("poll", -errno);
		if (p[0].revents && !take_all(ctl, fd))
			return ctl_lost(-ECONNRESET);
		if (p[1].revents)
			return CTL_OK;
	}
	return CTL_OK;
}

int ctl_events(struct ctl *ctl)
{
	_cleanup_(fd_closep) int fd = -1;
	json_t *value = NULL;
	struct link l;
	int r = ctl_connect(ctl, &l);

	if (r != CTL_OK)
		return r;
	r = ctl_ask(&l, "events", json_object(), &value, &fd);
	json_decref(value);
	if (r == CTL_OK && fd < 0) {
		say("thoxd sent what is not understood");
		r = CTL_FAILED;
	}
	if (r == CTL_OK)
		r = print_snapshot(ctl, &l);
	if (r == CTL_OK)
		r = follow(ctl, fd);
	link_deinit(&l);
	return r;
}
