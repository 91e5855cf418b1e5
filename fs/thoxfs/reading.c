/* The way of a read: descriptors of the contents that are open. */

#include "reading.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fd.h"
#include "node.h"

struct reading {
	struct reading *next; /* of its bucket */
	struct reading *idle_prev, *idle_next;
	uint64_t ino;
	unsigned opens; /* 0: in the idle list */
	int fd;
};

static struct reading **bucket_of(struct readings *c, uint64_t ino)
{
	return &c->buckets[(ino * 0x9e3779b97f4a7c15ULL) >> 56];
}

static struct reading *find(struct readings *c, uint64_t ino)
{
	struct reading *p = *bucket_of(c, ino);

	while (p && p->ino != ino)
		p = p->next;
	return p;
}

static void idle_remove(struct readings *c, struct reading *p)
{
	*(p->idle_prev ? &p->idle_prev->idle_next : &c->idle_first) =
		p->idle_next;
	*(p->idle_next ? &p->idle_next->idle_prev : &c->idle_last) =
		p->idle_prev;
	p->idle_prev = p->idle_next = NULL;
	c->idle--;
}

static void idle_append(struct readings *c, struct reading *p)
{
	p->idle_prev = c->idle_last;
	*(c->idle_last ? &c->idle_last->idle_next : &c->idle_first) = p;
	c->idle_last = p;
	c->idle++;
}

static void reading_free(struct readings *c, struct reading *p)
{
	struct reading **at = bucket_of(c, p->ino);

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	if (!p->opens)
		idle_remove(c, p);
	fd_close(p->fd);
	free(p);
}

static int reading_new(struct thoxfs *fs, uint64_t ino,
		       struct reading **ret_reading)
{
	struct readings *c = &fs->readings;
	struct reading *p;
	int fd, r;

	if (node_kind(ino) == NODE_BUILTIN)
		r = store_read_builtin(fs->store, node_id(ino), NULL, NULL,
				       &fd);
	else
		r = store_read_id(fs->store, node_id(ino), NULL, NULL, &fd);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	p = calloc(1, sizeof(*p));
	if (!p) {
		fd_close(fd);
		return -ENOMEM;
	}
	p->ino = ino;
	p->fd = fd;
	p->next = *bucket_of(c, ino);
	*bucket_of(c, ino) = p;
	idle_append(c, p);
	*ret_reading = p;
	return 0;
}

static int reading_get(struct thoxfs *fs, uint64_t ino,
		       struct reading **ret_reading)
{
	struct reading *p = find(&fs->readings, ino);

	if (!p)
		return reading_new(fs, ino, ret_reading);
	*ret_reading = p;
	return 0;
}

static void trim(struct readings *c)
{
	while (c->idle > READING_IDLE)
		reading_free(c, c->idle_first);
}

int reading_open(struct thoxfs *fs, uint64_t ino)
{
	struct readings *c = &fs->readings;
	struct reading *p;
	int r;

	r = reading_get(fs, ino, &p);
	if (r < 0)
		return r;
	if (p->opens++ == 0)
		idle_remove(c, p);
	return 0;
}

void reading_release(struct thoxfs *fs, uint64_t ino)
{
	struct readings *c = &fs->readings;
	struct reading *p = find(c, ino);

	/* Opened in another thoxfs's time: not counted here. */
	if (!p || !p->opens)
		return;
	if (--p->opens == 0)
		idle_append(c, p);
	trim(c);
}

int reading_fd(struct thoxfs *fs, uint64_t ino, int *ret_fd)
{
	struct reading *p;
	int r;

	r = reading_get(fs, ino, &p);
	if (r < 0)
		return r;
	*ret_fd = p->fd;
	return 0;
}

void readings_deinit(struct thoxfs *fs)
{
	struct readings *c = &fs->readings;

	for (size_t i = 0; i < READING_BUCKETS; i++)
		while (c->buckets[i])
			reading_free(c, c->buckets[i]);
}
