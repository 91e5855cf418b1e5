/* Step 4 of a write into the mount: the file is opened, read, written. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "node.h"
#include "ops.h"

#define READ_BYTES (1 << 20)

static bool opens_for_write(const struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC;
}

static void set_draft_handle(struct fuse_file_info *fi)
{
	/* No pages of a text that is not published; no shared mappings. */
	fi->direct_io = 1;
}

static int create_plain(struct thoxfs *fs, enum store_dir dir, const char *name,
			struct fuse_file_info *fi, struct fuse_entry_param *e)
{
	struct plain *p;
	struct stat backing;
	int r;

	r = plain_create(fs, dir, name, fi->flags & (O_EXCL | O_TRUNC), &p);
	/* The answer to the first try was lost: this thread made it. */
	if (r == -EEXIST && fs->resent)
		r = plain_create(fs, dir, name, fi->flags & O_TRUNC, &p);
	if (r < 0)
		return r;
	r = plain_stat(fs, p, &backing);
	if (r < 0)
		return r;
	p->lookups++;
	e->ino = node_make(NODE_PLAIN, p->ino);
	node_stat_file(fs, e->ino, dir, name, &backing, &e->attr);
	listing_changed(fs, dir);
	fi->direct_io = 1;
	fi->noflush = 1;
	return 0;
}

/* What the name has, if the kernel did not know of it: another process
 * published it a moment ago. */
static int base_of_created(struct thoxfs *fs, enum store_dir dir,
			   const char *name, int flags,
			   struct store_entry *ret_entry)
{
	int r = store_lookup(fs->store, dir, name, ret_entry);

	if (r == -ENOENT)
		r = flags & O_EXCL && draft_unpublished(fs, dir, name, 0)
			    ? -EEXIST
			    : 0;
	else if (r == 0)
		r = flags & O_EXCL ? -EEXIST : 1;
	return r;
}

static int create_draft(struct thoxfs *fs, fuse_req_t req, enum store_dir dir,
			const char *name, struct fuse_file_info *fi,
			struct fuse_entry_param *e)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct store_entry base;
	struct draft *d;
	bool known;
	int r;

	if (strlen(name) > NAME_MAX_BYTES)
		return -ENAMETOOLONG;
	if (!name_valid(name))
		return -EINVAL;
	r = base_of_created(fs, dir, name, fi->flags, &base);
	if (r < 0)
		return r;
	known = r > 0;
	r = draft_new(fs, dir, name,
		      known && !(fi->flags & O_TRUNC) ? &base : NULL, &d);
	if (r < 0)
		return r;
	draft_set_created(fs, d, !known);
	d->exclusive = fi->flags & O_EXCL;
	d->opens = 1;
	d->tid = ctx->pid;
	d->uid = ctx->uid;
	d->lookups++;
	e->ino = node_make(NODE_DRAFT, d->id);
	/* The kernel's entry is the draft now, which it does not keep. */
	announce_clear(&fs->announce, dir, name);
	set_draft_handle(fi);
	return node_stat(fs, e->ino, &e->attr, &e->attr_timeout);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	struct fuse_entry_param e = { 0 };
	enum store_dir dir;
	int r;

	(void)mode;
	r = thoxfs_may_write(fs, req);
	if (r == 0)
		r = store_writable(fs->store);
	if (r == 0 && !node_dir(parent, &dir))
		r = -EPERM;
	if (r == 0 && plain_name(dir, name))
		r = create_plain(fs, dir, name, fi, &e);
	else if (r == 0)
		r = create_draft(fs, req, dir, name, fi, &e);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_create(req, &e, fi);
}

/*
 * A live content is opened for writing: ESTALE makes the kernel look the name
 * up again from this thread, and those lookups are answered with a draft.
 */
static int expect_writer(struct thoxfs *fs, fuse_req_t req, fuse_ino_t ino,
			 const struct fuse_file_info *fi)
{
	enum store_dir dir;
	int r;

	if (node_kind(ino) == NODE_BUILTIN)
		r = store_read_builtin(fs->store, node_id(ino), &dir, NULL,
				       NULL);
	else
		r = store_read_id(fs->store, node_id(ino), &dir, NULL, NULL);
	if (r == 0)
		draft_expect(fs, fuse_req_ctx(req)->pid, dir,
			     fi->flags & O_TRUNC);
	return -ESTALE;
}

static int open_content(struct thoxfs *fs, fuse_ino_t ino,
			struct fuse_file_info *fi)
{
	int r = reading_open(fs, ino);

	if (r < 0)
		return r;
	fi->keep_cache = 1;
	fi->noflush = 1;
	return 0;
}

