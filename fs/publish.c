/* The way of a publication, step 3: durable in the journal, then in place. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

/*
 * Commits that arrive while one runs wait, and then go together: the first of
 * them takes them all. A batch is
 *
 *   plan     what each change means, in order, as records
 *   journal  one write and one sync for all of them
 *   move     plain files: the draft and the live file change places, then the
 *            old one goes to .versions
 *   index    one append; from here on everyone sees it
 *
 * RENAME_EXCHANGE rather than link and rename: renaming over a file makes
 * ext4 start writing the new one out at once, which is what the journal is
 * there to put off.
 */
#define BATCH_MAX 32U

struct commit_wait {
	struct store_change *changes;
	size_t count;
	bool together;
	int result;
	bool done;
	struct commit_wait *next;
};

/* What a name shows at some point of the plan. */
struct state {
	uint64_t live_id, live_version, live_draft, max_version;
};

struct step {
	struct store_change *change;
	struct record rec;
	struct state before;
	bool journaled, together;
	bool apart; /* text is synced in its own file */
};

struct batch {
	struct store *s;
	struct step *steps;
	size_t count;
	struct journal_batch journal;
	bool apart;
};

static int index_state(struct store *s, enum store_dir dir, const char *name,
		       struct state *ret)
{
	struct state state = { 0 };
	struct index_node *node;
	struct record rec;
	int r = 0;

	pthread_mutex_lock(&s->memory);
	node = index_find(&s->index, dir, name);
	if (node)
		state.max_version = node->version;
	if (node && node->live) {
		r = index_record(&s->index, node->live, &rec);
		state.live_id = rec.id;
		state.live_version = rec.version;
		state.live_draft = rec.draft_id;
	}
	pthread_mutex_unlock(&s->memory);
	if (r == 0)
		*ret = state;
	return r;
}

static struct state state_after(const struct step *step)
{
	struct state state = step->before;

	if (step->rec.type == RECORD_REMOVED)
		state.live_id = state.live_version = state.live_draft = 0;
	if (step->rec.type == RECORD_PUBLISHED) {
		state.live_id = step->rec.id;
		state.live_version = step->rec.version;
		state.live_draft = step->rec.draft_id;
		if (step->rec.version > state.max_version)
			state.max_version = step->rec.version;
	}
	return state;
}

/* The step of the plan before @step that concerns the same name, or NULL. */
static struct step *step_before(struct batch *b, const struct step *step)
{
	for (struct step *p = b->steps + (step - b->steps); p-- > b->steps;)
		if (p->rec.dir == step->rec.dir &&
		    strcmp(p->rec.name, step->rec.name) == 0 &&
		    p->rec.type != RECORD_REJECTED)
			return p;
	return NULL;
}

/* What comes from outside is shown on terminals. */
static void copy_printable(char *to, size_t capacity, const char *from)
{
	size_t n = 0;

	for (; from && *from && n + 1 < capacity; from++, n++)
		to[n] = (unsigned char)*from < 32 || *from == 127 ? '?' : *from;
	to[n] = '\0';
}

static void plan_writer(struct record *rec, const struct store_writer *w)
{
	char command[STORE_COMMAND_BYTES];

	memcpy(command, w->command, sizeof(command));
	command[sizeof(command) - 1] = '\0';
	rec->uid = w->uid;
	rec->pid = (uint32_t)w->pid;
	copy_printable(rec->command, sizeof(rec->command), command);
}

