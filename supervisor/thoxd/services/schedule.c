/*
 * Step 4, for services: started by the clock.
 *
 * One timer of the kernel, on the time of day, is set to the first of all
 * times that are to come; the kernel also says when somebody has set the
 * clock. What has come is kept in a file, so that a thoxd that comes later
 * knows what was missed; it is written when the turn is over, once for all.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"
#include "thoxd/state_file.h"

#define FILE_NAME "schedules"
#define SECOND_NS 1000000000LL

/* What the file said of a service that was not looked at yet. */
struct came {
	struct list list;
	int64_t last_s;
	char name[];
};

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static int64_t now_s(void)
{
	return read_clock(CLOCK_REALTIME) / SECOND_NS;
}

/* It goes on while the machine sleeps, and nobody sets it. */
static int64_t offset_ns(void)
{
	return read_clock(CLOCK_REALTIME) - read_clock(CLOCK_BOOTTIME);
}

/* --- the file ------------------------------------------------------------- */

static int write_lines(int fd, const void *user)
{
	const struct services *m = user;
	struct service *sv, *after;
	int r = 0;

	list_each(sv, after, &m->all, list)
	{
		char line[SERVICE_NAME_BYTES + 32];
		int n;

		if (!sv->times || r < 0)
			continue;
		n = snprintf(line, sizeof(line), "%s %" PRId64 "\n", sv->name,
			     sv->times->table.last_s);
		r = fd_write_all(fd, line, (size_t)n);
	}
	return r;
}

/* Not synced: after a crash of the machine a time may seem to have been
 * missed that came just before. */
static int save(const struct services *m)
{
	return state_file_replace(m->server, FILE_NAME, write_lines, m);
}

static void read_line(struct services *m, const char *line)
{
	char name[SERVICE_NAME_BYTES];
	struct service_ref ref;
	struct came *came;
	int64_t last_s;

	if (sscanf(line, "%257s %" SCNd64, name, &last_s) != 2 ||
	    service_ref_parse(name, &ref, NULL) < 0)
		return;
	came = calloc(1, sizeof(*came) + strlen(name) + 1);
	if (!came)
		return; /* nothing is known of it */
	came->last_s = last_s;
	strcpy(came->name, name);
	list_append(&m->clock.came, &came->list);
}

static void load(struct services *m)
{
	char path[STATE_FILE_PATH_BYTES], line[SERVICE_NAME_BYTES + 32];
	FILE *f;

	state_file_path(m->server, FILE_NAME, path);
	f = fopen(path, "re");
	if (!f) {
		if (errno != ENOENT)
			log_warn("what schedules had come to is not known");
		return;
	}
	while (fgets(line, sizeof(line), f))
		read_line(m, line);
	fclose(f);
}

/* Without a word in the file all up to now counts as come. */
static int64_t take_last(struct services *m, const char *name)
{
	struct came *came, *after;
	int64_t last_s = now_s();

	list_each(came, after, &m->clock.came, list)
	{
		if (strcmp(came->name, name) != 0)
			continue;
		last_s = came->last_s;
		list_remove(&came->list);
		free(came);
		break;
	}
	return last_s;
}

static void forget_rest(struct services *m)
{
	struct came *came, *after;

	list_each(came, after, &m->clock.came, list)
	{
		list_remove(&came->list);
		free(came);
	}
}

static void on_settle(struct ev_loop *loop, ev_timer *timer, int events);

/* The file and the kernel's timer, when all that happens now has. */
static void settle_later(struct services *m)
{
	if (ev_is_active(&m->clock.settle))
		return;
	ev_timer_init(&m->clock.settle, on_settle, 0., 0.);
	ev_timer_start(m->server->loop, &m->clock.settle);
}

/* --- one service ---------------------------------------------------------- */

/* A service that still runs is left alone. */
static void come(struct service *sv)
{
	if (service_active(sv)) {
		log_info("service %s: its time has come, and it still runs",
			 sv->name);
		return;
	}
	log_debug("service %s: its time has come", sv->name);
	sv->rerun = true;
	services_order_one(sv->services, SERVICES_START, sv);
}

static bool is_wanted(const struct service *sv)
{
	return sv->config && !sv->gone && !service_obstacle(sv) &&
	       sv->config->definition->schedule_text && services_enabled(sv);
}

static void drop(struct service *sv)
{
	if (!sv->times)
		return;
	service_config_unref(sv->times->config);
	free(steal(&sv->times));
}

static bool is_same(const struct service *sv)
{
	const struct definition *was = sv->times->config->definition;
	const struct definition *is = sv->config->definition;

	return strcmp(was->schedule_text, is->schedule_text) == 0 &&
	       was->catch_up == is->catch_up;
}

/* The text is that of another version; the times are the same. */
static void keep(struct service *sv)
{
	struct service_config *was = sv->times->config;

	sv->times->config = service_config_ref(sv->config);
	sv->times->table.schedule = sv->config->definition->schedule;
	service_config_unref(was);
}