static int open_draft(struct thoxfs *fs, fuse_req_t req, fuse_ino_t ino,
		      struct fuse_file_info *fi)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct draft *d;
	int r;

	r = draft_get(fs, node_id(ino), &d);
	/* The same process opens the unpublished name again: as for a live
	 * one. Through /proc/self/fd there is no lookup, and it is shared. */
	if (r == 0 && d->opens && opens_for_write(fi) &&
	    !draft_expected_in_vain(fs, ctx->pid)) {
		draft_expect(fs, ctx->pid, store_draft_dir(d->store),
			     fi->flags & O_TRUNC);
		return -ESTALE;
	}
	if (r == 0 && fi->flags & O_TRUNC && !d->truncated)
		r = store_draft_truncate(d->store, 0);
	if (r < 0)
		return r;
	if (fi->flags & O_TRUNC)
		draft_set_truncated(d);
	d->opens++;
	d->tid = ctx->pid;
	d->uid = ctx->uid;
	draft_arrived(fs, ctx->pid);
	set_draft_handle(fi);
	return 0;
}

static int open_plain(struct thoxfs *fs, fuse_ino_t ino,
		      struct fuse_file_info *fi)
{
	struct plain *p;
	int fd, r;

	r = plain_get(fs, node_id(ino), &p);
	if (r == 0)
		r = plain_fd(fs, p, &fd);
	if (r == 0 && fi->flags & O_TRUNC)
		r = store_file_truncate(fs->store, fd, 0);
	if (r < 0)
		return r;
	p->opens++;
	fi->direct_io = 1;
	fi->noflush = 1;
	return 0;
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	bool write = opens_for_write(fi);
	int r = 0;

	ino = node_settled(fs, ino);
	if (write)
		r = thoxfs_may_write(fs, req);
	if (r == 0 && write)
		r = store_writable(fs->store);
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	switch (node_kind(ino)) {
	case NODE_LIVE:
	case NODE_BUILTIN:
		r = write ? expect_writer(fs, req, ino, fi)
			  : open_content(fs, ino, fi);
		break;
	case NODE_VERSION:
		r = write ? -EACCES : open_content(fs, ino, fi);
		break;
	case NODE_DRAFT:
		r = open_draft(fs, req, ino, fi);
		break;
	case NODE_PLAIN:
		r = open_plain(fs, ino, fi);
		break;
	default:
		r = -EISDIR;
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_open(req, fi);
}

static int fd_of(struct thoxfs *fs, fuse_ino_t ino, int *ret_fd)
{
	struct draft *d;
	struct plain *p;
	int r;

	switch (node_kind(ino)) {
	case NODE_LIVE:
	case NODE_VERSION:
	case NODE_BUILTIN:
		return reading_fd(fs, ino, ret_fd);
	case NODE_DRAFT:
		r = draft_get(fs, node_id(ino), &d);
		if (r == 0)
			*ret_fd = store_draft_fd(d->store);
		return r;
	case NODE_PLAIN:
		r = plain_get(fs, node_id(ino), &p);
		return r < 0 ? r : plain_fd(fs, p, ret_fd);
	default:
		return -EISDIR;
	}
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	     struct fuse_file_info *fi)
{
	static char data[READ_BYTES];
	struct thoxfs *fs = fuse_req_userdata(req);
	ssize_t n = 0;
	int fd, r;

	(void)fi;
	r = fd_of(fs, node_settled(fs, ino), &fd);
	if (r == 0)
		n = pread(fd, data, size < sizeof(data) ? size : sizeof(data),
			  offset);
	if (r < 0 || n < 0)
		fuse_reply_err(req, r < 0 ? -r : errno);
	else
		fuse_reply_buf(req, data, (size_t)n);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size,
	      off_t offset, struct fuse_file_info *fi)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	struct draft *d = NULL;
	struct plain *p;
	ssize_t n = -EBADF;
	int fd;

	(void)fi;
	if (node_kind(ino) == NODE_DRAFT) {
		n = draft_get(fs, node_id(ino), &d);
		if (n == 0)
			n = store_draft_write(d->store, data, size, offset);
		if (n > 0)
			draft_set_written(d, true);
		else if (n < 0 && d)
			draft_set_failed(d, (int)n);
	} else if (node_kind(ino) == NODE_PLAIN) {
		n = plain_get(fs, node_id(ino), &p);
		if (n == 0)
			n = plain_fd(fs, p, &fd);
		if (n == 0)
			n = store_file_write(fs->store, fd, data, size, offset);
	}
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

/*
 * A draft is durable when its close returns, and after a crash it is nobody's
 * whatever was synced; a scratch file is not kept at all. Streams are synced,
 * and not by the loop.
 */
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	      struct fuse_file_info *fi)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	struct job *job;
	struct plain *p;
	int fd, r = 0;

	(void)datasync;
	(void)fi;
	if (fs->relaxed || node_kind(ino) != NODE_PLAIN ||
	    plain_get(fs, node_id(ino), &p) < 0 || p->dir != DIR_DATA ||
	    plain_fd(fs, p, &fd) < 0) {
		fuse_reply_err(req, 0);
		return;
	}
	job = job_new(JOB_SYNC, p->dir, "");
	if (job)
		job->sync_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (!job || job->sync_fd < 0) {
		r = job ? -errno : -ENOMEM;
		job_free(job);
		fuse_reply_err(req, -r);
		return;
	}
	job->reply = REPLY_RESULT;
	job->req = req;
	job_submit(fs, job);
}
