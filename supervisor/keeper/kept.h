#pragma once

/*
 * What outlives thoxd, by name: descriptors, a record that only thoxd
 * understands, and perhaps a process that lives on. The table owns it.
 *
 * The exit of such a process is remembered until thoxd drops the name: it may
 * come while there is no thoxd, or one that does not live to read of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "rpc/keeper.h"
#include "rpc/link.h"

#define KEPT_BUCKETS 1024U /* a power of two */

struct kept_entry {
	struct kept_entry *next;     /* in its bucket of names */
	struct kept_entry *next_pid; /* in its bucket of PIDs */
	char name[KEEPER_NAME_BYTES + 1];
	char *record; /* owned */
	size_t record_size;
	int fds[LINK_FDS_MAX];
	unsigned n_fds;
	pid_t pid; /* 0: no process */
	bool exited;
	int status; /* as of wait(2), when it has exited */
	struct rusage usage;
};

struct kept {
	struct kept_entry *by_name[KEPT_BUCKETS];
	struct kept_entry *by_pid[KEPT_BUCKETS];
	unsigned count;
};

/* A name that is there is replaced. Takes the descriptors (sets them to -1),
 * whatever it returns; copies the record. -ENOMEM, or -ENOSPC over
 * KEEPER_KEPT_MAX. */
int kept_add(struct kept *k, const char *name, const void *record, size_t size,
	     pid_t pid, int *fds, unsigned n_fds);
void kept_remove(struct kept *k, const char *name);
void kept_deinit(struct kept *k);

/* It lives on without thoxd. */
bool kept_lives(const struct kept *k, pid_t pid);
/* It has ended: remembered when it is one that is kept. */
void kept_exited(struct kept *k, pid_t pid, int status,
		 const struct rusage *usage);

typedef int (*kept_fn)(const struct kept_entry *e, void *user);
int kept_each(const struct kept *k, kept_fn fn, void *user);
