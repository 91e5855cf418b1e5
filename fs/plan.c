/* The way of a publication, step 2: what each change means. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/publish.h"
#include "fs/stat.h"

/*
 * A plan reads, hashes and numbers; it moves nothing. Changes of one batch are
 * planned in order, each upon what the ones before it will have done.
 */
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

struct step *batch_before(struct batch *b, const struct step *step)
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
	copy_printable(rec->confined, sizeof(rec->confined), w->confined);
}

/* Read the text once: into the journal where it is short, and its hash. */
static int plan_text(struct batch *b, struct step *step)
{
	const struct store_text *t = step->change->text;
	struct record *rec = &step->rec;
	struct statx st;
	void *bytes;
	ssize_t n;
	int r;

	if (atomic_load(&t->committed))
		return -EINVAL;
	r = stat_timeless(t->fd, &st);
	if (r < 0)
		return r;
	rec->id = t->id;
	rec->draft_id = t->draft_id;
	rec->ino = st.stx_ino;
	rec->size_bytes = st.stx_size;
	r = text_mtime_ns(t, &rec->mtime_ns);
	if (r < 0)
		return r;
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

static bool is_the_one(const struct step *step)
{
	return step->change->only_id == 0 ||
	       step->change->only_id == step->before.live_id;
}

static int plan_removed(struct store *s, struct step *step)
{
	struct record *rec = &step->rec;

	/* What the layer below shows cannot be removed. Whether the store has
	 * it tells `before` alone: a step of this batch may have removed it. */
	if (!step->before.live_id)
		return store_shows_builtin(s, rec->dir, rec->name) ? -EPERM
								   : -ENOENT;
	if (!is_the_one(step))
		return -EAGAIN;
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
	if (!is_the_one(step))
		return -EAGAIN;
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

int batch_plan(struct batch *b, struct step *step)
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

	before = batch_before(b, step);
	if (before)
		step->before = state_after(before);
	else
		r = index_state(b->s, c->dir, c->name, &step->before);
	if (r < 0)
		return r;

	if (c->event == STORE_REJECTED) {
		rec->type = RECORD_REJECTED;
		if (!is_the_one(step))
			return -EAGAIN;
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
