/* Step 3 of a write into the mount: the draft that it goes to. */

#include "draft.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "thoxfs.h"
#include "writer.h"

static struct draft **bucket_of(struct thoxfs *fs, uint64_t id)
{
	return &fs->drafts.buckets[id % DRAFT_BUCKETS];
}

struct draft *draft_find(struct thoxfs *fs, uint64_t id)
{
	struct draft *d = *bucket_of(fs, id);

	while (d && d->id != id)
		d = d->next;
	return d;
}

/* Takes @store. */
static int draft_add(struct thoxfs *fs, struct store_draft *store,
		     struct draft **ret_draft)
{
	struct draft *d = calloc(1, sizeof(*d));

	if (!d) {
		store_draft_free(store);
		return -ENOMEM;
	}
	d->store = store;
	d->id = store_draft_id(store);
	d->next = *bucket_of(fs, d->id);
	*bucket_of(fs, d->id) = d;
	fs->drafts.count++;
	*ret_draft = d;
	return 0;
}

static void draft_free(struct thoxfs *fs, struct draft *d, bool keep)
{
	struct draft **at = bucket_of(fs, d->id);

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	fs->drafts.count--;
	draft_set_created(fs, d, false);
	if (keep)
		store_draft_leave(d->store);
	else
		store_draft_free(d->store);
	free(d);
}

void draft_set_created(struct thoxfs *fs, struct draft *d, bool created)
{
	if (d->created == created)
		return;
	d->created = created;
	fs->drafts.created += created ? 1 : -1;
}

/*
 * A draft with an older text in it to which nothing was written yet: marked
 * on its file, for the next thoxfs, which could not tell otherwise.
 */
#define MODE_UNWRITTEN S_ISVTX
/* The same for one that a write failed to. */
#define MODE_FAILED S_ISGID

static void mark(struct draft *d)
{
	(void)fchmod(store_draft_fd(d->store),
		     0600 | (d->marked ? MODE_UNWRITTEN : 0) |
			     (d->failed ? MODE_FAILED : 0));
}

static void unmark(struct draft *d)
{
	if (!d->marked)
		return;
	d->marked = false;
	mark(d);
}

void draft_set_written(struct draft *d, bool written)
{
	if (written)
		unmark(d);
	d->written = written;
}

void draft_set_truncated(struct draft *d)
{
	unmark(d);
	d->truncated = true;
	draft_set_failed(d, 0);
}

void draft_set_failed(struct draft *d, int error)
{
	if (d->failed == error)
		return;
	d->failed = error;
	/* What was frozen or is live is no draft's file any more. */
	if (store_draft_dirty(d->store) ||
	    (!store_draft_version(d->store) && !d->jobs))
		mark(d);
}

static int fill_from_builtin(struct thoxfs *fs, struct store_draft *store,
			     const struct store_entry *base)
{
	_cleanup_(fd_closep) int fd = -1;
	int r;

	r = store_read_builtin(fs->store, base->id, NULL, NULL, &fd);
	if (r < 0)
		return r;
	return store_draft_fill(store, fd);
}

int draft_new(struct thoxfs *fs, enum store_dir dir, const char *name,
	      const struct store_entry *base, struct draft **ret_draft)
{
	struct store_draft *store;
	uint64_t base_id = base && !base->builtin ? base->id : 0;
	int r;

	r = store_draft_new(fs->store, dir, name, base_id, &store);
	if (r < 0)
		return r;
	if (base && base->builtin) {
		r = fill_from_builtin(fs, store, base);
		if (r < 0) {
			store_draft_free(store);
			return r;
		}
	}
	r = draft_add(fs, store, ret_draft);
	if (r < 0)
		return r;
	(*ret_draft)->truncated = !base;
	if (base) {
		(*ret_draft)->marked = true;
		mark(*ret_draft);
	}
	return 0;
}

/* The file of a draft of a former thoxfs: an empty text that was only opened
 * was not truncated. */
static bool was_truncated(const struct stat *st)
{
	return st->st_size == 0 && !(st->st_mode & MODE_UNWRITTEN);
}

