/* Step 6 of a write into the mount: verified, committed, answered. */

#include "commit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "node.h"
#include "session.h"

/* Changes that share one sync at most. */
#define BATCH 64
/* Housekeeping of the store when nothing happened for so long. */
#define IDLE_SECONDS 2

struct job *job_new(enum job_kind kind, enum store_dir dir, const char *name)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->kind = kind;
	job->dir = dir;
	job->sync_fd = -1;
	snprintf(job->name, sizeof(job->name), "%s", name);
	return job;
}

void job_free(struct job *job)
{
	if (!job)
		return;
	store_text_free(job->text);
	fd_close(job->sync_fd);
	free(job);
}

static bool concerns(const struct job *job, enum store_dir dir,
		     const char *name)
{
	if (job->dir != dir || job->kind >= JOB_TOUCH)
		return false;
	return !name || name_same(dir, job->name, name) ||
	       (job->to[0] && name_same(dir, job->to, name));
}

struct job *job_pending(struct thoxfs *fs, enum store_dir dir, const char *name)
{
	struct job *lists[] = { fs->committer.running, fs->committer.queued };
	struct job *last = NULL;

	for (size_t i = 0; i < 2; i++)
		for (struct job *job = lists[i]; job; job = job->next)
			if (concerns(job, dir, name))
				last = job;
	return last;
}

bool job_park(struct job *job, const struct parked *p)
{
	struct parked *copy = malloc(sizeof(*copy));

	if (!copy)
		return false;
	*copy = *p;
	copy->next = job->parked;
	job->parked = copy;
	return true;
}

static bool wants_verdict(struct thoxfs *fs, const struct job *job)
{
	return job->kind == JOB_PUBLISH && fs->verifier && job->dir != DIR_DATA;
}

/*
 * No verdict can be had any more, and a confined process cannot start another
 * verifier: its successor can, and is sent these requests again.
 */
static void no_verdict(struct thoxfs *fs, struct job *job)
{
	if (fs->successor)
		_exit(SESSION_EXIT_AGAIN);
	job->result = -EIO;
}

/*
 * Without the lock: it may take as long as the verifier does, which works on
 * one text while the next are on their way.
 */
static void verify(struct thoxfs *fs, struct job *first)
{
	struct job *job, *asked = first;
	unsigned pending = 0;

	for (job = first; job; job = job->next) {
		for (; asked && pending < VERIFY_PENDING_MAX / 2;
		     asked = asked->next) {
			if (!wants_verdict(fs, asked))
				continue;
			if (verifier_ask(fs->verifier, asked->dir, asked->name,
					 store_text_fd(asked->text),
					 &asked->ticket) < 0)
				no_verdict(fs, asked);
			else
				pending++;
		}
		if (!wants_verdict(fs, job) || job->result < 0)
			continue;
		pending--;
		if (verifier_answer(fs->verifier, job->name, job->ticket,
				    &job->verdict) < 0)
			no_verdict(fs, job);
		else
			verdict_check_needs(&job->verdict, fs->store,
					    job->name);
	}
}

static void fill_change(struct job *job, struct store_change *c)
{
	*c = (struct store_change){
		.event = STORE_PUBLISHED,
		.dir = job->dir,
		.name = job->name,
		.text = job->text,
		.exclusive = job->exclusive,
		.writer = job->writer,
		.runtime = job->verdict.runtime,
	};
	if (job->kind == JOB_LINK)
		c->target = job->to;
	if (job->kind == JOB_REMOVE)
		c->event = STORE_REMOVED;
	if (job->kind == JOB_KEEP || job->verdict.result < 0) {
		c->event = STORE_REJECTED;
		c->reason = job->verdict.reason;
		c->exclusive = false;
	}
	if (job->draft)
		c->replaces = store_draft_version(job->draft->store);
}

/* A second text of one draft must know which version the first became. */
static bool draft_is_in(const struct draft *d, const struct job *first,
			const struct job *end)
{
	for (; d && first != end; first = first->next)
		if (first->draft == d)
			return true;
	return false;
}

/* The jobs from @first on that go under one sync; how many. */
static size_t gather(struct thoxfs *fs, struct job *first,
		     struct store_change changes[BATCH])
{
	size_t n = 0;

