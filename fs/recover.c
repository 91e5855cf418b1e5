/* After a crash: make the plain files what the journal says they are. */

#include <dirent.h>
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
 * Each holder of the lock reads what the journal got since. Records that the
 * index has are done; others were left by a writer that died. After a reboot
 * all are suspect, because plain files are written without a sync.
 *
 * The repair first brings the index up to date, so that it is known what each
 * name must show, and then, name by name, works only by adding: whatever
 * whole content is found anywhere (at the name, in .drafts after an exchange)
 * gets its link in .versions, what is missing is written from the journal,
 * and only then the name is pointed at the right one. So it may itself be
 * killed and repeated at any point.
 */
struct item {
	struct record rec;
	unsigned flags;
	bool is_new; /* the index has not got it */
	void *text;  /* of an inlined one */
};

struct repair {
	struct store *s;
	struct item *items;
	size_t count;
	size_t news;
	bool foreign;
};

static void repair_deinit(struct repair *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->items[i].text);
	free(p->items);
}

static bool index_has(const struct store *s, const struct record *rec)
{
	return s->index.journal_epoch == rec->journal_epoch &&
	       s->index.journal_seq >= rec->journal_seq;
}

static int add_item(struct repair *p, const struct record *rec, unsigned flags,
		    const void *text, size_t size)
{
	struct item *item;

	if ((p->count & (p->count - 1)) == 0) {
		struct item *items = reallocarray(
			p->items, p->count ? p->count * 2 : 1, sizeof(*items));

		if (!items)
			return -ENOMEM;
		p->items = items;
	}
	item = &p->items[p->count];
	memset(item, 0, sizeof(*item));
	item->rec = *rec;
	item->flags = flags;
	item->is_new = !index_has(p->s, rec);
	if (flags & JOURNAL_INLINE) {
		item->text = malloc(size + 1);
		if (!item->text)
			return -ENOMEM;
		memcpy(item->text, text, size);
	}
	p->news += item->is_new;
	p->count++;
	return 0;
}

static int on_entry(const struct record *rec, unsigned flags, const void *text,
		    size_t size, void *user)
{
	uint8_t sha256[RECORD_SHA256_BYTES];
	struct repair *p = user;

	if (p->count == 0)
		p->foreign = journal_foreign_boot(&p->s->journal);
	if (!p->foreign && index_has(p->s, rec))
		return 0;
	if (flags & JOURNAL_INLINE) {
		content_hash_bytes(text, size, sha256);
		if (size != rec->size_bytes ||
		    memcmp(sha256, rec->sha256, sizeof(sha256)) != 0)
			return 1; /* torn: never acknowledged */
	}
	return add_item(p, rec, flags, text, size);
}

/* What was taken back, and the start of a group whose end is missing. */
static void drop_void(struct repair *p)
{
	while (p->count && p->items[p->count - 1].flags & JOURNAL_CONTINUES)
		free(p->items[--p->count].text);
	for (size_t i = 0; i < p->count; i++) {
		struct item *v = &p->items[i];

		if (!(v->flags & JOURNAL_VOID))
			continue;
		for (size_t j = 0; j < p->count; j++)
			if (p->items[j].rec.id == v->rec.id &&
			    p->items[j].rec.type == v->rec.type)
				p->items[j].is_new = false;
	}
}

static bool is_content(const struct item *item)
{
	return item->rec.type == RECORD_PUBLISHED &&
	       !(item->flags & JOURNAL_VOID);
}

static int append_news(struct repair *p)
{
	int r = 0;

	for (size_t i = 0; i < p->count && r == 0; i++) {
		struct item *item = &p->items[i];

		if (!item->is_new || item->flags & JOURNAL_VOID)
			continue;
		/* The inode is filled in when the file is in its place. */
		item->rec.ino = 0;
		r = index_append(&p->s->index, &item->rec, 1);
	}
	return r;
}

