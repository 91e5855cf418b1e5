/* The way of a publication, step 1: a draft is written, then frozen. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"
#include "fs/stat.h"

/*
 * A draft points to its current text, a file in `.drafts` that carries all
 * that a later process needs in its name: DRAFTID-ID-DIR-NAME. Freezing hands
 * out a reference to the text; the next write then goes on in a copy with an
 * id of its own, unless the reference came back without a commit. So a
 * content that was committed is never written.
 *
 * A living process holds a flock on its drafts: store_drafts() lists only
 * those that nobody holds.
 */
struct store_draft {
	struct store *s;
	struct store_text *text;
	struct store_text *before; /* frozen, its commit may still run */
	uint64_t id;
	uint64_t version;
	bool dirty;
};

static void text_freep(struct store_text **t)
{
	*t = store_text_free(*t);
}

static void draft_freep(struct store_draft **d)
{
	*d = store_draft_free(*d);
}

int store_draft_new(struct store *s, enum store_dir dir, const char *name,
		    uint64_t base_id, struct store_draft **ret_draft)
{
	_cleanup_(draft_freep) struct store_draft *d = calloc(1, sizeof(*d));
	_cleanup_(fd_closep) int base = -1;
	int r = 0;

	if (!d)
		return -ENOMEM;
	d->s = s;
	if (base_id)
		r = store_read_id(s, base_id, NULL, NULL, &base);
	if (r == 0)
		r = text_new(s, 0, dir, name, &d->text);
	if (r == 0 && base >= 0)
		r = text_fill(d->text, base);
	if (r < 0 || !d->text)
		return r;
	d->id = d->text->draft_id;
	*ret_draft = steal(&d);
	return 0;
}

/* Go on with a file of .drafts. */
static int reopen_file(struct store *s, const char *file, uint64_t draft_id,
		       uint64_t id, enum store_dir dir, const char *name,
		       struct store_text **ret_text)
{
	_cleanup_(text_freep) struct store_text *t = calloc(1, sizeof(*t));
	struct stat st;