	pthread_mutex_lock(&fs->lock);
	for (struct job *job = first; job && n < BATCH; job = job->next) {
		if (job->kind >= JOB_RENAME || job->result < 0 ||
		    draft_is_in(job->draft, first, job))
			break;
		fill_change(job, &changes[n++]);
	}
	pthread_mutex_unlock(&fs->lock);
	return n;
}

static void commit_batch(struct thoxfs *fs, struct job *first,
			 struct store_change *changes, size_t n)
{
	int r = store_commit(fs->store, changes, n);

	for (size_t i = 0; i < n; i++, first = first->next) {
		first->result = changes[i].result;
		if (r < 0 && first->result == 0)
			first->result = r;
		first->entry = changes[i].ret_entry;
		/* Refused is what the writer hears, kept or not. */
		if (first->verdict.result < 0 && first->kind == JOB_PUBLISH)
			first->result = first->verdict.result;
	}
}

static void commit_single(struct thoxfs *fs, struct job *job)
{
	if (job->result < 0)
		return;
	if (job->kind == JOB_SYNC)
		job->result = fdatasync(job->sync_fd) < 0 ? -errno : 0;
	else if (job->kind == JOB_TOUCH)
		job->result = store_touch(fs->store, job->dir, job->name,
					  &job->mtime);
	else
		job->result =
			store_rename(fs->store, job->dir, job->name, job->to,
				     job->noreplace, &job->writer, &job->entry);
}

/* Done already by a former thoxfs, whose answer got lost: also a success. */
static void forgive_resent(struct thoxfs *fs, struct job *job)
{
	struct store_entry entry;

	if (!job->resent || job->result == 0)
		return;
	if (job->kind == JOB_REMOVE && job->result == -ENOENT)
		job->result = 0;
	if (job->kind == JOB_RENAME && job->result == -ENOENT &&
	    store_lookup(fs->store, job->dir, job->to, &entry) == 0)
		job->result = 0;
	if (job->kind == JOB_LINK && job->result == -EEXIST &&
	    store_lookup(fs->store, job->dir, job->name, &entry) == 0 &&
	    strcmp(entry.target, job->to) == 0) {
		job->entry = entry;
		job->result = 0;
	}
}

static void answer_entry(struct job *job)
{
	struct fuse_entry_param e = { 0 };

	/* No timeouts: the next lookup says how long it holds. */
	e.ino = node_make(NODE_LINK, job->entry.id);
	e.attr = job->attr;
	fuse_reply_entry(job->req, &e);
}

/* The draft may be gone when the answer goes out. */
static void prepare_answer(struct thoxfs *fs, struct job *job)
{
	if (job->result < 0)
		return;
	if (job->reply == REPLY_ATTR)
		job->result =
			node_stat(fs, job->ino, &job->attr, &job->attr_seconds);
	if (job->reply == REPLY_ENTRY)
		node_stat_entry(fs, node_of_entry(fs, &job->entry), job->dir,
				&job->entry, &job->attr);
}

void job_answer(struct job *job)
{
	if (job->reply == REPLY_NONE)
		return;
	if (job->result < 0 || job->reply == REPLY_RESULT)
		fuse_reply_err(job->req, -job->result);
	else if (job->reply == REPLY_ATTR)
		fuse_reply_attr(job->req, &job->attr, job->attr_seconds);
	else
		answer_entry(job);
	job->reply = REPLY_NONE;
}

static void release_parked(struct thoxfs *fs, struct job *job)
{
	while (job->parked) {
		struct parked *p = job->parked;

		job->parked = p->next;
		p->fn(fs, p->req, p);
		free(p);
	}
}

static void finish_draft(struct thoxfs *fs, struct job *job)
{
	struct draft *d = job->draft;

	store_text_free(steal(&job->text));
	if (!d)
		return;
	job->draft = NULL;
	d->jobs--;
	if (job->result == 0 && job->kind == JOB_PUBLISH)
		draft_set_created(fs, d, false);
	draft_settle(fs, d);
}

