/*
 * Step 9, in thoxctl: all of an instance into one archive, while it runs: where
 * the archive goes, and what is said of it.
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
#include "cli/ctl_backup_private.h"
#include "cli/ctl_store.h"
#include "cli/say.h"
#include "storaged/database.h"

/* A file gets its name when it is whole; what is no file is written to. */
static int open_target(struct backing *b)
{
	struct stat st;

	if (ctl_is_dash(b->file)) {
		b->out.fd = STDOUT_FILENO;
		return 0;
	}
	if (stat(b->file, &st) == 0 && !S_ISREG(st.st_mode)) {
		b->out.fd = open(b->file, O_WRONLY | O_CLOEXEC);
		return b->out.fd < 0 ? -errno : 0;
	}
	if (snprintf(b->draft, sizeof(b->draft), "%s.XXXXXX", b->file) >=
	    (int)sizeof(b->draft)) {
		b->draft[0] = '\0';
		return -ENAMETOOLONG;
	}
	b->out.fd = mkostemp(b->draft, O_CLOEXEC); /* 0600 */
	if (b->out.fd >= 0)
		return 0;
	b->draft[0] = '\0';
	return -errno;
}

static int sync_directory(const char *file)
{
	_cleanup_(fd_closep) int fd = -1;
	char dir[PATH_MAX];
	const char *slash = strrchr(file, '/');
	size_t n = slash ? (size_t)(slash - file) + 1 : 0;

	if (n >= sizeof(dir))
		return -ENAMETOOLONG;
	memcpy(dir, file, n);
	dir[n] = '\0';
	fd = open(n ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int close_target(struct backing *b, int r)
{
	if (r == 0 && b->draft[0] && fsync(b->out.fd) < 0)
		r = -errno;
	if (!ctl_is_dash(b->file))
		fd_close(b->out.fd);
	if (r == 0 && b->draft[0] && rename(b->draft, b->file) < 0)
		r = -errno;
	if (r < 0 && b->draft[0])
		(void)unlink(b->draft);
	return r == 0 && b->draft[0] ? sync_directory(b->file) : r;
}

/* -EBUSY: another backup is made. */
static int open_spool(struct backing *b)
{
	char path[PATH_MAX + 16];
	struct stat st;

	snprintf(path, sizeof(path), "%s/" SPOOL, b->ctl->in.store);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	b->spool_fd =
		open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (b->spool_fd < 0)
		return -errno;
	if (flock(b->spool_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	/* One that has just ended may have taken it away. */
	return fstat(b->spool_fd, &st) < 0 || st.st_nlink == 0 ? -EBUSY : 0;
}

static void close_spool(struct backing *b)
{
	char path[PATH_MAX + 16];

	backing_clear_spool(b);
	snprintf(path, sizeof(path), "%s/" SPOOL, b->ctl->in.store);
	(void)rmdir(path);
	fd_close(b->spool_fd);
}

static int tell(const struct backing *b, int r)
{
	json_t *value;
	char *text;

	if (b->terminal)
		fputs("\r\033[K", stderr);
	if (r == -EINTR) {
		say("interrupted: nothing was written");
		return CTL_FAILED;
	}
	if (r < 0)
		return ctl_fail(b->file, r);
	if (b->ctl->json) {
		value = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "file",
				  b->file, "texts", (json_int_t)b->n_texts,
				  "storages", (json_int_t)b->n_storages,
				  "streams", (json_int_t)b->n_streams, "bytes",
				  (json_int_t)b->bytes, "left_out",
				  (json_int_t)b->problems);
		text = json_dumps(value, 0);
		/* the archive itself may be on standard output */
		fprintf(ctl_is_dash(b->file) ? stderr : stdout, "%s\n",
			text ? text : "");
		free(text);
		json_decref(value);
	}
	return b->problems ? CTL_FAILED : CTL_OK;
}

static int back_up(struct backing *b)
{
	int r = open_spool(b);

	if (r == -EBUSY)
		say("another backup of this instance is being made");
	if (r < 0) {
		fd_close(b->spool_fd);
		return r == -EBUSY ? CTL_REFUSED
				   : ctl_fail(b->ctl->in.store, r);
	}
	r = open_target(b);
	if (r == 0)
		r = close_target(b, backing_put_all(b));
	close_spool(b);
	return tell(b, r);
}

static void store_freep(struct store **s)
{
	store_free(*s);
}

int ctl_backup(struct ctl *ctl)
{
	_cleanup_(store_freep) struct store *s = NULL;
	struct backing b = { .ctl = ctl,
			     .file = ctl->argv[0],
			     .spool_fd = -1,
			     .terminal = isatty(STDERR_FILENO) };
	int r;

	if (ctl_is_dash(b.file) && isatty(STDOUT_FILENO)) {
		say("an archive is not for a terminal");
		return CTL_USAGE;
	}
	r = ctl_store_open(ctl, &s);
	if (r != CTL_OK)
		return r;
	b.store = s;
	b.piece = malloc(BACKUP_PIECE_BYTES);
	if (!b.piece || database_init() < 0)
		r = ctl_fail(b.file, -ENOMEM);
	mp_writer_init_heap(&b.sums);
	backup_catch_signals();
	if (r == CTL_OK)
		r = back_up(&b);
	backup_free(b.texts);
	mp_writer_deinit(&b.sums);
	free(b.piece);
	return r;
}
