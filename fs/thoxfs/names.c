/* Step 4 of a removal or a renaming: names change what they stand for. */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "node.h"
#include "ops.h"
#include "writer.h"

/* May this request change names of @parent, and which directory is it? */
static int check(struct thoxfs *fs, fuse_req_t req, fuse_ino_t parent,
		 enum store_dir *ret_dir)
{
	int r = thoxfs_may_write(fs, req);

	if (r == 0)
		r = store_writable(fs->store);
	if (r == 0 && !node_dir(parent, ret_dir))
		r = -EPERM;
	return r;
}

static void submit(struct thoxfs *fs, fuse_req_t req, struct job *job)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	writer_of(ctx->pid, ctx->uid, &job->writer, NULL);
	if (job->reply == REPLY_NONE)
		job->reply = REPLY_RESULT;
	job->req = req;
	job->resent = fs->resent;
	job->holds_directory = true;
	job_submit(fs, job);
}

static void reply(fuse_req_t req, int r)
{
	/* Positive: a job answers. */
	if (r <= 0)
		fuse_reply_err(req, -r);
}

static int unlink_text(struct thoxfs *fs, fuse_req_t req, enum store_dir dir,
		       const char *name)
{
	pid_t tid = fuse_req_ctx(req)->pid;
	struct draft *d;
	struct job *job;

	if (!name_valid(name))
		return strchr(name, '@') ? -EPERM : -ENOENT;
	if (!job_pending(fs, dir, name) &&
	    store_lookup(fs->store, dir, name, NULL) == -ENOENT) {
		d = draft_unpublished(fs, dir, name, tid);
		if (d) {
			d->removed = true;
			return 0;
		}
		lookup_exact_next(fs, tid, dir, name);
		if (!fs->resent)
			return -ENOENT;
	}
	job = job_new(JOB_REMOVE, dir, name);
	if (!job)
		return -ENOMEM;
	submit(fs, req, job);
	return 1;
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	enum store_dir dir;
	int r;

	r = check(fs, req, parent, &dir);
	if (r == 0 && plain_name(dir, name)) {
		r = plain_remove(fs, dir, name);
		if (r == -ENOENT && fs->resent)
			r = 0;
		listing_changed(fs, dir);
	} else if (r == 0) {
		r = unlink_text(fs, req, dir, name);
	}
	reply(req, r);
}

/* vim, rsync and sed -i: a scratch file becomes the next version. */
static int publish_plain(struct thoxfs *fs, fuse_req_t req, enum store_dir dir,
			 const char *from, const char *to, bool noreplace)
{
	struct stat st;
	struct plain *p;
	struct draft *d;
	struct job *job = NULL;
	int fd, r;

	r = plain_lookup(fs, dir, from, &p, &st);
	/* Done by a former thoxfs, whose answer got lost. */
	if (r == -ENOENT && fs->resent &&
	    store_lookup(fs->store, dir, to, NULL) == 0)
		return 0;
	if (r == 0)
		r = plain_fd(fs, p, &fd);
	if (r == 0)
		r = draft_new(fs, dir, to, NULL, &d);
	if (r < 0)
		return r;
	r = store_draft_fill(d->store, fd);
	if (r == 0)
		r = store_draft_utimens(d->store, &st.st_mtim);
	if (r == 0)
		r = close_publish(fs, d, JOB_PUBLISH, &job);
	if (r < 0) {
		draft_settle(fs, d);
		return r;
	}
	job->exclusive = noreplace;
	snprintf(job->plain, sizeof(job->plain), "%s", from);
	submit(fs, req, job);
	return 1;
}

static int copy_to_plain(struct thoxfs *fs, int from,
			 const struct timespec *mtime, int to)
{
	const struct timespec times[2] = { *mtime, *mtime };
	char data[65536];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(from, data, sizeof(data), at)) > 0) {
		n = store_file_write(fs->store, to, data, (size_t)n, at);
		if (n < 0)
			return (int)n;
		at += n;
	}
	if (n < 0)
		return -errno;
	return futimens(to, times) < 0 ? -errno : 0;
}

/* vim's backup: the live text moves to a scratch name and is gone. */
static int withdraw_to_plain(struct thoxfs *fs, fuse_req_t req,
			     enum store_dir dir, const char *from,
			     const char *to, bool noreplace)
{
	_cleanup_(fd_closep) int live = -1;
	struct store_entry entry;
	struct plain *p;
	struct job *job;
	int fd, r;

	r = store_lookup(fs->store, dir, from, &entry);
	if (r == -ENOENT && fs->resent &&
	    store_file_stat(fs->store, dir, to, &(struct stat){ 0 }) == 0)
		return 0;
	if (r == 0 && (entry.target[0] || entry.builtin))
		r = -EPERM;
	if (r == 0)
		r = store_read_id(fs->store, entry.id, NULL, NULL, &live);
	if (r == 0)
		r = plain_create(fs, dir, to, noreplace ? O_EXCL : O_TRUNC, &p);
	if (r < 0)
		return r;
	r = plain_fd(fs, p, &fd);
	if (r == 0)
		r = copy_to_plain(fs, live, &entry.mtime, fd);
	plain_release(fs, p);
	job = r == 0 ? job_new(JOB_REMOVE, dir, from) : NULL;
	if (!job) {
		(void)plain_remove(fs, dir, to);
		return r < 0 ? r : -ENOMEM;
	}
	snprintf(job->plain, sizeof(job->plain), "%s", to);
	job->plain_on_failure = true;
	submit(fs, req, job);
	return 1;
}