/* What is known of a draft of a former thoxfs by its file alone. */
static void find_out_state(struct thoxfs *fs, struct draft *d)
{
	struct stat st;

	if (!store_draft_dirty(d->store) ||
	    fstat(store_draft_fd(d->store), &st) < 0)
		return;
	draft_set_created(fs, d,
			  store_lookup(fs->store, store_draft_dir(d->store),
				       store_draft_name(d->store),
				       NULL) == -ENOENT);
	d->marked = st.st_mode & MODE_UNWRITTEN;
	d->failed = st.st_mode & MODE_FAILED ? -EIO : 0;
	d->truncated = was_truncated(&st);
	if (st.st_size > 0 && !d->marked)
		draft_set_written(d, true);
}

/* It is known now, or gone. */
static void left_remove(struct drafts *all, uint64_t id)
{
	for (size_t i = all->left_count; i > 0; i--)
		if (all->left[i - 1].id == id)
			all->left[i - 1] = all->left[--all->left_count];
}

int draft_get(struct thoxfs *fs, uint64_t id, struct draft **ret_draft)
{
	struct store_draft *store;
	struct draft *d = draft_find(fs, id);
	int r;

	if (!d) {
		left_remove(&fs->drafts, id);
		r = store_draft_reopen(fs->store, id, &store);
		if (r < 0)
			return r == -ENOENT ? -ESTALE : r;
		r = draft_add(fs, store, &d);
		if (r < 0)
			return r;
		/* Only what is open is asked for after a take-over. */
		d->opens = 1;
		d->inherited = true;
		d->uid = fs->owner;
		find_out_state(fs, d);
	}
	*ret_draft = d;
	return 0;
}

void draft_settle(struct thoxfs *fs, struct draft *d)
{
	if (!d->opens && !d->jobs && !d->holds)
		draft_free(fs, d, false);
}

void draft_forget(struct thoxfs *fs, uint64_t id, uint64_t lookups)
{
	struct draft *d = draft_find(fs, id);

	if (!d)
		return;
	d->lookups -= lookups < d->lookups ? lookups : d->lookups;
	/* The kernel dropped the node: also if this thoxfs did not see all.
	 * But one of a former thoxfs with an unpublished text ends by its
	 * release only: this may be of a lookup before the one that opened
	 * it, since forgetting waits in a queue of its own. */
	if (!d->lookups && !d->holds &&
	    !(d->inherited && store_draft_dirty(d->store)))
		d->opens = 0;
	draft_settle(fs, d);
}

struct draft *draft_unpublished(struct thoxfs *fs, enum store_dir dir,
				const char *name, pid_t tid)
{
	/* Hardly ever is there one: most calls end here. */
	if (!fs->drafts.created)
		return NULL;
	for (size_t i = 0; i < DRAFT_BUCKETS; i++)
		for (struct draft *d = fs->drafts.buckets[i]; d; d = d->next)
			if (d->created && !d->removed && d->opens &&
			    store_draft_dir(d->store) == dir &&
			    strcmp(store_draft_name(d->store), name) == 0 &&
			    (!tid || writer_same_process(d->tid, tid)))
				return d;
	return NULL;
}

bool name_same(enum store_dir dir, const char *a, const char *b)
{
	char alternate[NAME_MAX_BYTES + 1];

	return strcmp(a, b) == 0 ||
	       (name_alternate(dir, a, alternate) && strcmp(alternate, b) == 0);
}

bool draft_due_at_release(struct thoxfs *fs, enum store_dir dir,
			  const char *name)
{
	for (size_t i = 0; i < fs->drafts.left_count; i++)
		if (fs->drafts.left[i].dir == dir &&
		    (!name || name_same(dir, fs->drafts.left[i].name, name)))
			return true;
	if (!fs->drafts.count)
		return false;
	for (size_t i = 0; i < DRAFT_BUCKETS; i++)
		for (struct draft *d = fs->drafts.buckets[i]; d; d = d->next)
			if (d->truncated && !d->removed &&
			    store_draft_dir(d->store) == dir &&
			    (!name ||
			     name_same(dir, store_draft_name(d->store), name)))
				return true;
	return false;
}

static void expected_free(struct thoxfs *fs, struct draft_expected *e)
{
	struct draft *d = e->draft;

	e->tid = 0;
	e->draft = NULL;
	if (d) {
		d->holds--;
		draft_settle(fs, d);
	}
}