/* Read the text once: into the journal where it is short, and its hash. */
static int plan_text(struct batch *b, struct step *step)
{
	const struct store_text *t = step->change->text;
	struct record *rec = &step->rec;
	struct stat st;
	void *bytes;
	ssize_t n;
	int r;

	if (atomic_load(&t->committed))
		return -EINVAL;
	if (fstat(t->fd, &st) < 0)
		return -errno;
	rec->id = t->id;
	rec->draft_id = t->draft_id;
	rec->ino = st.st_ino;
	rec->size_bytes = (uint64_t)st.st_size;
	rec->mtime_ns = timespec_ns(&st.st_mtim);
	if (rec->size_bytes > b->s->file_limit_bytes)
		return -EFBIG;
	step->apart =
		!step->journaled || rec->size_bytes > JOURNAL_INLINE_BYTES ||
		b->journal.inlined + rec->size_bytes > JOURNAL_BATCH_BYTES;
	if (step->apart)
		return content_hash(t->fd, rec->size_bytes, rec->sha256);

	r = journal_batch_room(&b->journal, rec->size_bytes, &bytes);
	if (r < 0)
		return r;
	n = pread(t->fd, bytes, rec->size_bytes, 0);
	if (n != (ssize_t)rec->size_bytes)
		return n < 0 ? -errno : -EIO;
	content_hash_bytes(bytes, rec->size_bytes, rec->sha256);
	return 0;
}

static int plan_link(struct store *s, struct step *step)
{
	const char *target = step->change->target;
	struct record *rec = &step->rec;
	int r;

	if (!name_valid(target))
		return -EPERM;
	r = store_new_id(s, &rec->id);
	if (r < 0)
		return r;
	rec->draft_id = rec->id;
	rec->size_bytes = strlen(target);
	rec->mtime_ns = rec->time_ns;
	strcpy(rec->target, target);
	content_hash_bytes(target, rec->size_bytes, rec->sha256);
	return 0;
}

static int plan_removed(struct store *s, struct step *step)
{
	struct record *rec = &step->rec;

	if (!step->before.live_id) {
		int r = store_lookup(s, rec->dir, rec->name, NULL);

		/* What the layer below shows cannot be removed. */
		return r == 0 ? -EPERM : -ENOENT;
	}
	rec->type = RECORD_REMOVED;
	rec->flags = step->change->moved ? RECORD_MOVED : 0;
	rec->id = rec->draft_id = step->before.live_id;
	rec->version = step->before.live_version;
	rec->mtime_ns = rec->time_ns;
	return 0;
}

static int plan_published(struct batch *b, struct step *step)
{
	const struct store_change *c = step->change;
	struct record *rec = &step->rec;
	int r;

	if (c->exclusive && step->before.live_id)
		return -EEXIST;
	if (!c->text == !c->target)
		return -EINVAL;
	rec->type = RECORD_PUBLISHED;
	r = c->text ? plan_text(b, step) : plan_link(b->s, step);
	if (r < 0)
		return r;
	rec->version = step->before.max_version + 1;
	if (c->replaces && c->replaces == step->before.live_version &&
	    rec->draft_id == step->before.live_draft) {
		rec->version = c->replaces;
		rec->flags = RECORD_REPLACES;
	}
	return rec->version > UINT32_MAX ? -EOVERFLOW : 0;
}

static int plan(struct batch *b, struct step *step)
{
	const struct store_change *c = step->change;
	struct record *rec = &step->rec;
	struct step *before;
	unsigned flags;
	void *unused;
	int r = 0;

	if ((unsigned)c->dir >= DIR_DATA || !c->name || !name_valid(c->name) ||
	    (c->runtime && c->runtime[0] && !name_valid(c->runtime)))
		return -EINVAL;
	rec->dir = c->dir;
	rec->time_ns = time_now_ns();
	strcpy(rec->name, c->name);
	strcpy(rec->runtime, c->runtime ? c->runtime : "");
	copy_printable(rec->reason, sizeof(rec->reason), c->reason);
	plan_writer(rec, &c->writer);

	before = step_before(b, step);
	if (before)
		step->before = state_after(before);
	else
		r = index_state(b->s, c->dir, c->name, &step->before);
	if (r < 0)
		return r;

	if (c->event == STORE_REJECTED) {
		rec->type = RECORD_REJECTED;
		return c->text ? plan_text(b, step) : -EINVAL;
	}
	step->journaled = true;
	r = c->event == STORE_REMOVED ? plan_removed(b->s, step)
				      : plan_published(b, step);
	if (r < 0)
		return r;

	flags = step->together ? JOURNAL_CONTINUES : 0;
	if (c->text && !step->apart)
		flags |= JOURNAL_INLINE;
	b->apart |= step->apart;
	r = journal_batch_room(&b->journal, 0, &unused);
	if (r == 0)
		journal_batch_add(&b->journal, rec, flags,
				  flags & JOURNAL_INLINE ? rec->size_bytes : 0);
	return r;
}