/* Does this file hold what @rec says? 1, 0, or an error. */
static int holds(int dirfd, const char *file, const struct record *rec)
{
	_cleanup_(fd_closep) int fd = -1;
	uint8_t sha256[RECORD_SHA256_BYTES];
	char target[NAME_MAX_BYTES + 1];
	struct stat st;
	int r;

	if (rec->target[0])
		return content_target(dirfd, file, target) == 0 &&
		       strcmp(target, rec->target) == 0;
	r = content_open(dirfd, file, &st, &fd);
	if (r < 0)
		/* Whatever cannot be opened, a broken inode as well, is not
		 * it. */
		return r == -ENOMEM || r == -EMFILE || r == -ENFILE ? r : 0;
	if ((uint64_t)st.st_size != rec->size_bytes)
		return 0;
	r = content_hash(fd, rec->size_bytes, sha256);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	return memcmp(sha256, rec->sha256, sizeof(sha256)) == 0;
}

/* Make `.versions/ID` another link of @file, in place of what is there. */
static int link_version(struct store *s, int dirfd, const char *file,
			uint64_t id)
{
	char to[ID_NAME_BYTES];

	id_name(id, to);
	unlinkat(s->versionsfd, to, 0);
	return linkat(dirfd, file, s->versionsfd, to, 0) < 0 ? -errno : 0;
}

struct rescue {
	struct store *s;
	int dirfd;
	const char *file;
	const struct history *history;
};

/* If @file is one of the name's versions and that one has no good file. */
static int rescue(const struct rescue *x)
{
	char id[ID_NAME_BYTES];
	int r = 0;

	for (size_t i = 0; i < x->history->count && r >= 0; i++) {
		const struct record *rec = &x->history->recs[i];

		if (rec->type != RECORD_PUBLISHED)
			continue;
		r = holds(x->dirfd, x->file, rec);
		if (r <= 0)
			continue;
		id_name(rec->id, id);
		r = holds(x->s->versionsfd, id, rec);
		if (r == 0)
			r = link_version(x->s, x->dirfd, x->file, rec->id);
	}
	return r < 0 ? r : 0;
}

struct rescue_drafts {
	struct repair *p;
	const struct record *rec; /* of the name */
	const struct history *history;
};

/* After an exchange the draft's file is the old content. */
static int rescue_draft(const struct draft_found *f, void *user)
{
	struct rescue_drafts *d = user;
	struct rescue x = { .s = d->p->s,
			    .dirfd = d->p->s->draftsfd,
			    .file = f->file,
			    .history = d->history };

	for (size_t i = 0; i < d->p->count; i++) {
		const struct item *item = &d->p->items[i];

		if (is_content(item) && item->rec.id == f->id &&
		    item->rec.dir == d->rec->dir &&
		    strcmp(item->rec.name, d->rec->name) == 0)
			return rescue(&x);
	}
	return 0;
}

static int write_version(struct store *s, const struct item *item)
{
	static const char tmp[] = ".repair";
	_cleanup_(fd_closep) int fd = -1;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	char id[ID_NAME_BYTES];
	int r;

	id_name(item->rec.id, id);
	unlinkat(s->draftsfd, tmp, 0);
	if (item->rec.target[0]) {
		if (symlinkat(item->rec.target, s->draftsfd, tmp) < 0)
			return -errno;
	} else {
		fd = openat(s->draftsfd, tmp,
			    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0)
			return -errno;
		r = fd_write_all(fd, item->text, item->rec.size_bytes);
		if (r < 0)
			return r;
		times[1].tv_sec = item->rec.mtime_ns / 1000000000;
		times[1].tv_nsec = item->rec.mtime_ns % 1000000000;
		(void)!futimens(fd, times);
	}
	return renameat(s->draftsfd, tmp, s->versionsfd, id) < 0 ? -errno : 0;
}

/* Each content that the name still shows and the journal has. */
static int write_missing(struct repair *p, const struct record *rec,
			 const struct history *h)
{
	char id[ID_NAME_BYTES];
	int r = 0;

	for (size_t i = 0; i < p->count && r >= 0; i++) {
		const struct item *item = &p->items[i];

		if (!is_content(item) || item->rec.dir != rec->dir ||
		    strcmp(item->rec.name, rec->name) != 0 ||
		    (!item->text && !item->rec.target[0]))
			continue;
		for (size_t j = 0; j < h->count; j++) {
			if (h->recs[j].type != RECORD_PUBLISHED ||
			    h->recs[j].id != item->rec.id)
				continue;
			id_name(item->rec.id, id);
			r = holds(p->s->versionsfd, id, &item->rec);
			if (r == 0)
				r = write_version(p->s, item);
			break;
		}
	}
	return r < 0 ? r : 0;
}

