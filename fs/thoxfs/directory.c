/* Step 4 of an ls: a directory's entries, a buffer at a time. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"
#include "ops.h"

/* What the kernel asks for at most is a few pages. */
#define BUFFER_BYTES (256 * 1024)

/* Positions of the two entries that every directory has. */
#define POSITION_SELF	1
#define POSITION_PARENT 2

/* One entry more, unless it does not fit; @e only of a "plus" listing. */
struct filler {
	fuse_req_t req;
	char *data;
	size_t size;
	size_t used;
	bool plus;
};

static bool add(struct filler *f, const char *name,
		const struct fuse_entry_param *e, off_t position)
{
	size_t left = f->size - f->used, n;

	if (f->plus)
		n = fuse_add_direntry_plus(f->req, f->data + f->used, left,
					   name, e, position);
	else
		n = fuse_add_direntry(f->req, f->data + f->used, left, name,
				      &e->attr, position);
	if (n > left)
		return false;
	f->used += n;
	return true;
}

static bool add_known(struct filler *f, const char *name, uint64_t number,
		      mode_t type, off_t position)
{
	struct fuse_entry_param e = { 0 };

	/* Without a node the kernel takes it as a name only. */
	e.attr.st_ino = number;
	e.attr.st_mode = type;
	return add(f, name, &e, position);
}

static bool add_dots(struct filler *f, fuse_ino_t ino, off_t offset)
{
	return (offset >= POSITION_SELF ||
		add_known(f, ".", ino, S_IFDIR, POSITION_SELF)) &&
	       (offset >= POSITION_PARENT ||
		add_known(f, "..", NODE_ROOT, S_IFDIR, POSITION_PARENT));
}

static void fill_root(struct filler *f, off_t offset)
{
	for (int i = 0; i < DIR_COUNT; i++) {
		off_t position = POSITION_PARENT + 1 + i;

		if (offset < position &&
		    !add_known(f, store_dir_name(i), node_of_dir(i), S_IFDIR,
			       position))
			return;
	}
}

/*
 * With attributes: each entry counts as a lookup. The kernel does not count
 * one that did not fit, so it is asked for only where there is room.
 */
static bool add_looked_up(struct thoxfs *fs, struct filler *f,
			  enum store_dir dir, const struct listing_item *item)
{
	struct fuse_entry_param e = { 0 };
	size_t need =
		fuse_add_direntry_plus(f->req, NULL, 0, item->name, NULL, 0);

	if (need > f->size - f->used)
		return false;
	if (lookup_entry(fs, 0, dir, item->name, &e) < 0)
		return true; /* gone meanwhile */
	return add(f, item->name, &e, item->position);
}

static int fill(struct thoxfs *fs, struct filler *f, enum store_dir dir,
		off_t offset)
{
	struct listing *l;
	bool plus = f->plus;
	int r;

	r = listing_get(fs, dir, &l);
	if (r < 0)
		return r;
	l->told = true;
	/* The kernel asks with attributes at first without knowing whether
	 * anybody wants them, and later because somebody does. */
	if (offset == 0)
		plus = false;
	for (size_t i = listing_seek(l, offset); i < l->count; i++) {
		const struct listing_item *item = &l->items[i];

		if (plus ? !add_looked_up(fs, f, dir, item)
			 : !add_known(f, item->name, item->ino, item->mode,
				      item->position))
			break;
	}
	return 0;
}

static void read_directory(struct thoxfs *fs, fuse_req_t req,
			   const struct parked *p)
{
	static char data[BUFFER_BYTES];
	struct filler f = { .req = req, .data = data, .plus = p->plus };
	enum store_dir dir;
	int r = 0;

	f.size = p->size < sizeof(data) ? p->size : sizeof(data);
	if (!node_dir(p->parent, &dir) && p->parent != NODE_ROOT)
		r = -ENOTDIR;
	else if (!add_dots(&f, p->parent, p->offset))
		r = -EINVAL;
	else if (p->parent == NODE_ROOT)
		fill_root(&f, p->offset);
	else
		r = fill(fs, &f, dir, p->offset);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, f.data, f.used);
}

static void start(fuse_req_t req, const struct parked *p)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	enum store_dir dir;
	struct job *job = NULL;

	if (node_dir(p->parent, &dir))
		job = job_pending(fs, dir, NULL);
	if (!job || !job_park(job, p))
		read_directory(fs, req, p);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *fi)
{
	struct parked p = { .fn = read_directory,
			    .req = req,
			    .parent = ino,
			    .size = size,
			    .offset = offset };

	(void)fi;
	start(req, &p);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct parked p = { .fn = read_directory,
			    .req = req,
			    .parent = ino,
			    .size = size,
			    .offset = offset,
			    .plus = true };

	(void)fi;
	start(req, &p);
}

/*
 * Nothing is kept per open directory, and the kernel may keep what it was
 * told until it is told otherwise: both is what ENOSYS says, once for all.
 */
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}
