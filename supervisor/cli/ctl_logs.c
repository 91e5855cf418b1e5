/*
 * Step 9, in thoxctl: the logs of several services as one, by time.
 *
 * Each service has a reader, and the lines that come next are in a heap. The
 * files are read themselves: logs can be read whether an instance runs or not.
 * One that runs is asked to have in them what was printed so far.
 */

#include "cli/ctl_logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl.h"
#include "cli/say.h"
#include "cli/when.h"
#include "logd/reader.h"

#define LINES_ALL      UINT64_MAX
#define LINES_FOLLOWED 10
#define LINES_MAX      1000000ULL
#define POLL_MS	       50 /* where the kernel has no more watches to give */
#define SERVICES_LIMIT 65536
#define LOGS_NAMES_MAX 1000 /* as the table of commands has it */

struct source {
	struct reader *reader;
	struct line line; /* the next one */
};

/* A line that may be among the last: a copy. */
struct held {
	const char *service;
	struct line line;
	char *text;
};

struct logs {
	struct ctl *ctl;
	int rootfd;
	struct logs_filter filter;
	enum logs_output output;
	uint64_t last; /* this many, or LINES_ALL */
	bool follow;
	regex_t grep;

	struct source **sources; /* all of them */
	size_t n_sources;
	struct source **heap; /* those that have a line */
	size_t n_heap;