/* Point the name at its live content, found as `.versions/ID`. */
static int place_live(struct store *s, const struct record *live)
{
	static const char tmp[] = ".repair";
	int dirfd = s->dirfd[live->dir], r;
	struct record touched = *live;
	char id[ID_NAME_BYTES];
	struct stat st;

	id_name(live->id, id);
	r = holds(dirfd, live->name, live);
	if (r == 0 && holds(s->versionsfd, id, live) > 0) {
		unlinkat(s->draftsfd, tmp, 0);
		if (linkat(s->versionsfd, id, s->draftsfd, tmp, 0) < 0 ||
		    renameat(s->draftsfd, tmp, dirfd, live->name) < 0)
			return -errno;
		r = 1;
	}
	if (r <= 0)
		return r; /* lost: `store verify` will say so */

	unlinkat(s->versionsfd, id, 0);
	if (fstatat(dirfd, live->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (st.st_ino == live->ino)
		return 0;
	touched.ino = st.st_ino;
	touched.flags |= RECORD_TOUCHED;
	touched.journal_epoch = touched.journal_seq = 0;
	return index_append(&s->index, &touched, 1);
}

static int repair_name(struct repair *p, const struct record *rec)
{
	_cleanup_(history_deinit) struct history h = { 0 };
	struct store *s = p->s;
	struct rescue x = { .s = s,
			    .dirfd = s->dirfd[rec->dir],
			    .file = rec->name,
			    .history = &h };
	struct rescue_drafts d = { .p = p, .rec = rec, .history = &h };
	struct index_node *node;
	struct record live;
	int r;

	node = index_find(&s->index, rec->dir, rec->name);
	if (!node)
		return 0;
	r = history_read(s, node, &h);
	if (r == 0)
		r = rescue(&x);
	if (r == 0)
		r = draft_scan(s, rescue_draft, &d);
	if (r == 0)
		r = write_missing(p, rec, &h);
	if (r < 0)
		return r;
	if (!node->live)
		return unlinkat(s->dirfd[rec->dir], rec->name, 0) < 0 &&
				       errno != ENOENT
			       ? -errno
			       : 0;
	r = index_record(&s->index, node->live, &live);
	return r < 0 ? r : place_live(s, &live);
}

static int remove_leftover(const struct draft_found *f, void *user)
{
	struct repair *p = user;

	for (size_t i = 0; i < p->count; i++)
		if (is_content(&p->items[i]) && p->items[i].rec.id == f->id)
			unlinkat(p->s->draftsfd, f->file, 0);
	return 0;
}

static bool seen_before(const struct repair *p, size_t i)
{
	const struct record *rec = &p->items[i].rec;

	for (size_t j = 0; j < i; j++)
		if (p->items[j].rec.dir == rec->dir &&
		    strcmp(p->items[j].rec.name, rec->name) == 0)
			return true;
	return false;
}

static int repair(struct repair *p)
{
	struct store *s = p->s;
	int r;

	drop_void(p);
	pthread_mutex_lock(&s->memory);
	r = append_news(p);
	for (size_t i = 0; i < p->count && r == 0; i++)
		if (!seen_before(p, i))
			r = repair_name(p, &p->items[i].rec);
	pthread_mutex_unlock(&s->memory);
	if (r == 0)
		r = draft_scan(s, remove_leftover, p);
	if (r == 0 && !s->relaxed && syncfs(s->rootfd) < 0)
		r = -errno;
	if (r == 0)
		r = journal_cut(&s->journal, !s->relaxed);
	if (r < 0)
		atomic_store(&s->failed, true);
	return r;
}

int store_recover(struct store *s)
{
	_cleanup_(repair_deinit) struct repair p = { .s = s };
	int r;

	r = journal_follow(&s->journal, on_entry, &p);
	if (r < 0 || p.count == 0)
		return r;
	return repair(&p);
}
