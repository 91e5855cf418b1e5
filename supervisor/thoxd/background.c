/*
 * Steps 4 and 9, for a run that outlives its client.
 */

#include "thoxd/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "rpc/status.h"
#include "thoxd/client.h"
#include "thoxd/logs.h"
#include "thoxd/server.h"
#include "thoxd/services/services.h"

#define SUFFIX_MAX 9999U

static struct background *background_of(struct starter *st)
{
	return container_of(st, struct background, starter);
}

/* --- what it is called ----------------------------------------------------
 */

struct background *background_find(struct server *s, const char *name)
{
	struct background *b, *after;

	list_each(b, after, &s->backgrounds,
		  list) if (strcmp(b->name, name) == 0) return b;
	return NULL;
}

static bool is_valid(const char *name)
{
	char copy[BACKGROUND_NAME_BYTES];
	char *colon;

	snprintf(copy, sizeof(copy), "%s", name);
	colon = strchr(copy, ':');
	if (colon)
		*colon = '\0';
	return name_valid(copy) && (!colon || name_valid(colon + 1));
}

/* A name of a service that somebody has defined, or that runs. */
static bool is_taken(struct server *s, const char *name)
{
	struct run *run, *after;
	struct store_entry entry;
	char base[BACKGROUND_NAME_BYTES];

	if (background_find(s, name))
		return true;
	list_each(run, after, &s->runs,
		  list) if (strcmp(run->service, name) == 0) return true;
	snprintf(base, sizeof(base), "%.*s", (int)strcspn(name, ":"), name);
	return store_lookup(s->store, DIR_SERVICES, base, &entry) == 0;
}

/* After the program, as far as that has a name. */
static void own_name(const struct run_spec *spec, char *ret, size_t size)
{
	struct name_ref ref;
	char text[NAME_MAX_BYTES + 1];

	if (mp_bytes_copy(spec->name, text, sizeof(text)) == 0 &&
	    text[0] != '-' && name_parse(text, true, &ref, NULL) == 0)
		snprintf(ret, size, "%s", ref.name);
	else
		snprintf(ret, size, "run");
}

static int choose_own(struct server *s, const struct run_spec *spec, char *ret)
{
	char base[NAME_MAX_BYTES + 1];

	own_name(spec, base, sizeof(base));
	snprintf(ret, BACKGROUND_NAME_BYTES, "%s", base);
	for (unsigned i = 2; is_taken(s, ret); i++) {
		if (i > SUFFIX_MAX)
			return -EEXIST;
		snprintf(ret, BACKGROUND_NAME_BYTES, "%s-%u", base, i);
	}
	return 0;
}

static int choose_name(struct server *s, const struct run_spec *spec,
		       struct mp_bytes service, char *ret)
{
	if (service.size == 0)
		return choose_own(s, spec, ret);
	if (mp_bytes_copy(service, ret, BACKGROUND_NAME_BYTES) < 0 ||
	    !is_valid(ret))
		return -EINVAL;
	return is_taken(s, ret) ? -EEXIST : 0;
}

/* --- its output -----------------------------------------------------------
 */

static int open_output(struct background *b, int fds[4])
{
	char base[NAME_MAX_BYTES + 1];
	const char *colon = strchr(b->name, ':');
	int r;

	snprintf(base, sizeof(base), "%.*s", (int)strcspn(b->name, ":"),
		 b->name);
	for (unsigned i = 0; i < 2; i++) {
		r = logs_open(&b->server->logs, base, colon ? colon + 1 : "",
			      i == 1, NULL, &b->streams[i], &fds[1 + i]);
		if (r < 0)
			return r;
	}
	fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fds[0] < 0 ? -errno : 0;
}

/* Nothing is read of a stream before somebody is named, not even its end. */
static void name_output(struct background *b, pid_t pid)
{
	for (unsigned i = 0; i < ARRAY_SIZE(b->streams); i++)
		if (b->streams[i])
			logs_pid(&b->server->logs, b->streams[i], pid);
}

/* --- its life -------------------------------------------------------------
 */

static void background_free(struct garbage *g)
{
	free(container_of(g, struct background, garbage));
}

static struct client *part(struct background *b)
{
	struct client *c = b->client;

	if (c)
		c->background = NULL;
	b->client = NULL;
	return c;
}

static void release(struct background *b)
{
	part(b);
	list_remove(&b->list);
	services_background_gone(&b->server->services, b);
	server_release(b->server, &b->garbage, background_free);
}

static void on_started(struct starter *st, const struct run *run)
{
	name_output(background_of(st), run_pid(run));
}

