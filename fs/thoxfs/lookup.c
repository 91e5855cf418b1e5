/* Step 3 of everything: what a name is. */

#include <errno.h>
#include <string.h>

#include "node.h"
#include "ops.h"

static void keep(struct fuse_entry_param *e, double entry_seconds,
		 double attr_seconds)
{
	e->entry_timeout = entry_seconds;
	e->attr_timeout = attr_seconds;
}

static int lookup_root(struct thoxfs *fs, const char *name,
		       struct fuse_entry_param *e)
{
	enum store_dir dir;

	keep(e, CACHE_SECONDS, CACHE_SECONDS);
	if (store_dir_parse(name, &dir) < 0)
		return -ENOENT;
	e->ino = node_of_dir(dir);
	fs->listings.dirs[dir].told = true;
	return node_stat(fs, e->ino, &e->attr, &e->attr_timeout);
}

/* Never kept: others write streams, and a scratch name may become a text. */
static int lookup_plain(struct thoxfs *fs, enum store_dir dir, const char *name,
			struct fuse_entry_param *e)
{
	struct stat backing;
	struct plain *p;
	int r;

	keep(e, 0, 0);
	r = plain_lookup(fs, dir, name, &p, &backing);
	if (r < 0)
		return r;
	p->lookups++;
	e->ino = node_make(NODE_PLAIN, p->ino);
	node_stat_file(fs, e->ino, dir, name, &backing, &e->attr);
	return 0;
}

/* NAME@3, NAME@rejected: what they mean changes, what they show does not. */
static int lookup_version(struct thoxfs *fs, enum store_dir dir,
			  const struct name_ref *ref,
			  struct fuse_entry_param *e)
{
	struct store_entry entry;
	int r;

	keep(e, 0, CACHE_SECONDS);
	r = store_resolve(fs->store, dir, ref, &entry, NULL);
	if (r < 0)
		return -ENOENT;
	e->ino = node_make(NODE_VERSION, entry.id);
	node_stat_entry(fs, e->ino, dir, &entry, &e->attr);
	return 0;
}

static int fill_draft(struct thoxfs *fs, struct draft *d,
		      struct fuse_entry_param *e)
{
	keep(e, 0, 0);
	e->ino = node_make(NODE_DRAFT, d->id);
	d->lookups++;
	return node_stat(fs, e->ino, &e->attr, &e->attr_timeout);
}

void lookup_exact_next(struct thoxfs *fs, pid_t tid, enum store_dir dir,
		       const char *name)
{
	fs->exact_tid = tid;
	fs->exact_dir = dir;
	strcpy(fs->exact_name, name);
}

static bool is_exact_only(struct thoxfs *fs, pid_t tid, enum store_dir dir,
			  const char *name)
{
	if (!tid || fs->exact_tid != tid || fs->exact_dir != dir ||
	    strcmp(fs->exact_name, name) != 0)
		return false;
	fs->exact_tid = 0;
	return true;
}

static int lookup_text(struct thoxfs *fs, pid_t tid, enum store_dir dir,
		       const char *name, struct fuse_entry_param *e)
{
	char alternate[NAME_MAX_BYTES + 1];
	struct store_entry entry;
	struct draft *d = NULL;
	bool exact;
	int r;

	keep(e, CACHE_SECONDS, CACHE_SECONDS);
	r = store_lookup(fs->store, dir, name, &entry);
	exact = r != -ENOENT;
	if (!exact) {
		d = draft_unpublished(fs, dir, name, tid);
		if (d) {
			r = draft_expected(fs, tid, dir, name, NULL, d, &d);
			return r < 0 ? r : fill_draft(fs, d, e);
		}
		if (is_exact_only(fs, tid, dir, name)) {
			keep(e, 0, 0);
			return -ENOENT;
		}
		if (name_alternate(dir, name, alternate))
			r = store_lookup(fs->store, dir, alternate, &entry);
	}
	if (r == 0 && !entry.target[0])
		r = draft_expected(fs, tid, dir, name, &entry, NULL, &d);
	if (r < 0) {
		if (r == -ENOENT && draft_due_at_release(fs, dir, name))
			e->entry_timeout = 0;
		else if (r == -ENOENT)
			announce_set(&fs->announce, dir, name, 0);
		return r;
	}
	if (d)
		return fill_draft(fs, d, e);
	e->ino = node_of_entry(fs, &entry);
	node_stat_entry(fs, e->ino, dir, &entry, &e->attr);
	/* Another spelling stands for the name only until the name is made,
	 * and the kernel forgets only the name that it removes. */
	if (exact && !draft_due_at_release(fs, dir, name))
		announce_set(&fs->announce, dir, name, e->ino);
	else
		e->entry_timeout = 0;
	return 0;
}

int lookup_entry(struct thoxfs *fs, pid_t tid, enum store_dir dir,
		 const char *name, struct fuse_entry_param *ret_entry)
{
	struct name_ref ref;

	memset(ret_entry, 0, sizeof(*ret_entry));
	if (plain_name(dir, name))
		return lookup_plain(fs, dir, name, ret_entry);
	if (strlen(name) > NAME_MAX_BYTES && !strchr(name, '@'))
		return -ENAMETOOLONG;
	/* A name that cannot be is not there, for ever. */
	keep(ret_entry, CACHE_SECONDS, CACHE_SECONDS);
	if (name_parse(name, false, &ref, NULL) < 0)
		return -ENOENT;
	if (ref.kind != REF_LIVE)
		return lookup_version(fs, dir, &ref, ret_entry);
	return lookup_text(fs, tid, dir, name, ret_entry);
}

static void reply(fuse_req_t req, int r, const struct fuse_entry_param *e)
{
	/* A reply without a node is "there is none", to be kept. */
	if (r < 0 && (r != -ENOENT || !e->entry_timeout))
		fuse_reply_err(req, -r);
	else
		fuse_reply_entry(req, e);
}

static void lookup(struct thoxfs *fs, fuse_req_t req, const struct parked *p)
{
	struct fuse_entry_param e;
	enum store_dir dir;
	int r = -ENOENT;

	memset(&e, 0, sizeof(e));
	if (node_dir(p->parent, &dir))
		r = lookup_entry(fs, fuse_req_ctx(req)->pid, dir, p->name, &e);
	reply(req, r, &e);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	struct parked p = { .fn = lookup, .req = req, .parent = parent };
	struct fuse_entry_param e;
	enum store_dir dir;
	struct job *job;
	int r;

	memset(&e, 0, sizeof(e));
	if (parent == NODE_ROOT) {
		r = lookup_root(fs, name, &e);
		reply(req, r, &e);
		return;
	}
	if (!node_dir(parent, &dir)) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	if (strlen(name) <= NAME_MAX_BYTES) {
		strcpy(p.name, name);
		job = job_pending(fs, dir, name);
		if (job && job_park(job, &p))
			return;
	}
	r = lookup_entry(fs, fuse_req_ctx(req)->pid, dir, name, &e);
	reply(req, r, &e);
}

static void forget(struct thoxfs *fs, fuse_ino_t ino, uint64_t lookups)
{
	if (node_kind(ino) == NODE_DRAFT)
		draft_forget(fs, node_id(ino), lookups);
	else if (node_kind(ino) == NODE_PLAIN)
		plain_forget(fs, node_id(ino), lookups);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	forget(fuse_req_userdata(req), ino, lookups);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		forget(fuse_req_userdata(req), forgets[i].ino,
		       forgets[i].nlookup);
	fuse_reply_none(req);
}