static struct draft_expected *expected_find(struct thoxfs *fs, pid_t tid)
{
	for (size_t i = 0; i < DRAFTS_EXPECTED; i++)
		if (fs->drafts.expected[i].tid == tid)
			return &fs->drafts.expected[i];
	return NULL;
}

void draft_expect(struct thoxfs *fs, pid_t tid, enum store_dir dir,
		  bool truncate)
{
	struct draft_expected *all = fs->drafts.expected;
	struct draft_expected *e = expected_find(fs, tid);

	if (e)
		expected_free(fs, e);
	else
		e = expected_find(fs, 0);
	/* All taken: the oldest has most likely died on its way. */
	if (!e) {
		e = all;
		for (size_t i = 1; i < DRAFTS_EXPECTED; i++)
			if (all[i].age < e->age)
				e = &all[i];
		expected_free(fs, e);
	}
	*e = (struct draft_expected){
		.tid = tid,
		.dir = dir,
		.truncate = truncate,
		.age = ++fs->drafts.clock,
	};
}

bool draft_expected_in_vain(struct thoxfs *fs, pid_t tid)
{
	const struct draft_expected *e = tid ? expected_find(fs, tid) : NULL;

	return e && !e->lookups;
}

/* Another writer's draft of a name that has no content yet: what it holds. */
static int draft_from_other(struct thoxfs *fs, struct draft *other,
			    bool truncate, struct draft **ret_draft)
{
	enum store_dir dir = store_draft_dir(other->store);
	int r;

	r = draft_new(fs, dir, store_draft_name(other->store), NULL, ret_draft);
	if (r == 0 && !truncate)
		r = store_draft_fill((*ret_draft)->store,
				     store_draft_fd(other->store));
	if (r == 0)
		draft_set_created(fs, *ret_draft, true);
	return r;
}

int draft_expected(struct thoxfs *fs, pid_t tid, enum store_dir dir,
		   const char *name, const struct store_entry *live,
		   struct draft *other, struct draft **ret_draft)
{
	struct draft_expected *e = tid ? expected_find(fs, tid) : NULL;
	int r;

	if (!e || e->dir != dir)
		return 0;
	if (++e->lookups > DRAFT_LOOKUPS) {
		expected_free(fs, e);
		return 0;
	}
	if (!e->draft) {
		if (live)
			r = draft_new(fs, dir, name, e->truncate ? NULL : live,
				      &e->draft);
		else
			r = draft_from_other(fs, other, e->truncate, &e->draft);
		if (r < 0)
			return r;
		e->draft->holds++;
	}
	*ret_draft = e->draft;
	return 1;
}

void draft_arrived(struct thoxfs *fs, pid_t tid)
{
	struct draft_expected *e = tid ? expected_find(fs, tid) : NULL;

	if (e)
		expected_free(fs, e);
}

void drafts_deinit(struct thoxfs *fs, bool keep)
{
	for (size_t i = 0; i < DRAFT_BUCKETS; i++)
		while (fs->drafts.buckets[i])
			draft_free(fs, fs->drafts.buckets[i], keep);
	free(fs->drafts.left);
}

static int on_draft_found(uint64_t id, enum store_dir dir, const char *name,
			  int fd, void *user)
{
	struct thoxfs *fs = user;
	struct drafts *all = &fs->drafts;
	struct draft_left *more;
	struct stat st;

	if (fstat(fd, &st) < 0 || !was_truncated(&st))
		return 0;
	more = reallocarray(all->left, all->left_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	all->left = more;
	more += all->left_count++;
	more->id = id;
	more->dir = dir;
	snprintf(more->name, sizeof(more->name), "%s", name);
	return 0;
}

int drafts_find_left(struct thoxfs *fs)
{
	return store_drafts(fs->store, on_draft_found, fs);
}

static int on_left_draft(uint64_t id, enum store_dir dir, const char *name,
			 int fd, void *user)
{
	struct thoxfs *fs = user;
	struct store_draft *store;

	(void)dir;
	(void)name;
	(void)fd;
	if (store_draft_reopen(fs->store, id, &store) == 0)
		store_draft_free(store);
	return 0;
}

void drafts_clear(struct thoxfs *fs)
{
	(void)store_drafts(fs->store, on_left_draft, fs);
}
