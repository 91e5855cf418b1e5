/*
 * Step 3, in thoxctl: commands that change the store, under the same rules as
 * a copy into the mount: verified first, refused texts kept.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl_store.h"
#include "cli/say.h"
#include "cli/value.h"
#include "fs/verify.h"

static void store_freep(struct store **s)
{
	store_free(*s);
}

static void verifier_freep(struct verifier **v)
{
	verifier_free(*v);
}

static void text_freep(struct store_text **t)
{
	store_text_free(*t);
}

static int open_source(const char *path, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1;
	struct stat st;

	fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
				    : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* All that comes, pipes included, through the draft's own limits. */
static int fill(struct store_draft *d, int fd)
{
	char buf[65536];
	off_t offset = 0;
	ssize_t n;

	while ((n = fd_read_full(fd, buf, sizeof(buf))) > 0) {
		ssize_t written = store_draft_write(d, buf, (size_t)n, offset);

		if (written < 0)
			return (int)written;
		offset += n;
	}
	return (int)n;
}

static int freeze(struct store *s, const struct store_name *name, int fd,
		  struct store_text **ret_text)
{
	struct store_draft *d = NULL;
	int r = store_draft_new(s, name->dir, name->ref.name, 0, &d);

	if (r == 0)
		r = fill(d, fd);
	if (r == 0)
		r = store_draft_freeze(d, ret_text);
	store_draft_free(d);
	return r;
}

static int check(struct store *s, const struct store_name *name,
		 const struct store_text *text, struct verdict *ret_verdict)
{
	_cleanup_(verifier_freep) struct verifier *v = NULL;
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s/thox-verifier",
		 instance_libexec_dir());
	r = verifier_new(path, &v);
	if (r == 0)
		r = verifier_check(v, name->dir, name->ref.name,
				   store_text_fd(text), ret_verdict);
	if (r < 0)
		return ctl_fail(path, r);
	verdict_check_needs(ret_verdict, s, name->ref.name);
	return CTL_OK;
}

static void report(const struct ctl *ctl, const struct store_entry *e)
{
	json_t *o;

	if (!ctl->json) {
		printf("%s@%llu\n", e->name, (unsigned long long)e->version);
		return;
	}
	o = ctl_store_json(e);
	value_dump(o);
	json_decref(o);
}

static int commit(const struct ctl *ctl, struct store *s,
		  const struct store_name *name, struct store_text *text)
{
	struct verdict verdict = { 0 };
	struct store_change change = {
		.event = STORE_PUBLISHED,
		.dir = name->dir,
		.name = name->ref.name,
		.text = text,
		.runtime = verdict.runtime,
	};
	int r = check(s, name, text, &verdict);

	if (r != CTL_OK)
		return r;
	store_writer_self(&change.writer);
	if (verdict.result < 0) {
		change.event = STORE_REJECTED;
		change.reason = verdict.reason;
	}
	r = store_commit(s, &change, 1);
	if (r == 0)
		r = change.result;
	if (r < 0)
		return ctl_fail(name->text, r);
	if (verdict.result < 0) {
		say("rejected: %s", verdict.reason);
		return CTL_REFUSED;
	}
	if (!change.ret_entry.name[0])
		strcpy(change.ret_entry.name, name->ref.name);
	report(ctl, &change.ret_entry);
	return CTL_OK;
}

static int publish(const struct ctl *ctl, struct store *s,
		   const struct store_name *name, int fd)
{
	_cleanup_(text_freep) struct store_text *text = NULL;
	int r = freeze(s, name, fd, &text);

	if (r < 0)
		return ctl_fail(name->text, r);
	return commit(ctl, s, name, text);
}

/* A stream is no text: it is written in place, as through the mount. */
static int put_stream(struct store *s, const struct store_name *name, int from)
{
	_cleanup_(fd_closep) int fd = -1;
	char buf[65536];
	off_t offset = 0;
	ssize_t n;
	int r = store_file_open(s, DIR_DATA, name->ref.name,
				O_RDWR | O_CREAT | O_TRUNC, &fd);

	if (r < 0)
		return ctl_fail(name->text, r);
	while ((n = fd_read_full(from, buf, sizeof(buf))) > 0) {
		ssize_t written =
			store_file_write(s, fd, buf, (size_t)n, offset);

		if (written < 0)
			return ctl_fail(name->text, (int)written);
		offset += n;
	}
	return n < 0 ? ctl_fail("read", (int)n) : CTL_OK;
}

int ctl_store_put(struct ctl *ctl)
{
	_cleanup_(store_freep) struct store *s = NULL;
	_cleanup_(fd_closep) int fd = -1;
	struct store_name name;
	int r = ctl_store_name(ctl->argv[0], false, &name);

	if (r != CTL_OK)
		return r;
	r = open_source(ctl->argv[1], &fd);
	if (r < 0)
		return ctl_fail(ctl->argv[1], r);
	r = ctl_store_open(ctl, &s);
	if (r != CTL_OK)
		return r;
	if (name.dir == DIR_DATA)
		return put_stream(s, &name, fd);
	return publish(ctl, s, &name, fd);
}

int ctl_store_rollback(struct ctl *ctl)
{
	_cleanup_(store_freep) struct store *s = NULL;
	_cleanup_(fd_closep) int fd = -1;
	struct store_entry entry;
	struct store_name name;
	int r = ctl_store_name(ctl->argv[0], true, &name);

	if (r == CTL_OK && name.dir == DIR_DATA) {
		say("%s: streams of data/ have no versions", name.text);
		r = CTL_USAGE;
	}
	if (r == CTL_OK)
		r = ctl_store_open(ctl, &s);
	if (r != CTL_OK)
		return r;
	if (name.ref.kind == REF_LIVE) {
		r = ctl_store_good(s, &name, &name.ref.version);
		if (r < 0) {
			say("%s: no older version", name.text);
			return CTL_NO_SUCH;
		}
		name.ref.kind = REF_VERSION;
	}
	r = ctl_store_read(s, &name, &entry, &fd);
	if (r != CTL_OK)
		return r;
	return publish(ctl, s, &name, fd);
}

static int remove_text(struct store *s, const struct store_name *name)
{
	struct store_change change = {
		.event = STORE_REMOVED,
		.dir = name->dir,
		.name = name->ref.name,
	};
	struct store_entry entry;
	int r = store_lookup(s, name->dir, name->ref.name, &entry);

	if (r < 0)
		return r;
	if (entry.builtin) {
		say("%s: built in, which cannot be removed", name->text);
		return -EPERM;
	}
	store_writer_self(&change.writer);
	r = store_commit(s, &change, 1);
	return r < 0 ? r : change.result;
}

int ctl_store_rm(struct ctl *ctl)
{
	_cleanup_(store_freep) struct store *s = NULL;
	struct store_name name;
	int r = ctl_store_name(ctl->argv[0], false, &name);

	if (r == CTL_OK)
		r = ctl_store_open(ctl, &s);
	if (r != CTL_OK)
		return r;
	r = name.dir == DIR_DATA ? store_file_remove(s, DIR_DATA, name.ref.name)
				 : remove_text(s, &name);
	if (r == -ENOENT) {
		say("%s: no such name", name.text);
		return CTL_NO_SUCH;
	}
	return r < 0 ? ctl_fail(name.text, r) : CTL_OK;
}
