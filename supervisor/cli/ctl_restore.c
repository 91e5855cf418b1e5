/*
 * Step 9, in thoxctl: an instance out of an archive of `thoxctl backup`.
 *
 * All of it or nothing: the store is made beside the one that is there, which
 * has to be empty, and takes its place by a rename when all has been read,
 * compared and synced. The small files of the state go first; those that a
 * restore left that was killed are known by being the same.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl_restore_private.h"
#include "cli/remove.h"
#include "cli/say.h"
#include "cli/value.h"
#include "rpc/control.h"

#define STAGING ".restore" /* beside the store, behind its name */

/* --- small files -------------------------------------------------------------
 */

/* 0: not there; 1: the same as @s; 2: another one. */
static int compare(const struct small *s)
{
	_cleanup_(fd_closep) int fd = open(s->path, O_RDONLY | O_CLOEXEC);
	_cleanup_(freep) char *bytes = malloc(s->size + 1);
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!bytes)
		return -ENOMEM;
	n = fd_read_full(fd, bytes, s->size + 1);
	if (n < 0)
		return (int)n;
	return (size_t)n == s->size && memcmp(bytes, s->bytes, s->size) == 0
		       ? 1
		       : 2;
}

/* Never over another file: the name is given by a link. */
static int write_small(struct small *s)
{
	_cleanup_(fd_closep) int fd = -1;
	char draft[PATH_MAX + 48];
	int r;

	snprintf(draft, sizeof(draft), "%s.restore", s->path);
	(void)unlink(draft);
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, s->bytes, s->size);
	if (r == 0 && (fsync(fd) < 0 || link(draft, s->path) < 0))
		r = -errno;
	s->made = r == 0;
	(void)unlink(draft);
	return r;
}

static int write_states(struct restoring *rs)
{
	int r = 0;

	for (size_t i = 0; r == 0 && backup_states[i]; i++) {
		struct small *s = &rs->states[i];

		r = s->bytes ? compare(s) : 1;
		if (r == 0)
			r = write_small(s);
		else
			r = r > 0 ? 0 : r;
	}
	return r;
}

/* What an operator wrote for this machine stays. */
static int write_config(struct restoring *rs)
{
	int r = rs->config.bytes ? compare(&rs->config) : 1;

	if (r == 0)
		return write_small(&rs->config);
	if (r == 2)
		say("%s stays as it is; the archive has another one",
		    rs->config.path);
	return r < 0 ? r : 0;
}

static void take_back(struct restoring *rs)
{
	for (size_t i = 0; backup_states[i]; i++)
		if (rs->states[i].made)
			(void)unlink(rs->states[i].path);
	if (rs->config.made)
		(void)unlink(rs->config.path);
}

static void name_small(struct restoring *rs)
{
	for (size_t i = 0; backup_states[i]; i++)
		snprintf(rs->states[i].path, sizeof(rs->states[i].path),
			 "%s/%s", rs->ctl->in.state, backup_states[i]);
	snprintf(rs->config.path, sizeof(rs->config.path), "%s/thoxd.conf",
		 rs->ctl->in.config);
}

/* --- where it goes -----------------------------------------------------------
 */

