/* Step 4 of a look: attributes, and what tools want to change about them. */

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "node.h"
#include "ops.h"
#include "writer.h"

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	enum store_dir dir;
	struct stat st;
	double seconds;
	int r;

	(void)fi;
	if (node_dir(ino, &dir))
		fs->listings.dirs[dir].told = true;
	r = node_stat(fs, ino, &st, &seconds);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, &st, seconds);
}

static void now(struct timespec *t)
{
	clock_gettime(CLOCK_REALTIME, t);
}

/* truncate(2) by path: no open, no flush, so it is a publication by itself. */
static int publish_truncation(struct thoxfs *fs, fuse_req_t req, fuse_ino_t ino,
			      struct draft *d)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct job *job;
	int r;

	r = close_publish(fs, d, JOB_PUBLISH, &job);
	if (r < 0)
		return r;
	writer_of(ctx->pid, ctx->uid, &job->writer, NULL);
	job->reply = REPLY_ATTR;
	job->req = req;
	job->ino = ino;
	draft_arrived(fs, ctx->pid);
	job_submit(fs, job);
	return 1;
}

/* 1 when a job will answer. */
static int resize_draft(struct thoxfs *fs, fuse_req_t req, fuse_ino_t ino,
			uint64_t size, bool by_handle)
{
	struct draft *d;
	int r;

	r = draft_get(fs, node_id(ino), &d);
	if (r < 0)
		return r;
	r = store_draft_truncate(d->store, size);
	if (r < 0)
		return r;
	draft_set_written(d, true);
	if (size == 0)
		draft_set_failed(d, 0);
	if (by_handle || d->opens)
		return 0;
	return publish_truncation(fs, req, ino, d);
}

/* A live content is never changed: the kernel's second try gets a draft. */
static int resize_live(struct thoxfs *fs, fuse_req_t req, fuse_ino_t ino)
{
	enum store_dir dir;
	int r;

	if (node_kind(ino) == NODE_BUILTIN)
		r = store_read_builtin(fs->store, node_id(ino), &dir, NULL,
				       NULL);
	else
		r = store_read_id(fs->store, node_id(ino), &dir, NULL, NULL);
	if (r == 0)
		draft_expect(fs, fuse_req_ctx(req)->pid, dir, false);
	return -ESTALE;
}

static int resize(struct thoxfs *fs, fuse_req_t req, fuse_ino_t ino,
		  uint64_t size, bool by_handle)
{
	struct plain *p;
	int fd, r;

	switch (node_kind(ino)) {
	case NODE_DRAFT:
		return resize_draft(fs, req, ino, size, by_handle);
	case NODE_LIVE:
	case NODE_BUILTIN:
		return resize_live(fs, req, ino);
	case NODE_PLAIN:
		r = plain_get(fs, node_id(ino), &p);
		if (r == 0)
			r = plain_fd(fs, p, &fd);
		if (r == 0)
			r = store_file_truncate(fs->store, fd, size);
		return r;
	case NODE_DIRECTORY:
		return -EISDIR;
	default:
		return -EACCES;
	}
}

/* 1 when a job will answer. */
static int touch_name(struct thoxfs *fs, fuse_req_t req, fuse_ino_t ino,
		      enum store_dir dir, const char *name,
		      const struct timespec *mtime)
{
	struct job *job = job_new(JOB_TOUCH, dir, name);

	if (!job)
		return -ENOMEM;
	job->mtime = *mtime;
	job->reply = REPLY_ATTR;
	job->req = req;
	job->ino = ino;
	job_submit(fs, job);
	return 1;
}

static int touch_live(struct thoxfs *fs, fuse_req_t req, fuse_ino_t ino,
		      const struct timespec *mtime)
{
	struct store_entry entry;
	enum store_dir dir;
	int r;

	r = store_read_id(fs->store, node_id(ino), &dir, &entry, NULL);
	if (r < 0)
		return r;
	if (!entry.live)
		return 0;
	return touch_name(fs, req, ino, dir, entry.name, mtime);
}

/* touch(1) opens for writing, sets the time and writes nothing: what it means
 * is the live text, if there is one. */
static int touch_draft(struct thoxfs *fs, fuse_req_t req, fuse_ino_t ino,
		       const struct timespec *mtime)
{
	struct draft *d;
	int r;

	r = draft_get(fs, node_id(ino), &d);
	if (r == 0)
		r = store_draft_utimens(d->store, mtime);
	if (r < 0 || d->written || d->truncated || d->created)
		return r;
	return touch_name(fs, req, ino, store_draft_dir(d->store),
			  store_draft_name(d->store), mtime);
}

static int touch(struct thoxfs *fs, fuse_req_t req, fuse_ino_t ino,
		 const struct timespec *mtime)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, *mtime };
	struct plain *p;
	int fd, r;

	switch (node_kind(ino)) {
	case NODE_DRAFT:
		return touch_draft(fs, req, ino, mtime);
	case NODE_LIVE:
		return touch_live(fs, req, ino, mtime);
	case NODE_PLAIN:
		r = plain_get(fs, node_id(ino), &p);
		if (r == 0)
			r = plain_fd(fs, p, &fd);
		if (r == 0 && futimens(fd, times) < 0)
			r = -errno;
		return r;
	default:
		/* Directories, versions, built-ins: their times are facts. */
		return 0;
	}
}

/*
 * Owner and mode are what they are: a change is accepted and has no effect,
 * because cp -p, tar and rsync take a refusal for a failure.
 */
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	struct stat st;
	double seconds;
	int r;

	ino = node_settled(fs, ino);
	r = thoxfs_may_write(fs, req);
	if (r == 0 && to_set & (FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MTIME))
		r = store_writable(fs->store);
	if (r == 0 && to_set & FUSE_SET_ATTR_SIZE)
		r = resize(fs, req, ino, (uint64_t)attr->st_size, fi != NULL);
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		now(&attr->st_mtim);
	/* A resize by the same request has set the time already. */
	if (r == 0 && to_set & FUSE_SET_ATTR_MTIME &&
	    !(to_set & FUSE_SET_ATTR_SIZE))
		r = touch(fs, req, ino, &attr->st_mtim);
	if (r > 0)
		return; /* a job answers */
	if (r == 0)
		r = node_stat(fs, ino, &st, &seconds);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, &st, seconds);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	struct store_usage usage;
	struct statvfs st = { .f_bsize = 4096, .f_frsize = 4096 };
	int r;

	(void)ino;
	r = store_usage(fs->store, &usage);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	st.f_blocks = usage.total_bytes / st.f_frsize;
	st.f_bfree = usage.free_bytes / st.f_frsize;
	st.f_bavail = st.f_bfree;
	st.f_files = usage.names;
	st.f_namemax = NAME_MAX_BYTES;
	fuse_reply_statfs(req, &st);
}