/* Under the lock: what the job did becomes visible, in this order. */
static void complete(struct thoxfs *fs, struct job *job)
{
	forgive_resent(fs, job);
	if (job->plain[0] && job->plain_on_failure == (job->result < 0))
		(void)plain_remove(fs, job->dir, job->plain);
	if (job->result == 0)
		notify_collect(fs, job);
	prepare_answer(fs, job);
	release_parked(fs, job);
	if (job->holds_directory || (!job->n_forget && !job->forget_listing))
		job_answer(job);
	finish_draft(fs, job);
	if (job->n_forget || job->forget_listing)
		notify_tell(fs, job);
	job_free(job);
}

/* Are there more? Asked under the lock: from then on the loop may take the
 * place for a job of its own. */
static bool complete_first(struct thoxfs *fs, size_t n)
{
	bool more;

	pthread_mutex_lock(&fs->lock);
	while (n--) {
		struct job *job = fs->committer.running;

		fs->committer.running = job->next;
		job->next = NULL;
		complete(fs, job);
	}
	more = fs->committer.running;
	pthread_mutex_unlock(&fs->lock);
	return more;
}

/* All of `running`, in order; without the lock. */
static void run(struct thoxfs *fs)
{
	struct store_change changes[BATCH];
	bool more = true;

	verify(fs, fs->committer.running);
	while (more) {
		size_t n = gather(fs, fs->committer.running, changes);

		if (n)
			commit_batch(fs, fs->committer.running, changes, n);
		else
			commit_single(fs, fs->committer.running);
		more = complete_first(fs, n ? n : 1);
	}
}

/* Could the loop do it itself, without waiting for anything? */
static bool is_quick(struct thoxfs *fs, const struct job *job)
{
	const struct committer *c = &fs->committer;

	if (!fs->relaxed || job->kind == JOB_SYNC || c->running || c->queued)
		return false;
	return job->kind != JOB_PUBLISH || !fs->verifier;
}

void job_submit(struct thoxfs *fs, struct job *job)
{
	struct committer *c = &fs->committer;

	if (is_quick(fs, job)) {
		c->running = job;
		pthread_mutex_unlock(&fs->lock);
		run(fs);
		pthread_mutex_lock(&fs->lock);
		return;
	}
	*c->queued_last = job;
	c->queued_last = &job->next;
	/* One at work takes this one next, with all that come meanwhile. */
	if (!c->running)
		pthread_cond_signal(&c->wake);
	fs->woke_committer = !c->running;
}

/* Wait for jobs, keeping the store tidy meanwhile; false at the end. */
static bool wait_for_jobs(struct thoxfs *fs, bool *tidy)
{
	struct committer *c = &fs->committer;
	struct timespec until;

	while (!c->queued || c->running) {
		if (c->stopping)
			return false;
		if (*tidy) {
			pthread_cond_wait(&c->wake, &fs->lock);
			*tidy = false;
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += IDLE_SECONDS;
		if (pthread_cond_timedwait(&c->wake, &fs->lock, &until) !=
		    ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&fs->lock);
		(void)store_idle(fs->store);
		pthread_mutex_lock(&fs->lock);
		*tidy = true;
	}
	return true;
}

static void *committer_main(void *user)
{
	struct thoxfs *fs = user;
	struct committer *c = &fs->committer;
	bool tidy = false;

	pthread_mutex_lock(&fs->lock);
	while (wait_for_jobs(fs, &tidy)) {
		c->running = c->queued;
		c->queued = NULL;
		c->queued_last = &c->queued;
		tidy = false;
		pthread_mutex_unlock(&fs->lock);
		run(fs);
		pthread_mutex_lock(&fs->lock);
	}
	pthread_mutex_unlock(&fs->lock);
	return NULL;
}

int committer_start(struct thoxfs *fs)
{
	struct committer *c = &fs->committer;
	pthread_condattr_t attr;
	int r;

	c->queued_last = &c->queued;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &attr);
	r = pthread_create(&c->thread, NULL, committer_main, fs);
	c->started = r == 0;
	return -r;
}

void committer_stop(struct thoxfs *fs)
{
	struct committer *c = &fs->committer;

	if (!c->started)
		return;
	pthread_mutex_lock(&fs->lock);
	c->stopping = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&fs->lock);
	pthread_join(c->thread, NULL);
	c->started = false;
}