static void begin(struct service *sv)
{
	const struct definition *d = sv->config->definition;
	int64_t last_s = take_last(sv->services, sv->name);

	sv->times = calloc(1, sizeof(*sv->times));
	if (!sv->times) {
		log_warnx("service %s: no memory for its schedule", sv->name);
		return;
	}
	sv->times->config = service_config_ref(sv->config);
	tzset();
	if (timetable_start(&sv->times->table, d->schedule, d->catch_up, last_s,
			    now_s()))
		come(sv);
}

void service_schedule_follow(struct service *sv)
{
	struct services *m = sv->services;

	if (!m->begun || m->ending)
		return;
	if (!is_wanted(sv)) {
		if (!sv->times)
			return;
		drop(sv);
	} else if (sv->times && is_same(sv)) {
		keep(sv);
		return;
	} else {
		drop(sv);
		begin(sv);
	}
	settle_later(m);
}

void service_schedule_forget(struct service *sv)
{
	drop(sv);
}

int64_t service_schedule_next(const struct service *sv)
{
	return sv->times ? sv->times->table.next_s : 0;
}

/* --- the clock ------------------------------------------------------------ */

static int64_t first_of_all(struct services *m)
{
	struct service *sv, *after;
	int64_t first = 0;

	list_each(sv, after, &m->all, list)
	{
		int64_t next = service_schedule_next(sv);

		if (next && (!first || next < first))
			first = next;
	}
	return first;
}

static void on_clock(struct ev_loop *loop, ev_io *io, int events);

static int open_timer(struct services *m)
{
	struct services_clock *c = &m->clock;

	if (c->fd >= 0)
		return 0;
	c->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->fd < 0)
		return -errno;
	c->offset_ns = offset_ns();
	ev_io_init(&c->io, on_clock, c->fd, EV_READ);
	ev_io_start(m->server->loop, &c->io);
	return 0;
}

static bool set_timer(struct services *m, int64_t at_s)
{
	struct itimerspec when = { .it_value.tv_sec = at_s };

	return timerfd_settime(m->clock.fd,
			       TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
			       &when, NULL) == 0;
}

/* The clock was set by so much since it was looked at last; 0: it was not. */
static int64_t was_set_ns(struct services *m, bool told)
{
	int64_t was = m->clock.offset_ns;

	m->clock.offset_ns = offset_ns();
	return told ? m->clock.offset_ns - was : 0;
}

static void look_at_all(struct services *m, bool told)
{
	int64_t set_ns = was_set_ns(m, told);
	int64_t now_ns = read_clock(CLOCK_REALTIME);
	struct service *sv, *after;

	tzset();
	list_each(sv, after, &m->all, list)
	{
		int64_t at_s = now_ns / SECOND_NS;
		struct timetable *t = sv->times ? &sv->times->table : NULL;

		if (!t)
			continue;
		if (told ? timetable_clock_set(t, (now_ns - set_ns) / SECOND_NS,
					       at_s)
			 : timetable_due(t, at_s))
			come(sv);
	}
}

static void on_clock(struct ev_loop *loop, ev_io *io, int events)
{
	struct services *m = container_of(io, struct services, clock.io);
	bool told;
	uint64_t n;

	(void)loop;
	(void)events;
	told = read(io->fd, &n, sizeof(n)) < 0 && errno == ECANCELED;
	look_at_all(m, told);
	settle_later(m);
}

static void on_settle(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct services *m = container_of(timer, struct services, clock.settle);
	int64_t first = first_of_all(m);
	int r;

	(void)loop;
	(void)events;
	r = save(m);
	if (r < 0)
		log_warnx("what schedules came to cannot be kept: %s",
			  strerror(-r));
	if (!first && m->clock.fd < 0)
		return;
	r = open_timer(m);
	if (r < 0) {
		log_warnx("services cannot be started by the clock: %s",
			  strerror(-r));
		return;
	}
	if (!set_timer(m, first) && errno == ECANCELED) {
		look_at_all(m, true);
		settle_later(m);
	}
}

/* --- life ----------------------------------------------------------------- */

void services_clock_init(struct services *m)
{
	m->clock.fd = -1;
	list_init(&m->clock.came);
	ev_init(&m->clock.io, on_clock);
	ev_init(&m->clock.settle, on_settle);
}

void services_clock_begin(struct services *m)
{
	struct service *sv, *after;

	load(m);
	list_each(sv, after, &m->all, list) service_schedule_follow(sv);
	forget_rest(m);
}

void services_clock_end(struct services *m)
{
	ev_io_stop(m->server->loop, &m->clock.io);
	if (ev_is_active(&m->clock.settle))
		(void)save(m);
	ev_timer_stop(m->server->loop, &m->clock.settle);
	m->clock.fd = fd_close(m->clock.fd);
}
