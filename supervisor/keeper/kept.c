/*
 * Step 9, in the keeper: what the next thoxd goes on with.
 *
 * An entry is in two tables: by its name, and while its process lives, by
 * PID, since every child is looked up there when thoxd has died.
 */

#include "keeper/kept.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

static struct kept_entry **name_bucket(struct kept *k, const char *name)
{
	uint32_t hash = 2166136261U; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619U;
	return &k->by_name[hash % KEPT_BUCKETS];
}

static struct kept_entry **find(struct kept *k, const char *name)
{
	struct kept_entry **at = name_bucket(k, name);

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

/* --- by PID -----------------------------------------------------------------
 */

static struct kept_entry **find_pid(struct kept *k, pid_t pid)
{
	struct kept_entry **at = &k->by_pid[(unsigned)pid % KEPT_BUCKETS];

	while (*at && (*at)->pid != pid)
		at = &(*at)->next_pid;
	return at;
}

static void leave_pids(struct kept *k, struct kept_entry *e)
{
	struct kept_entry **at;

	if (e->pid == 0 || e->exited)
		return;
	at = &k->by_pid[(unsigned)e->pid % KEPT_BUCKETS];
	while (*at != e)
		at = &(*at)->next_pid;
	*at = e->next_pid;
}

static void enter_pids(struct kept *k, struct kept_entry *e, pid_t pid)
{
	struct kept_entry **bucket = &k->by_pid[(unsigned)pid % KEPT_BUCKETS];

	e->pid = pid;
	e->exited = false;
	if (pid == 0)
		return;
	e->next_pid = *bucket;
	*bucket = e;
}

bool kept_lives(const struct kept *k, pid_t pid)
{
	return *find_pid((struct kept *)k, pid) != NULL;
}

void kept_exited(struct kept *k, pid_t pid, int status,
		 const struct rusage *usage)
{
	struct kept_entry *e = *find_pid(k, pid);

	if (!e)
		return;
	leave_pids(k, e);
	e->exited = true;
	e->status = status;
	e->usage = *usage;
}

/* --- entries ----------------------------------------------------------------
 */

static void close_all(int *fds, unsigned n_fds)
{
	for (unsigned i = 0; i < n_fds; i++)
		fds[i] = fd_close(fds[i]);
}

static struct kept_entry *entry_new(struct kept *k, const char *name)
{
	struct kept_entry **bucket = name_bucket(k, name);
	struct kept_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	strncpy(e->name, name, KEEPER_NAME_BYTES);
	e->next = *bucket;
	*bucket = e;
	k->count++;
	return e;
}

int kept_add(struct kept *k, const char *name, const void *record, size_t size,
	     pid_t pid, int *fds, unsigned n_fds)
{
	struct kept_entry *e = *find(k, name);
	char *copy = size ? malloc(size) : NULL;
	int r = 0;

	if (!e && k->count >= KEEPER_KEPT_MAX)
		r = -ENOSPC;
	else if ((size && !copy) || (!e && !(e = entry_new(k, name))))
		r = -ENOMEM;
	if (r < 0) {
		close_all(fds, n_fds);
		free(copy);
		return r;
	}
	if (size)
		memcpy(copy, record, size);
	free(e->record);
	e->record = copy;
	e->record_size = size;
	close_all(e->fds, e->n_fds);
	for (unsigned i = 0; i < n_fds; i++) {
		e->fds[i] = fds[i];
		fds[i] = -1;
	}
	e->n_fds = n_fds;
	if (e->pid != pid) { /* of the same process an exit may be known */
		leave_pids(k, e);
		enter_pids(k, e, pid);
	}
	return 0;
}

void kept_remove(struct kept *k, const char *name)
{
	struct kept_entry **at = find(k, name);
	struct kept_entry *e = *at;

	if (!e)
		return;
	*at = e->next;
	leave_pids(k, e);
	close_all(e->fds, e->n_fds);
	free(e->record);
	free(e);
	k->count--;
}

void kept_deinit(struct kept *k)
{
	for (unsigned i = 0; i < KEPT_BUCKETS; i++)
		while (k->by_name[i])
			kept_remove(k, k->by_name[i]->name);
}

int kept_each(const struct kept *k, kept_fn fn, void *user)
{
	int r = 0;

	for (unsigned i = 0; i < KEPT_BUCKETS && r == 0; i++)
		for (const struct kept_entry *e = k->by_name[i]; e && r == 0;
		     e = e->next)
			r = fn(e, user);
	return r;
}
