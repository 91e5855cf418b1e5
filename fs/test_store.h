#pragma once

/*
 * A store of the test's own, and short words for what is done to it. For the
 * store's unit tests only.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "base/util.h"
#include "fs/store.h"

static char root[64];

static inline struct store *open_with(struct store_options options)
{
	struct store *s = NULL;

	options.flags |= STORE_CREATE;
	return store_open(root, &options, &s) == 0 ? s : NULL;
}

static inline struct store *open_plain(void)
{
	return open_with((struct store_options){ 0 });
}

static inline void remove_root(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	if (system(command) != 0)
		abort();
}

/* Each test has a fresh root, whatever became of the one before. */
static inline struct store *fresh(void)
{
	if (root[0])
		remove_root();
	strcpy(root, "/tmp/thox-test-store-XXXXXX");
	if (!mkdtemp(root))
		abort();
	return open_plain();
}

static inline int put_as(struct store *s, const char *name, const char *text,
			 enum store_event event, struct store_entry *ret)
{
	struct store_text *t = NULL;
	struct store_change c = { .event = event,
				  .dir = DIR_PROGRAMS,
				  .name = name,
				  .reason = "why" };
	int r;

	r = store_text_from_bytes(s, DIR_PROGRAMS, name, text, strlen(text),
				  &t);
	if (r < 0)
		return r;
	c.text = t;
	store_writer_self(&c.writer);
	r = store_commit(s, &c, 1);
	store_text_free(t);
	if (ret)
		*ret = c.ret_entry;
	return r < 0 ? r : c.result;
}

static inline int put(struct store *s, const char *name, const char *text)
{
	return put_as(s, name, text, STORE_PUBLISHED, NULL);
}

static inline int rm(struct store *s, const char *name)
{
	struct store_change c = { .event = STORE_REMOVED,
				  .dir = DIR_PROGRAMS,
				  .name = name };
	int r = store_commit(s, &c, 1);

	return r < 0 ? r : c.result;
}

/* What a reference reads as, in a static buffer; "-ERRNO" if it does not. */
static inline const char *get(struct store *s, const char *ref_text)
{
	static char buf[65536];
	struct name_ref ref;
	ssize_t n;
	int fd = -1, r;

	r = name_parse(ref_text, false, &ref, NULL);
	if (r == 0)
		r = store_resolve(s, DIR_PROGRAMS, &ref, NULL, &fd);
	if (r < 0) {
		snprintf(buf, sizeof(buf), "-%s", strerrorname_np(-r));
		return buf;
	}
	n = fd_read_full(fd, buf, sizeof(buf) - 1);
	fd_close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	return buf;
}

static inline int count_log(const struct store_entry *e, void *user)
{
	(void)e;
	++*(int *)user;
	return 0;
}

static inline int log_lines(struct store *s, const char *name)
{
	int n = 0, r = store_log(s, DIR_PROGRAMS, name, count_log, &n);

	return r < 0 ? r : n;
}

static inline int count_bad(enum store_dir dir, const char *name,
			    const struct store_entry *e, int result, void *user)
{
	(void)dir;
	(void)name;
	(void)e;
	*(int *)user += result < 0;
	return 0;
}

static inline int bad_files(struct store *s)
{
	int n = 0, r = store_verify(s, count_bad, &n);

	return r < 0 ? r : n;
}

static inline int files_in(const char *dir)
{
	char command[160];
	int n = -1;
	FILE *f;

	snprintf(command, sizeof(command), "ls -A '%s/%s' | wc -l", root, dir);
	f = popen(command, "r");
	if (!f || fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f)
		pclose(f);
	return n;
}

static inline int shell(const char *what)
{
	char command[300];

	snprintf(command, sizeof(command), "cd '%s' && %s", root, what);
	return system(command);
}