	struct held
		*ring; /* of filter-passed lines, when only the last count */
	uint64_t held;
	int notify_fd;
	bool all_watched;
	uint64_t bad;
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- the heap ---------------------------------------------------------------
 */

static bool is_before(const struct source *a, const struct source *b)
{
	return a->line.time_us < b->line.time_us;
}

static void sift_up(struct logs *l, size_t i)
{
	for (; i > 0; i = (i - 1) / 2) {
		struct source **child = &l->heap[i];
		struct source **parent = &l->heap[(i - 1) / 2];
		struct source *s = *child;

		if (!is_before(*child, *parent))
			return;
		*child = *parent;
		*parent = s;
	}
}

static void sift_down(struct logs *l)
{
	size_t i = 0;

	for (;;) {
		size_t least = i, child = 2 * i + 1;
		struct source *s = l->heap[i];

		for (size_t c = child; c < child + 2 && c < l->n_heap; c++)
			if (is_before(l->heap[c], l->heap[least]))
				least = c;
		if (least == i)
			return;
		l->heap[i] = l->heap[least];
		l->heap[least] = s;
		i = least;
	}
}

/* --- sources ----------------------------------------------------------------
 */

static void complain(const struct source *s, int r)
{
	say("the log of '%s': %s", reader_service(s->reader), strerror(-r));
}

/* The next line of a source into the heap, if it has one. */
static void offer(struct logs *l, struct source *s)
{
	int r = reader_next(s->reader, &s->line);

	if (r < 0)
		complain(s, r);
	if (r <= 0)
		return;
	l->heap[l->n_heap] = s;
	sift_up(l, l->n_heap++);
}

static int seek(struct logs *l, struct source *s, bool is_new)
{
	const struct logs_filter *f = &l->filter;
	bool filtered =
		f->grep || f->level < LINE_DEBUG || f->since_us || f->until_us;

	if (is_new)
		return 0;
	if (f->since_us)
		reader_skip_before(s->reader, f->since_us);
	/* what is filtered out must not count among the last */
	if (l->last == LINES_ALL || (filtered && l->last > 0))
		return 0;
	for (int i = 0; i < f->n_names; i++)
		if (l->last > 0 && strchr(f->names[i], ':'))
			return 0;
	return reader_seek_last(s->reader, l->last);
}

static bool is_known(const struct logs *l, const char *service)
{
	for (size_t i = 0; i < l->n_sources; i++)
		if (strcmp(reader_service(l->sources[i]->reader), service) == 0)
			return true;
	return false;
}

static void *grow(void *p, size_t n, size_t size)
{
	void *more = reallocarray(p, n, size);

	if (!more) {
		say("%s", strerror(ENOMEM));
		exit(CTL_FAILED);
	}
	return more;
}

static void watch_service(struct logs *l, const char *service)
{
	char path[PATH_MAX + 300];

	if (l->notify_fd < 0)
		return;
	snprintf(path, sizeof(path), "%s/logs/%s", l->ctl->in.state, service);
	if (inotify_add_watch(l->notify_fd, path,
			      IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		l->all_watched = false;
}

static void add_source(struct logs *l, const char *service, bool is_new)
{
	struct source *s;
	int r;

	if (service[0] == '.' || l->n_sources >= SERVICES_LIMIT ||
	    !logs_service_wanted(&l->filter, service) || is_known(l, service))
		return;
	s = grow(NULL, 1, sizeof(*s));
	watch_service(l, service);
	r = reader_open(l->rootfd, service, &s->reader);
	if (r == 0) {
		r = seek(l, s, is_new);
		if (r < 0)
			reader_free(s->reader);
	}
	if (r < 0) {
		if (r != -ENOTDIR)
			say("the log of '%s': %s", service, strerror(-r));
		free(s);
		return;
	}
	l->sources = grow(l->sources, l->n_sources + 1, sizeof(*l->sources));
	l->heap = grow(l->heap, l->n_sources + 1, sizeof(*l->heap));
	l->sources[l->n_sources++] = s;
}

static void find_sources(struct logs *l, bool is_new)
{
	int fd = openat(l->rootfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	if (!dir) {
		fd_close(fd);
		return;
	}
	while ((e = readdir(dir)))
		add_source(l, e->d_name, is_new);
	closedir(dir);
}

/* --- the last lines ---------------------------------------------------------
 */

static void hold(struct logs *l, const char *service, const struct line *line)
{
	struct held *h;

	if (l->last == 0)
		return; /* then there is no ring */
	h = &l->ring[l->held++ % l->last];
	free(h->text);
	h->service = service;
	h->line = *line;
	h->text = grow(NULL, line->size + 1, 1);
	memcpy(h->text, line->text, line->size);
	h->line.text = h->text;
}

static void print_held(struct logs *l)
{
	uint64_t n = l->held < l->last ? l->held : l->last;

	for (uint64_t i = l->held - n; l->ring && i < l->held; i++) {
		struct held *h = &l->ring[i % l->last];

		logs_print(l->output, h->service, &h->line);
	}
	for (uint64_t i = 0; l->ring && i < n; i++)
		free(l->ring[i].text);
	free(l->ring);
	l->ring = NULL;
}

/* --- going through ----------------------------------------------------------
 */

static void show(struct logs *l, const struct source *s)
{
	const char *service = reader_service(s->reader);

	if (!logs_wanted(&l->filter, service, &s->line))
		return;
	if (l->ring)
		hold(l, service, &s->line);
	else
		logs_print(l->output, service, &s->line);
}

/* All lines that are there now, by time. */
static void drain(struct logs *l)
{
	for (size_t i = 0; i < l->n_sources; i++)
		offer(l, l->sources[i]);
	while (l->n_heap > 0) {
		struct source *s = l->heap[0];

		show(l, s);
		l->heap[0] = l->heap[--l->n_heap];
		sift_down(l);
		offer(l, s);
	}
}

static void follow(struct logs *l)
{
	struct pollfd p = { .fd = l->notify_fd, .events = POLLIN };
	char events[4096];

	while (!ferror(stdout)) {
		if (fflush(stdout) != 0)
			return;
		if (poll(&p, 1, l->all_watched ? -1 : POLL_MS) < 0 &&
		    errno != EINTR)
			return;
		/* that something happened is enough to know */
		if ((p.revents & POLLIN) &&
		    read(l->notify_fd, events, sizeof(events)) < 0)
			l->all_watched = false;
		find_sources(l, true);
		drain(l);
	}
}

static void begin_watching(struct logs *l)
{
	char path[PATH_MAX + 8];

	l->notify_fd = inotify_init1(IN_CLOEXEC);
	snprintf(path, sizeof(path), "%s/logs", l->ctl->in.state);
	l->all_watched = l->notify_fd >= 0 &&
			 inotify_add_watch(l->notify_fd, path,
					   IN_CREATE | IN_MOVED_TO) >= 0;
}

/* --- what is wanted ---------------------------------------------------------
 */

static int wrong(const char *option, const char *value, const char *what)
{
	say("--%s: '%s' is not %s", option, value, what);
	return CTL_USAGE;
}

static int take_time(struct logs *l, const char *option, uint64_t *ret_us)
{
	const char *value = ctl_option(l->ctl, option);

	if (value && when_parse(value, now_us(), ret_us) < 0)
		return wrong(option, value,
			     "a time (like '09:30', '10m ago' or '2026-11-27 "
			     "09:30')");
	return CTL_OK;
}

static int take_lines(struct logs *l)
{
	const char *value = ctl_option(l->ctl, "lines");
	char *end;

	l->last = l->follow ? LINES_FOLLOWED : LINES_ALL;
	if (!value || strcmp(value, "all") == 0) {
		l->last = value ? LINES_ALL : l->last;
		return CTL_OK;
	}
	errno = 0;
	l->last = strtoull(value, &end, 10);
	if (errno || *end || *value == '-' || l->last > LINES_MAX)
		return wrong("lines", value, "a count of lines, or 'all'");
	return CTL_OK;
}

static int take_level(struct logs *l)
{
	const char *value = ctl_option(l->ctl, "priority");

	l->filter.level = LINE_DEBUG;
	if (!value)
		return CTL_OK;
	for (int i = 0; i < LINE_LEVELS; i++)
		if (strcmp(value, line_level_name[i]) == 0 ||
		    (value[0] == '0' + i && !value[1])) {
			l->filter.level = (enum line_level)i;
			return CTL_OK;
		}
	return wrong("priority", value, "a level (emerg, … err, … debug)");
}

static int take_output(struct logs *l)
{
	static const char *const names[] = {
		[LOGS_SHORT] = "short",
		[LOGS_JSON] = "json",
		[LOGS_CAT] = "cat",
	};
	const char *value = ctl_option(l->ctl, "output");

	l->output = l->ctl->json ? LOGS_JSON : LOGS_SHORT;
	for (size_t i = 0; value && i < ARRAY_SIZE(names); i++)
		if (strcmp(value, names[i]) == 0) {
			l->output = (enum logs_output)i;
			return CTL_OK;
		}
	return value ? wrong("output", value, "short, json or cat") : CTL_OK;
}

static int take_grep(struct logs *l)
{
	const char *value = ctl_option(l->ctl, "grep");
	char message[128];
	int r;

	if (!value)
		return CTL_OK;
	r = regcomp(&l->grep, value, REG_EXTENDED | REG_NOSUB);
	if (r != 0) {
		regerror(r, &l->grep, message, sizeof(message));
		say("--grep: '%s': %s", value, message);
		return CTL_USAGE;
	}
	l->filter.grep = &l->grep;
	return CTL_OK;
}

static int take_options(struct logs *l)
{
	int r;

	l->follow = ctl_option(l->ctl, "follow") != NULL;
	r = take_lines(l);
	r = r ? r : take_time(l, "since", &l->filter.since_us);
	r = r ? r : take_time(l, "until", &l->filter.until_us);
	r = r ? r : take_level(l);
	r = r ? r : take_output(l);
	return r ? r : take_grep(l);
}

/* A name without a pattern whose log is not there is said so. */
static int check_names(const struct logs *l)
{
	int r = CTL_OK;

	for (int i = 0; i < l->filter.n_names; i++) {
		const char *name = l->filter.names[i];
		bool found = false;

		if (strpbrk(name, "*?["))
			continue;
		for (size_t s = 0; s < l->n_sources; s++) {
			const char *service =
				reader_service(l->sources[s]->reader);
			size_t n = strcspn(name, ":");

			found |= strlen(service) == n &&
				 memcmp(service, name, n) == 0;
		}
		if (!found) {
			say("there is no log of '%s'%s", name,
			    l->follow ? " yet" : "");
			r = l->follow ? CTL_OK : CTL_NO_SUCH;
		}
	}
	return r;
}

static void say_bad(const struct logs *l)
{
	uint64_t bad = 0;

	for (size_t i = 0; i < l->n_sources; i++)
		bad += reader_bad_lines(l->sources[i]->reader);
	if (bad)
		say("%llu lines are none of a log, and were passed over",
		    (unsigned long long)bad);
}

static void release(struct logs *l)
{
	for (size_t i = 0; i < l->n_sources; i++) {
		reader_free(l->sources[i]->reader);
		free(l->sources[i]);
	}
	free(l->sources);
	free(l->heap);
	if (l->filter.grep)
		regfree(&l->grep);
	fd_close(l->rootfd);
	fd_close(l->notify_fd);
}

static void run(struct logs *l)
{
	if (l->follow)
		begin_watching(l);
	find_sources(l, false);
	if (l->last > 0 && l->last < LINES_ALL)
		l->ring = grow(NULL, l->last, sizeof(*l->ring));
	if (l->ring)
		memset(l->ring, 0, l->last * sizeof(*l->ring));
	drain(l);
	print_held(l);
	l->filter.since_us = 0;
}

/* As journalctl has it: `-u NAME`. */
static void take_names(struct logs *l)
{
	static char *names[LOGS_NAMES_MAX + 1];
	const char *unit = ctl_option(l->ctl, "unit");
	int n = l->ctl->argc;

	for (int i = 0; i < n; i++)
		names[i] = l->ctl->argv[i];
	if (unit)
		names[n++] = (char *)(uintptr_t)unit;
	l->filter.names = names;
	l->filter.n_names = n;
}

int ctl_logs(struct ctl *ctl)
{
	struct logs l = { .ctl = ctl, .rootfd = -1, .notify_fd = -1 };
	char path[PATH_MAX + 8];
	int r;

	take_names(&l);
	r = take_options(&l);
	if (r != CTL_OK)
		return r;
	logs_settle(&ctl->in);
	snprintf(path, sizeof(path), "%s/logs", ctl->in.state);
	l.rootfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l.rootfd < 0 && !(errno == ENOENT)) {
		say("%s: %s", path, strerror(errno));
		return CTL_FAILED;
	}
	if (l.rootfd < 0) {
		say("there are no logs yet in %s", path);
		return l.filter.n_names ? CTL_NO_SUCH : CTL_OK;
	}
	run(&l);
	r = check_names(&l);
	if (l.follow)
		follow(&l);
	say_bad(&l);
	release(&l);
	return r;
}