/* Written, and renamed before it was closed: published under the new name. */
static int rename_unpublished(struct thoxfs *fs, fuse_req_t req,
			      struct draft *d, const char *to, bool noreplace)
{
	struct job *job;
	int r;

	r = store_draft_rename(d->store, to);
	if (r == 0)
		r = close_publish(fs, d, JOB_PUBLISH, &job);
	if (r < 0)
		return r;
	job->exclusive = noreplace;
	submit(fs, req, job);
	return 1;
}

static int rename_text(struct thoxfs *fs, fuse_req_t req, enum store_dir dir,
		       const char *from, const char *to, bool noreplace)
{
	struct draft *d;
	struct job *job;

	if (strcmp(from, to) == 0)
		return 0;
	if (store_lookup(fs->store, dir, from, NULL) == -ENOENT) {
		d = draft_unpublished(fs, dir, from, fuse_req_ctx(req)->pid);
		if (d)
			return rename_unpublished(fs, req, d, to, noreplace);
	}
	job = job_new(JOB_RENAME, dir, from);
	if (!job)
		return -ENOMEM;
	strcpy(job->to, to);
	job->noreplace = noreplace;
	submit(fs, req, job);
	return 1;
}

static int rename_within(struct thoxfs *fs, fuse_req_t req, enum store_dir dir,
			 const char *from, const char *to, bool noreplace)
{
	bool from_plain = plain_name(dir, from), to_plain = plain_name(dir, to);
	int r;

	if (from_plain && to_plain) {
		r = plain_rename(fs, dir, from, to, noreplace);
		if (r == -ENOENT && fs->resent &&
		    store_file_stat(fs->store, dir, to, &(struct stat){ 0 }) ==
			    0)
			r = 0;
		listing_changed(fs, dir);
		return r;
	}
	if (!to_plain && strlen(to) > NAME_MAX_BYTES)
		return -ENAMETOOLONG;
	if (!to_plain && !name_valid(to))
		return -EINVAL;
	if (from_plain)
		return publish_plain(fs, req, dir, from, to, noreplace);
	if (!name_valid(from))
		return strchr(from, '@') ? -EPERM : -ENOENT;
	if (to_plain)
		return withdraw_to_plain(fs, req, dir, from, to, noreplace);
	return rename_text(fs, req, dir, from, to, noreplace);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	       fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	enum store_dir dir, new_dir;
	int r;

	r = check(fs, req, parent, &dir);
	if (r == 0)
		r = check(fs, req, new_parent, &new_dir);
	/* What may be in one directory may not be so in the other: mv copies
	 * then, and the copy is checked. */
	if (r == 0 && dir != new_dir)
		r = -EXDEV;
	if (r == 0 && flags & ~RENAME_NOREPLACE)
		r = -EINVAL;
	if (r == 0)
		r = rename_within(fs, req, dir, name, new_name,
				  flags & RENAME_NOREPLACE);
	reply(req, r);
}

/* To a sibling only: what is beside it is all that a text can mean. */
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		const char *name)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	enum store_dir dir;
	struct job *job;
	int r;

	r = check(fs, req, parent, &dir);
	if (r == 0 && (plain_name(dir, name) || !name_valid(target) ||
		       name_scratch(target)))
		r = -EPERM;
	if (r == 0 && strlen(name) > NAME_MAX_BYTES)
		r = -ENAMETOOLONG;
	if (r == 0 && !name_valid(name))
		r = -EINVAL;
	job = r == 0 ? job_new(JOB_LINK, dir, name) : NULL;
	if (!job) {
		fuse_reply_err(req, r < 0 ? -r : ENOMEM);
		return;
	}
	strcpy(job->to, target);
	job->exclusive = true;
	job->reply = REPLY_ENTRY;
	submit(fs, req, job);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	struct store_entry entry;

	if (node_kind(ino) != NODE_LINK ||
	    store_read_id(fs->store, node_id(ino), NULL, &entry, NULL) < 0)
		fuse_reply_err(req, ESTALE);
	else
		fuse_reply_readlink(req, entry.target);
}

/* What a flat store does not have. */
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t device)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)device;
	fuse_reply_err(req, EPERM);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)parent;
	(void)name;
	(void)mode;
	fuse_reply_err(req, EPERM);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent,
	     const char *new_name)
{
	(void)ino;
	(void)new_parent;
	(void)new_name;
	fuse_reply_err(req, EPERM);
}