/* Everything that can fail for want of space is asked for here, before the
 * journal says that it happened. */
static int set_aside(struct batch *b)
{
	struct store *s = b->s;
	int r;

	pthread_mutex_lock(&s->memory);
	r = index_reserve(&s->index, b->count * RECORD_MAX_BYTES);
	pthread_mutex_unlock(&s->memory);
	if (r < 0 || b->journal.used == 0)
		return r;
	r = journal_reserve(&s->journal, &b->journal);
	if (r == -ENOSPC && !journal_empty(&s->journal)) {
		r = store_checkpoint(s, false);
		if (r == 0)
			r = journal_reserve(&s->journal, &b->journal);
	}
	return r;
}

static int write_journal(struct batch *b)
{
	struct store *s = b->s;
	uint64_t seq = s->journal.seq;
	int r = 0;

	if (b->journal.used == 0)
		return 0;
	for (size_t i = 0; i < b->count; i++) {
		struct step *step = &b->steps[i];

		if (!step->journaled)
			continue;
		step->rec.journal_epoch = s->journal.epoch;
		step->rec.journal_seq = seq++;
		if (step->apart && !s->relaxed &&
		    fdatasync(step->change->text->fd) < 0)
			r = -EIO;
	}
	if (b->apart && !s->relaxed && r == 0 && fsync(s->draftsfd) < 0)
		r = -EIO;
	if (r == 0)
		r = journal_write(&s->journal, &b->journal, !s->relaxed);
	/* What a failed sync left behind nobody knows: write no more. */
	if (r < 0)
		atomic_store(&s->failed, true);
	return r;
}

/* The old live file, which is now below @dirfd as @file, is history. */
static int put_away(struct store *s, const struct step *step, int dirfd,
		    const char *file)
{
	char old[ID_NAME_BYTES];

	if (step->rec.flags & RECORD_REPLACES)
		return unlinkat(dirfd, file, 0) < 0 ? -errno : 0;
	id_name(step->before.live_id, old);
	return renameat(dirfd, file, s->versionsfd, old) < 0 ? -errno : 0;
}

/* Where renames cannot exchange: a second link keeps the old file. */
static int move_by_link(struct store *s, const struct step *step,
			const char *file)
{
	int dirfd = s->dirfd[step->rec.dir];
	char old[ID_NAME_BYTES];

	id_name(step->before.live_id, old);
	if (!(step->rec.flags & RECORD_REPLACES) &&
	    linkat(dirfd, step->rec.name, s->versionsfd, old, 0) < 0 &&
	    errno != EEXIST && errno != ENOENT)
		return -errno;
	return renameat(s->draftsfd, file, dirfd, step->rec.name) < 0 ? -errno
								      : 0;
}

static int move_live(struct store *s, const struct step *step, const char *file)
{
	int dirfd = s->dirfd[step->rec.dir], r;
	const char *name = step->rec.name;

	if (!step->before.live_id)
		return renameat(s->draftsfd, file, dirfd, name) < 0 ? -errno
								    : 0;
	if (renameat2(s->draftsfd, file, dirfd, name, RENAME_EXCHANGE) < 0) {
		if (errno != EINVAL && errno != ENOSYS && errno != ENOENT)
			return -errno;
		return move_by_link(s, step, file);
	}
	r = put_away(s, step, s->draftsfd, file);
	if (r < 0)
		(void)!renameat2(s->draftsfd, file, dirfd, name,
				 RENAME_EXCHANGE);
	return r;
}

