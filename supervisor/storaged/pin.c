/* Storage, step 9: who still has which file open. */

#include "storaged/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/name.h"
#include "storaged/limits.h"

struct pin {
	struct list list;
	char program[NAME_MAX_BYTES + 1];
	uint64_t inode;
	int fd;
};

/* Names are the owner's own: nobody would choose them to collide. */
static struct list *bucket_of(struct pins *p, const char *program)
{
	unsigned hash = 5381;

	for (; *program; program++)
		hash = hash * 33 + (unsigned char)*program;
	return &p->buckets[hash % PIN_BUCKETS];
}

void pins_init(struct pins *p)
{
	for (unsigned i = 0; i < PIN_BUCKETS; i++)
		list_init(&p->buckets[i]);
	p->count = 0;
}

static void pin_free(struct pins *p, struct pin *pin)
{
	list_remove(&pin->list);
	p->count--;
	fd_close(pin->fd);
	free(pin);
}

void pins_deinit(struct pins *p)
{
	for (unsigned i = 0; i < PIN_BUCKETS; i++)
		while (!list_empty(&p->buckets[i]))
			pin_free(p,
				 list_first(&p->buckets[i], struct pin, list));
}

/*
 * Does anybody but us have it open? A lease to write is given to the only one
 * who has. Whoever opens the file in between is held up until we give it back,
 * at once; the signal that asks for it is ignored (main.c).
 */
static bool is_open(const struct pin *pin)
{
	if (fcntl(pin->fd, F_SETLEASE, F_WRLCK) < 0)
		return true;
	(void)fcntl(pin->fd, F_SETLEASE, F_UNLCK);
	return false;
}

/* Let go what nobody has open any more, of @program, or NULL: of all in the
 * bucket. How many of them are left. */
static unsigned sweep(struct pins *p, struct list *bucket, const char *program)
{
	struct pin *pin, *after;
	unsigned left = 0;

	list_each(pin, after, bucket, list)
	{
		if (program && strcmp(pin->program, program) != 0)
			continue;
		if (is_open(pin))
			left++;
		else
			pin_free(p, pin);
	}
	return left;
}

static bool has_room(struct pins *p)
{
	if (p->count < STORAGE_PINS_MAX)
		return true;
	for (unsigned i = 0; i < PIN_BUCKETS; i++)
		(void)sweep(p, &p->buckets[i], NULL);
	return p->count < STORAGE_PINS_MAX;
}

static struct pin *find(struct pins *p, const char *program, uint64_t inode)
{
	struct pin *pin, *after;

	list_each(pin, after, bucket_of(p, program), list)
	{
		if (pin->inode == inode && strcmp(pin->program, program) == 0)
			return pin;
	}
	return NULL;
}

int pins_add(struct pins *p, const char *program, uint64_t inode, int fd)
{
	_cleanup_(fd_closep) int taken = fd;
	struct pin *pin;

	if (find(p, program, inode))
		return 0;
	if (sweep(p, bucket_of(p, program), program) >= STORAGE_PINS_OLD ||
	    !has_room(p))
		return -EBUSY;
	pin = calloc(1, sizeof(*pin));
	if (!pin)
		return -ENOMEM;
	snprintf(pin->program, sizeof(pin->program), "%s", program);
	pin->inode = inode;
	pin->fd = steal_fd(&taken);
	list_append(bucket_of(p, program), &pin->list);
	p->count++;
	return 0;
}

void pins_look(struct pins *p, const char *program, uint64_t inode)
{
	struct pin *pin = find(p, program, inode);

	if (pin && !is_open(pin))
		pin_free(p, pin);
}
