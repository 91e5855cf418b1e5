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
#include "fs/publish.h"

/*
 * A batch is
 *
 *   journal  one write and one sync for all of them
 *   move     plain files: the draft and the live file change places, then the
 *            old one goes to .versions
 *   index    one append; from here on everyone sees it
 *
 * RENAME_EXCHANGE rather than link and rename: renaming over a file makes
 * ext4 start writing the new one out at once, which is what the journal is
 * there to put off.
 */
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

/* A text that is not in the journal must be found by its name, also where the
 * file system does not order its directories. */
static int sync_dirs(const struct batch *b)
{
	const struct store *s = b->s;

	if (!b->apart || s->relaxed)
		return 0;
	for (size_t i = 0; i < b->count; i++)
		if (b->steps[i].apart && b->steps[i].journaled &&
		    fsync(s->dirfd[b->steps[i].rec.dir]) < 0)
			return -EIO;
	return 0;
}

static int move_all(struct batch *b)
{
	int first = 0;

	for (size_t i = 0; i < b->count; i++) {
		struct step *step = &b->steps[i], *before;
		int r;

		before = batch_before(b, step);
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
	struct store *s = b->s;
	bool in_step = s->own_is_old && s->followed == s->index.tail &&
		       s->followed_generation == s->index.generation;
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
	/* If this fails the files have moved and the journal says so: nothing
	 * more is written, and the next open puts the index right. */
	r = index_append(&s->index, recs, n);
	/* store_follow() need not read it again. */
	if (r == 0 && in_step)
		s->followed = s->index.tail;
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
	text_count(c->text, 0);
	atomic_store(&c->text->committed, true);
}

int batch_run(struct batch *b)
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
	if (r == 0)
		r = sync_dirs(b);
	if (r < 0) {
		atomic_store(&s->failed, true);
		return r;
	}
	for (size_t i = 0; i < b->count; i++)
		if (b->steps[i].change->result == 0)
			tell(&b->steps[i]);
	return 0;
}