static int move_link(struct store *s, struct step *step)
{
	struct record *rec = &step->rec;
	char file[DRAFT_NAME_BYTES];
	struct stat st;
	int r;

	draft_name(rec->draft_id, rec->id, rec->dir, rec->name, file);
	if (symlinkat(rec->target, s->draftsfd, file) < 0)
		return -errno;
	r = fstatat(s->draftsfd, file, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno
								     : 0;
	if (r == 0) {
		rec->ino = st.st_ino;
		r = move_live(s, step, file);
	}
	if (r < 0)
		unlinkat(s->draftsfd, file, 0);
	return r;
}

static int move(struct store *s, struct step *step)
{
	char file[DRAFT_NAME_BYTES], id[ID_NAME_BYTES];
	int r;

	if (step->change->text)
		text_file(step->change->text, file);
	switch (step->rec.type) {
	case RECORD_PUBLISHED:
		return step->change->text ? move_live(s, step, file)
					  : move_link(s, step);
	case RECORD_REJECTED:
		id_name(step->rec.id, id);
		return renameat(s->draftsfd, file, s->rejectedfd, id) < 0
			       ? -errno
			       : 0;
	default:
		r = put_away(s, step, s->dirfd[step->rec.dir], step->rec.name);
		return r == -ENOENT ? 0 : r; /* gone already */
	}
}

/* A step whose file could not be moved did not happen: say so in the journal,
 * or nobody may trust it any more. */
static void unsay(struct batch *b, const struct step *step)
{
	struct journal_batch void_batch = { 0 };
	struct store *s = b->s;
	void *unused;
	int r;

	if (!step->journaled)
		return;
	r = journal_batch_room(&void_batch, 0, &unused);
	if (r == 0) {
		journal_batch_add(&void_batch, &step->rec, JOURNAL_VOID, 0);
		r = journal_reserve(&s->journal, &void_batch);
	}
	if (r == 0)
		r = journal_write(&s->journal, &void_batch, !s->relaxed);
	if (r < 0)
		atomic_store(&s->failed, true);
	journal_batch_deinit(&void_batch);
}

static int move_all(struct batch *b)
{
	int first = 0;

	for (size_t i = 0; i < b->count; i++) {
		struct step *step = &b->steps[i], *before;
		int r;

		before = step_before(b, step);
		r = before && before->change->result < 0
			    ? before->change->result
			    : first; /* set by a group that failed */
		if (r == 0)
			r = move(b->s, step);
		step->change->result = r;
		if (r < 0) {
			unsay(b, step);
			if (step->together || first)
				first = step->together ? r : 0;
		}
	}
	return 0;
}

static int write_index(struct batch *b)
{
	_cleanup_(freep) struct record *recs =
		calloc(b->count, sizeof(struct record));
	size_t n = 0;
	int r;

	if (!recs)
		return -ENOMEM;
	for (size_t i = 0; i < b->count; i++)
		if (b->steps[i].change->result == 0)
			recs[n++] = b->steps[i].rec;
	if (n == 0)
		return 0;
	r = index_append(&b->s->index, recs, n);
	/* The files moved and the journal says so: the next open puts the
	 * index right. */
	if (r < 0)
		atomic_store(&b->s->failed, true);
	return r;
}

static void tell(struct step *step)
{
	struct store_change *c = step->change;

	record_entry(&step->rec, &c->ret_entry);
	c->ret_entry.live = step->rec.type == RECORD_PUBLISHED;
	if (!c->text)
		return;
	atomic_store(&c->text->version,
		     c->ret_entry.live ? step->rec.version : 0);
	text_uncount(c->text);
	atomic_store(&c->text->committed, true);
}

static int run_steps(struct batch *b)
{
	struct store *s = b->s;
	int r;

	r = set_aside(b);
	if (r == 0)
		r = write_journal(b);
	if (r < 0)
		return r;
	/* Readers of this process find file and index in step. */
	pthread_mutex_lock(&s->memory);
	r = move_all(b);
	if (r == 0)
		r = write_index(b);
	pthread_mutex_unlock(&s->memory);
	if (r < 0)
		return r;
	for (size_t i = 0; i < b->count; i++)
		if (b->steps[i].change->result == 0)
			tell(&b->steps[i]);
	return 0;
}

/* A change that cannot be planned fails alone, or takes its group with it. */
static void plan_waiter(struct batch *b, struct commit_wait *w)
{
	size_t count = b->count, used = b->journal.used;

	for (size_t i = 0; i < w->count; i++) {
		struct step *step = &b->steps[b->count];
		struct store_change *c = &w->changes[i];

		memset(step, 0, sizeof(*step));
		step->change = c;
		step->together = w->together && i + 1 < w->count;
		c->result = plan(b, step);
		if (c->result == 0) {
			b->count++;
		} else if (w->together) {
			b->count = count;
			b->journal.used = used;
			for (size_t j = 0; j < w->count; j++)
				w->changes[j].result = c->result;
			return;
		}
	}
}

static void fail_all(struct commit_wait **waiters, size_t count, int r,
		     bool also_done)
{
	for (size_t i = 0; i < count; i++) {
		struct commit_wait *w = waiters[i];

		w->result = r;
		for (size_t j = 0; j < w->count; j++)
			if (also_done || w->changes[j].result == 0)
				w->changes[j].result = r;
	}
}

static void run(struct store *s, struct commit_wait **waiters, size_t count,
		size_t steps)
{
	struct batch b = { .s = s };
	int r;

	b.steps = calloc(steps, sizeof(*b.steps));
	r = b.steps ? store_begin(s) : -ENOMEM;
	if (r < 0) {
		fail_all(waiters, count, r, true);
		free(b.steps);
		return;
	}
	for (size_t i = 0; i < count; i++)
		plan_waiter(&b, waiters[i]);
	r = b.count ? run_steps(&b) : 0;
	if (r < 0)
		fail_all(waiters, count, r, false);
	store_end(s);
	journal_batch_deinit(&b.journal);
	free(b.steps);
}

/* Take what waits, up to a batch, and do it. The queue is held. */
static void lead(struct store *s)
{
	struct commit_wait *waiters[BATCH_MAX], *w = s->queue_first;
	size_t count = 0, steps = 0;

	do {
		steps += w->count;
		waiters[count++] = w;
		w = w->next;
	} while (w && steps + w->count <= BATCH_MAX);
	s->queue_first = w;
	if (!w)
		s->queue_end = &s->queue_first;

	s->queue_busy = true;
	pthread_mutex_unlock(&s->queue);
	run(s, waiters, count, steps);
	pthread_mutex_lock(&s->queue);

	for (size_t i = 0; i < count; i++)
		waiters[i]->done = true;
	s->queue_busy = false;
	pthread_cond_broadcast(&s->queue_moved);
}

static int commit(struct store *s, struct commit_wait *self)
{
	if (self->count == 0)
		return 0;
	pthread_mutex_lock(&s->queue);
	*s->queue_end = self;
	s->queue_end = &self->next;
	while (!self->done) {
		if (s->queue_busy)
			pthread_cond_wait(&s->queue_moved, &s->queue);
		else
			lead(s);
	}
	pthread_mutex_unlock(&s->queue);
	return self->result;
}

int store_commit(struct store *s, struct store_change *changes, size_t count)
{
	int r = 0;

	for (size_t done = 0; done < count; done += BATCH_MAX) {
		size_t n = count - done < BATCH_MAX ? count - done : BATCH_MAX;
		struct commit_wait self = { .changes = changes + done,
					    .count = n };
		int part = commit(s, &self);

		r = r < 0 ? r : part;
	}
	return r;
}

int commit_together(struct store *s, struct store_change *changes, size_t count)
{
	struct commit_wait self = { .changes = changes,
				    .count = count,
				    .together = true };
	int r = commit(s, &self);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = changes[i].result;
	return r;
}