static void on_refused(struct starter *st, int status, const char *message,
		       const char *hint)
{
	struct background *b = background_of(st);
	struct client *c = part(b);

	name_output(b, getpid());
	if (c) {
		client_send_refused(c, status, message, hint);
		client_done(c);
	}
	release(b);
}

static void say_where(struct client *c, const struct background *b,
		      const struct run_end *end)
{
	char text[BACKGROUND_NAME_BYTES + 64];

	if (!end->result->signalled && end->result->code == 0)
		return;
	snprintf(text, sizeof(text),
		 "it ended before it served; what it printed: thoxctl logs %s",
		 b->name);
	client_send_notice(c, text);
}

static void on_ended(struct starter *st, const struct run *run,
		     const struct run_end *end)
{
	struct background *b = background_of(st);
	struct client *c = part(b);

	log_info("'%s' has ended: %s%s%s", b->name, end->result->reason,
		 end->result->detail[0] ? ": " : "", end->result->detail);
	if (c) {
		say_where(c, b, end);
		client_send_result(c, run, end);
		client_done(c);
	}
	release(b);
}

static void on_notice(struct starter *st, const char *text)
{
	struct background *b = background_of(st);

	if (b->client)
		client_send_notice(b->client, text);
}

static void serves(struct background *b)
{
	struct client *c = part(b);

	if (!c)
		return;
	client_send_started(c, b->starter.run);
	client_done(c);
}

static void on_notified(struct starter *st, enum notice what,
			struct mp_bytes text)
{
	(void)text;
	if (what == NOTICE_SERVING || what == NOTICE_READY)
		serves(background_of(st));
}

static void on_bound(struct starter *st, const char *name)
{
	(void)name;
	serves(background_of(st));
}

static const struct starter_ops ops = {
	.started = on_started,
	.refused = on_refused,
	.ended = on_ended,
	.notice = on_notice,
	.notified = on_notified,
	.bound = on_bound,
};

bool background_has(const struct run *run)
{
	return run->starter && run->starter->ops == &ops;
}

void background_stop(struct background *b)
{
	struct run *run = b->starter.run;

	if (run && run_signal(run, RUN_TERMINATE, 0, 0) < 0)
		run_kill(run, CAUSE_KILLED);
}

void background_client_gone(struct background *b)
{
	b->client = NULL;
	starter_leave_and_kill(&b->starter, CAUSE_KILLED);
	release(b);
}

/* --- the beginning --------------------------------------------------------
 */

static void refuse(struct client *c, int error, const char *name)
{
	char message[BACKGROUND_NAME_BYTES + 64];
	int status = error == -EINVAL ? STATUS_INVALID : STATUS_ERROR;

	if (error == -EINVAL)
		snprintf(message, sizeof(message),
			 "--name: NAME or NAME:INSTANCE is wanted");
	else if (error == -EEXIST)
		snprintf(message, sizeof(message),
			 "there is a service '%s' already", name);
	else
		snprintf(message, sizeof(message),
			 "it cannot be put into the background: %s",
			 strerror(-error));
	client_send_refused(c, status, message, NULL);
	client_done(c);
}

/* It goes on as long as it wants, unless somebody said how long. */
static struct run_spec background_spec(const struct background *b,
				       const struct run_spec *spec)
{
	struct run_spec own = *spec;

	own.service = b->name;
	own.demand_stdin = false;
	own.rows = own.columns = 0;
	if (!own.cpu_ms)
		own.cpu_ms = RUN_NO_LIMIT;
	if (!own.wall_ms)
		own.wall_ms = RUN_NO_LIMIT;
	return own;
}

static void start(struct background *b, struct client *c,
		  const struct run_spec *spec, int fds[4])
{
	struct run_spec own = background_spec(b, spec);

	b->client = c;
	c->background = b;
	list_append(&b->server->backgrounds, &b->list);
	run_start(b->server, &own, fds, &b->starter);
}

void background_start(struct client *c, const struct run_spec *spec,
		      struct mp_bytes service, int *text_fd)
{
	struct background *b = calloc(1, sizeof(*b));
	int fds[4] = { -1, -1, -1, -1 };
	int r;

	if (!b) {
		refuse(c, -ENOMEM, "");
		return;
	}
	b->server = c->server;
	b->starter.ops = &ops;
	list_init(&b->list);
	r = choose_name(c->server, spec, service, b->name);
	r = r ? r : open_output(b, fds);
	if (r == 0) {
		fds[3] = steal_fd(text_fd);
		start(b, c, spec, fds);
	} else {
		refuse(c, r, b->name);
		name_output(b, getpid());
		release(b);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fd_close(fds[i]);
}
