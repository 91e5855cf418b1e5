/* Step 5 of a write into the mount: the closing flush publishes. */

#include <errno.h>
#include <string.h>

#include "node.h"
#include "notify.h"
#include "ops.h"
#include "writer.h"

/*
 * When a flush publishes: it comes for every close of every duplicate, so one
 * with nothing written since the open or the last flush publishes nothing
 * (shells duplicate and close a descriptor before they write). A later one
 * of the same draft replaces the version that it made before. The release,
 * which comes when all duplicates are closed, publishes only a truncation
 * that no flush did, unless a signal closed the last of them: who dies before
 * the first byte has emptied nothing. After a write that did not fit nothing
 * is published: a flush says so once more, and the draft goes.
 */

int close_publish(struct thoxfs *fs, struct draft *d, enum job_kind kind,
		  struct job **ret_job)
{
	struct job *job;
	int r;

	job = job_new(kind, store_draft_dir(d->store),
		      store_draft_name(d->store));
	if (!job)
		return -ENOMEM;
	r = store_draft_freeze(d->store, &job->text);
	if (r < 0) {
		job_free(job);
		return r;
	}
	job->draft = d;
	job->was_created = d->created;
	job->exclusive = d->exclusive && d->created;
	job->resent = fs->resent;
	d->jobs++;
	draft_set_written(d, false);
	d->truncated = false;
	*ret_job = job;
	return 0;
}

/*
 * This flush was sent to a former thoxfs too, which published the text, or
 * refused it, and died before it could say which.
 */
static int lost_answer(struct thoxfs *fs, const struct draft *d)
{
	struct store_entry entry;

	if (!fs->resent ||
	    store_read_id(fs->store, d->id, NULL, &entry, NULL) < 0)
		return 0;
	return entry.event == STORE_REJECTED ? -EINVAL : 0;
}

static int flush_draft(struct thoxfs *fs, fuse_req_t req, struct draft *d)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct store_writer writer;
	struct job *job;
	int r;

	if (d->removed)
		return 0;
	if (d->failed)
		return d->failed;
	if (!d->written && !d->truncated)
		return lost_answer(fs, d);
	writer_of(ctx->pid, ctx->uid, &writer, &d->killed);
	if (!d->written && d->created) {
		/* The release makes the name. Nobody waits for that, so that
		 * whoever closes and lists must not find a listing kept. */
		notify_forget_listing(fs, store_draft_dir(d->store), req);
		return 1;
	}
	if (!d->written)
		return lost_answer(fs, d);
	/* Closed by the kernel in the middle of a write, for all we know:
	 * another holder of the descriptor may still close it properly. */
	if (d->killed)
		return 0;
	r = close_publish(fs, d, JOB_PUBLISH, &job);
	if (r < 0)
		return r;
	job->writer = writer;
	job->reply = REPLY_RESULT;
	job->req = req;
	job_submit(fs, job);
	return 1;
}

void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	struct draft *d;
	int r = 0;

	(void)fi;
	ino = node_settled(fs, ino);
	if (node_kind(ino) == NODE_DRAFT) {
		r = draft_get(fs, node_id(ino), &d);
		if (r == 0)
			r = flush_draft(fs, req, d);
		else if (r == -ESTALE)
			r = 0; /* published, and all closed */
	}
	if (r <= 0)
		fuse_reply_err(req, -r);
}

/* Nobody hears of an error any more; what was written is not lost. */
static void release_draft(struct thoxfs *fs, struct draft *d)
{
	struct job *job;
	enum job_kind kind = d->written ? JOB_KEEP : JOB_PUBLISH;
	int r;

	if (d->opens)
		d->opens--;
	if (d->opens || d->removed || d->failed ||
	    (!d->written && (!d->truncated || d->killed))) {
		draft_settle(fs, d);
		return;
	}
	r = close_publish(fs, d, kind, &job);
	if (r < 0) {
		draft_settle(fs, d);
		return;
	}
	writer_of(d->tid, d->uid, &job->writer, NULL);
	if (kind == JOB_KEEP)
		strcpy(job->verdict.reason,
		       d->killed ? "writer was killed" : "written after close");
	job_submit(fs, job);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	struct draft *d;
	struct plain *p;

	(void)fi;
	ino = node_settled(fs, ino);
	switch (node_kind(ino)) {
	case NODE_DRAFT:
		if (draft_get(fs, node_id(ino), &d) == 0)
			release_draft(fs, d);
		break;
	case NODE_PLAIN:
		if (plain_get(fs, node_id(ino), &p) == 0)
			plain_release(fs, p);
		break;
	default:
		reading_release(fs, ino);
	}
	fuse_reply_err(req, 0);
}