	if (!t)
		return -ENOMEM;
	t->s = s;
	t->leave = true; /* until it is ours */
	t->dir = dir;
	t->id = id;
	t->draft_id = draft_id;
	atomic_init(&t->refs, 1);
	strcpy(t->name, name);
	t->fd = openat(s->draftsfd, file,
		       O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (t->fd < 0 || fstat(t->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EPERM;
	flock(t->fd, LOCK_SH | LOCK_NB);
	text_count(t, (uint64_t)st.st_size);
	t->leave = false;
	*ret_text = steal(&t);
	return 0;
}

int draft_scan(struct store *s, draft_scan_fn fn, void *user)
{
	int fd = openat(s->draftsfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct draft_found f;
	int r = 0;

	if (!list) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	while (r == 0 && (e = readdir(list))) {
		if (strlen(e->d_name) >= sizeof(f.file) ||
		    draft_name_parse(e->d_name, &f.draft_id, &f.id, &f.dir,
				     f.name) < 0)
			continue;
		strcpy(f.file, e->d_name);
		r = fn(&f, user);
	}
	closedir(list);
	return r;
}

/* The newest content of a draft; what it was frozen as before is not needed
 * any more when its process is gone. */
static int pick_newest(const struct draft_found *f, void *user)
{
	struct draft_found *best = user;

	if (f->draft_id == best->draft_id && f->id > best->id)
		*best = *f;
	return 0;
}

static int reopen_published(struct store *s, uint64_t id, struct store_draft *d)
{
	_cleanup_(fd_closep) int fd = -1;
	struct store_text *t;
	struct store_entry e;
	enum store_dir dir;
	int r;

	r = store_read_id(s, id, &dir, &e, &fd);
	if (r < 0)
		return r;
	if (e.draft_id != id)
		return -ESTALE;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->s = s;
	t->fd = steal_fd(&fd);
	t->dir = dir;
	t->id = e.id;
	t->draft_id = id;
	atomic_init(&t->refs, 1);
	atomic_init(&t->committed, true);
	strcpy(t->name, e.name);
	d->text = t;
	d->version = e.version;
	return 0;
}

int store_draft_reopen(struct store *s, uint64_t id,
		       struct store_draft **ret_draft)
{
	_cleanup_(draft_freep) struct store_draft *d = calloc(1, sizeof(*d));
	struct draft_found best = { .draft_id = id };
	int r;

	if (!d)
		return -ENOMEM;
	if (id == 0 || id >> STORE_ID_BITS)
		return -ESTALE;
	d->s = s;
	d->id = id;
	r = draft_scan(s, pick_newest, &best);
	if (r < 0)
		return r;
	if (best.id) {
		r = reopen_file(s, best.file, id, best.id, best.dir, best.name,
				&d->text);
		d->dirty = true;
	} else {
		r = reopen_published(s, id, d);
	}
	if (r < 0)
		return r;
	*ret_draft = steal(&d);
	return 0;
}

struct listing {
	struct store *s;
	store_drafts_fn fn;
	void *user;
};

static int list_unheld(const struct draft_found *f, void *user)
{
	_cleanup_(fd_closep) int fd = -1;
	struct listing *l = user;

	fd = openat(l->s->draftsfd, f->file,
		    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	return l->fn(f->draft_id, f->dir, f->name, fd, l->user);
}

int store_drafts(struct store *s, store_drafts_fn fn, void *user)
{
	struct listing l = { .s = s, .fn = fn, .user = user };

	return draft_scan(s, list_unheld, &l);
}

uint64_t store_draft_id(const struct store_draft *d)
{
	return d->id;
}

enum store_dir store_draft_dir(const struct store_draft *d)
{
	return d->text->dir;
}

const char *store_draft_name(const struct store_draft *d)
{
	return d->text->name;
}

bool store_draft_dirty(const struct store_draft *d)
{
	return d->dirty;
}

uint64_t store_draft_version(const struct store_draft *d)
{
	uint64_t version = atomic_load(&d->text->version);

	if (!version && d->before)
		version = atomic_load(&d->before->version);
	return version ? version : d->version;
}

int store_draft_fd(const struct store_draft *d)
{
	return d->text->fd;
}

/* A content that is live may have been touched by its name. */
static int mtime_of(const struct store_draft *d, int64_t *ret_mtime_ns)
{
	const struct store_text *t = d->text;
	struct store_entry e;

	if (!atomic_load(&t->committed) ||
	    store_read_id(d->s, t->id, NULL, &e, NULL) < 0)
		return text_mtime_ns(t, ret_mtime_ns);
	*ret_mtime_ns = timespec_ns(&e.mtime);
	return 0;
}

int store_draft_stat(const struct store_draft *d, struct stat *ret_stat)
{
	struct stat st = { 0 };
	struct statx x;
	int64_t mtime_ns;
	int r;

	r = stat_timeless(d->text->fd, &x);
	if (r == 0)
		r = mtime_of(d, &mtime_ns);
	if (r < 0)
		return r;
	st.st_size = (off_t)x.stx_size;
	st.st_blocks = (blkcnt_t)x.stx_blocks;
	st.st_mtim.tv_sec = mtime_ns / 1000000000;
	st.st_mtim.tv_nsec = mtime_ns % 1000000000;
	st.st_atim = st.st_ctim = st.st_mtim;
	*ret_stat = st;
	return 0;
}

/* Make the current text one that may be written. @keep_bytes: its content
 * matters. */
static int thaw(struct store_draft *d, bool keep_bytes)
{
	_cleanup_(text_freep) struct store_text *t = NULL;
	struct store_text *old = d->text;
	int r;

	r = store_writable(d->s);
	if (r < 0)
		return r;
	if (atomic_load(&old->refs) == 1 && !atomic_load(&old->committed))
		return 0;

	r = text_new(d->s, d->id, old->dir, old->name, &t);
	if (r == 0 && keep_bytes)
		r = text_fill(t, old->fd);
	if (r < 0)
		return r;
	d->version = store_draft_version(d);
	store_text_free(d->before);
	d->before = old;
	d->text = steal(&t);
	return 0;
}

ssize_t store_draft_write(struct store_draft *d, const void *data, size_t size,
			  off_t offset)
{
	uint64_t end = (uint64_t)offset + size, now;
	ssize_t n;
	int r;

	if (offset < 0 || end < size)
		return -EINVAL;
	now = d->text->size_bytes;
	r = store_room(d->s, end, end > now ? end - now : 0);
	if (r == 0)
		r = thaw(d, true);
	if (r < 0)
		return r;

	d->dirty = true;
	n = pwrite(d->text->fd, data, size, offset);
	if (n < 0)
		return -errno;
	d->text->mtime_ns = time_now_ns();
	end = (uint64_t)offset + (uint64_t)n;
	if (n > 0 && end > d->text->size_bytes)
		text_count(d->text, end);
	return n;
}

int store_draft_truncate(struct store_draft *d, uint64_t size)
{
	uint64_t now = d->text->size_bytes;
	int r;

	r = store_room(d->s, size, size > now ? size - now : 0);
	if (r == 0)
		r = thaw(d, size > 0);
	if (r < 0)
		return r;
	d->dirty = true;
	if (ftruncate(d->text->fd, (off_t)size) < 0)
		return -errno;
	d->text->mtime_ns = time_now_ns();
	text_count(d->text, size);
	return 0;
}

int store_draft_fill(struct store_draft *d, int fd)
{
	int r;

	r = thaw(d, false);
	if (r < 0)
		return r;
	d->dirty = true;
	if (ftruncate(d->text->fd, 0) < 0)
		return -errno;
	text_count(d->text, 0);
	return text_fill(d->text, fd);
}

int store_draft_utimens(struct store_draft *d, const struct timespec *mtime)
{
	int r;

	/* Of a content that is live already only the times change. */
	if (atomic_load(&d->text->committed)) {
		r = store_touch(d->s, d->text->dir, d->text->name, mtime);
		return r == -ENOENT ? 0 : r;
	}
	r = thaw(d, true);
	return r < 0 ? r : text_touch(d->text, mtime);
}

int store_draft_rename(struct store_draft *d, const char *name)
{
	char from[DRAFT_NAME_BYTES], to[DRAFT_NAME_BYTES];
	struct store_text *t;
	int r;

	if (!name_valid(name))
		return -EINVAL;
	r = thaw(d, true);
	if (r < 0)
		return r;
	t = d->text;
	text_file(t, from);
	draft_name(t->draft_id, t->id, t->dir, name, to);
	if (renameat(d->s->draftsfd, from, d->s->draftsfd, to) < 0)
		return -errno;
	strcpy(t->name, name);
	return 0;
}

int store_draft_freeze(struct store_draft *d, struct store_text **ret_text)
{
	atomic_fetch_add(&d->text->refs, 1);
	d->dirty = false;
	*ret_text = d->text;
	return 0;
}

struct store_draft *store_draft_free(struct store_draft *d)
{
	if (!d)
		return NULL;
	store_text_free(d->text);
	store_text_free(d->before);
	free(d);
	return NULL;
}

struct store_draft *store_draft_leave(struct store_draft *d)
{
	if (d)
		d->text->leave = true;
	return store_draft_free(d);
}