/* Nothing starts or runs while these are held. -EBUSY: it runs. */
static int lock_instance(const struct ctl *ctl, int ret_fds[2])
{
	static const char *const files[] = { CONTROL_START_LOCK, "lock" };
	char path[PATH_MAX + 16];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", ctl->in.run, files[i]);
		ret_fds[i] = open(
			path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (ret_fds[i] < 0)
			return -errno;
		if (flock(ret_fds[i], LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK ? -EBUSY : -errno;
	}
	return 0;
}

static int check_empty(const struct ctl *ctl)
{
	char what[STORE_WHAT_BYTES];
	int r = store_empty(ctl->in.store, what);

	if (r == 0)
		return CTL_OK;
	if (r != -ENOTEMPTY)
		return ctl_fail(ctl->in.store, r);
	say("%s is not empty: there is %s. A backup is restored into an empty "
	    "instance only; move the directory away, or set THOX_DIR",
	    ctl->in.store, what);
	return CTL_REFUSED;
}

static int check_states(struct restoring *rs)
{
	for (size_t i = 0; backup_states[i]; i++) {
		int r = rs->states[i].bytes ? compare(&rs->states[i]) : 0;

		if (r < 0)
			return ctl_fail(rs->states[i].path, r);
		if (r < 2)
			continue;
		say("%s is there already, and the archive has another one: "
		    "move it away first",
		    rs->states[i].path);
		return CTL_REFUSED;
	}
	return CTL_OK;
}

/* What a restore left that was killed goes first. */
static int make_staging(struct restoring *rs)
{
	int r;

	snprintf(rs->staging, sizeof(rs->staging), "%s" STAGING,
		 rs->ctl->in.store);
	r = remove_tree(rs->staging);
	if (r < 0)
		return r;
	if (mkdir(rs->staging, 0700) < 0)
		return -errno;
	rs->root_fd = open(rs->staging,
			   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return rs->root_fd < 0 ? -errno : 0;
}

static int sync_parent(const char *path)
{
	_cleanup_(fd_closep) int fd = -1;
	char parent[PATH_MAX];

	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = '\0';
	fd = open(parent[0] ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* The rename takes the place of an empty directory only: whoever put something
 * there meanwhile is not overwritten. */
static int commit(struct restoring *rs)
{
	const char *store = rs->ctl->in.store;
	int r = syncfs(rs->root_fd) < 0 ? -errno : 0;

	if (r == 0)
		r = write_states(rs);
	if (r == 0)
		r = write_config(rs);
	if (r == 0)
		r = store_clear(store);
	if (r == 0 && rename(rs->staging, store) < 0)
		r = -errno;
	if (r < 0) {
		take_back(rs);
		return r;
	}
	r = sync_parent(store);
	return r == 0 ? sync_parent(rs->states[0].path) : r;
}

/* --- the command -------------------------------------------------------------
 */

static int fail(const struct restoring *rs, int r)
{
	if (rs->terminal)
		fputs("\r\033[K", stderr);
	if (r == -EBADMSG)
		say("%s: not an archive of `thoxctl backup`, or damaged",
		    rs->file);
	else if (r == -EPROTONOSUPPORT)
		say("%s: thox %s made it, which is newer than this one",
		    rs->file, rs->manifest.thox);
	else if (r == -EINTR)
		say("interrupted: nothing was restored");
	else
		return ctl_fail(rs->file, r);
	return CTL_FAILED;
}

static int tell(const struct restoring *rs)
{
	json_t *value;

	if (rs->terminal)
		fputs("\r\033[K", stderr);
	if (!rs->ctl->json)
		return CTL_OK;
	value = json_pack(
		"{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "file", rs->file, "thox",
		rs->manifest.thox, "time", (json_int_t)rs->manifest.time_s,
		"texts", (json_int_t)rs->n_texts, "storages",
		(json_int_t)rs->n_storages, "streams",
		(json_int_t)rs->n_streams, "bytes", (json_int_t)rs->bytes);
	value_dump(value);
	json_decref(value);
	return CTL_OK;
}

static int read_and_commit(struct restoring *rs)
{
	int r = make_staging(rs), code;

	if (r < 0)
		return ctl_fail(rs->staging, r);
	r = restoring_read(rs);
	if (r < 0)
		return fail(rs, r);
	code = check_states(rs);
	if (code != CTL_OK)
		return code;
	r = commit(rs);
	if (r < 0)
		return ctl_fail(rs->ctl->in.store, r);
	return tell(rs);
}

static int restore_all(struct restoring *rs)
{
	int locks[2] = { -1, -1 }, code;
	int r = lock_instance(rs->ctl, locks);

	if (r == -EBUSY) {
		say("the instance at %s runs, or starts: `thoxctl shutdown` "
		    "first",
		    rs->ctl->in.run);
		code = CTL_REFUSED;
	} else if (r < 0) {
		code = ctl_fail(rs->ctl->in.run, r);
	} else {
		code = check_empty(rs->ctl);
	}
	if (code == CTL_OK) {
		code = read_and_commit(rs);
		if (code != CTL_OK)
			(void)remove_tree(rs->staging);
		fd_close(rs->root_fd);
	}
	fd_close(locks[0]);
	fd_close(locks[1]);
	return code;
}

static int open_archive(struct restoring *rs)
{
	if (strcmp(rs->file, "-") == 0)
		rs->in.fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		rs->in.fd = open(rs->file, O_RDONLY | O_CLOEXEC);
	return rs->in.fd < 0 ? -errno : 0;
}

static void free_all(struct restoring *rs)
{
	for (size_t i = 0; i < RESTORE_STATES; i++)
		free(rs->states[i].bytes);
	free(rs->config.bytes);
	free(rs->records);
	free(rs->piece);
	fd_close(rs->in.fd);
}

int ctl_restore(struct ctl *ctl)
{
	static struct restoring rs;
	int r, code;

	rs.ctl = ctl;
	rs.file = ctl->argv[0];
	rs.root_fd = -1;
	rs.terminal = isatty(STDERR_FILENO);
	name_small(&rs);
	r = open_archive(&rs);
	if (r < 0)
		return ctl_fail(rs.file, r);
	rs.piece = malloc(BACKUP_PIECE_BYTES);
	r = rs.piece ? instance_make_dirs(&ctl->in) : -ENOMEM;
	backup_catch_signals();
	code = r < 0 ? ctl_fail(ctl->in.store, r) : restore_all(&rs);
	free_all(&rs);
	return code;
}
