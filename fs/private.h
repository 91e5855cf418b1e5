#pragma once

/*
 * What the store's own files share: its struct, its locks, where things lie.
 * For fs/ only; everyone else includes store.h.
 *
 * Locks, in the order of taking them
 * - commit: one thread of the process writes names and the journal.
 * - the file lock (store_lock): one process does.
 * - memory: the index in memory. Held for microseconds, never over a sync.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/index.h"
#include "fs/journal.h"
#include "fs/record.h"
#include "fs/store.h"

struct commit_wait;

struct store {
	char *path;
	int rootfd, lockfd, versionsfd, draftsfd, rejectedfd;
	int dirfd[DIR_COUNT], scratchfd[DIR_COUNT];
	int builtinfd;		     /* -1: no layer below */
	int builtindirfd[DIR_COUNT]; /* its directories; -1: none */
	bool relaxed, readonly, own_is_old;
	atomic_bool failed; /* a sync did; nothing is written any more */
	unsigned keep;
	uint64_t file_limit_bytes, quota_bytes;

	pthread_mutex_t commit;
	struct journal journal;

	pthread_mutex_t memory;
	struct index index;
	uint64_t followed, followed_generation;

	/* Drafts, streams and scratch files, as far as this process knows. */
	atomic_uint_fast64_t plain_bytes;

	pthread_mutex_t ids;
	uint64_t next_id, end_id;

	/* Commits that wait for the one that runs; see publish.c. */
	pthread_mutex_t queue;
	pthread_cond_t queue_moved;
	struct commit_wait *queue_first, **queue_end;
	bool queue_busy;
};

/* A frozen or growing text: a file of .drafts, until it is committed. */
struct store_text {
	struct store *s;
	atomic_uint refs;
	atomic_bool committed;	      /* the file is no longer a draft's */
	atomic_uint_fast64_t version; /* that it became, or 0 */
	uint64_t id, draft_id;
	atomic_uint_fast64_t size_bytes; /* counted in plain_bytes */
	int64_t mtime_ns; /* 0: its file tells; set before it is frozen */
	enum store_dir dir;
	int fd;
	bool leave;
	char name[NAME_MAX_BYTES + 1];
};

/* File names: ids are hexadecimal. */
#define ID_NAME_BYTES	 20
#define DRAFT_NAME_BYTES 200
void id_name(uint64_t id, char ret_name[ID_NAME_BYTES]);
void draft_name(uint64_t draft_id, uint64_t id, enum store_dir dir,
		const char *name, char ret_name[DRAFT_NAME_BYTES]);
/* -EINVAL when @file is none. */
int draft_name_parse(const char *file, uint64_t *ret_draft_id, uint64_t *ret_id,
		     enum store_dir *ret_dir,
		     char ret_name[NAME_MAX_BYTES + 1]);

/* read.c */
/* Does the layer below have it? What lies over it does not matter. */
bool store_shows_builtin(struct store *s, enum store_dir dir, const char *name);

/* lock.c */
int store_new_id(struct store *s, uint64_t *ret_id);
int store_lock(struct store *s); /* commit is held */
void store_unlock(struct store *s);
/* Under the lock: know all that others did, and finish what they could not.
 * Takes and leaves memory. */
int store_settle(struct store *s);
/* lock, settle; and back. */
int store_begin(struct store *s);
void store_end(struct store *s);

/* store.c */
/* Does @growth more fit into the quota? -ENOSPC. */
int store_room(struct store *s, uint64_t size, uint64_t growth);
/* CLOCK_REALTIME */
int64_t time_now_ns(void);
int64_t timespec_ns(const struct timespec *ts);

/* history.c: what a name shows of its past, newest first; memory is held. */
struct history {
	struct record *recs;
	size_t count;
};
void history_deinit(struct history *h);
int history_read(struct store *s, const struct index_node *node,
		 struct history *ret_history);
/* Contents that are beyond what is kept (published and rejected). */
int history_excess(struct store *s, const struct index_node *node,
		   struct history *ret_history);

/* text.c: @draft_id 0 makes it a draft of its own */
int text_new(struct store *s, uint64_t draft_id, enum store_dir dir,
	     const char *name, struct store_text **ret_text);
/* Append what @fd holds, within the limits. */
int text_fill(struct store_text *t, int fd);
/* Its bytes, for the quota; 0 when they are counted elsewhere from now on. */
void text_count(struct store_text *t, uint64_t size);
/* When it was written last, or what utimens set; the file's own time, which is
 * not asked for (stat_timeless()), is a clock tick off. */
int text_mtime_ns(const struct store_text *t, int64_t *ret_mtime_ns);
int text_touch(struct store_text *t, const struct timespec *mtime);
void text_file(const struct store_text *t, char ret_file[DRAFT_NAME_BYTES]);

/* draft.c */
/* All files of .drafts whose names are well-formed. */
struct draft_found {
	uint64_t draft_id, id;
	enum store_dir dir;
	char name[NAME_MAX_BYTES + 1];
	char file[DRAFT_NAME_BYTES];
};
typedef int (*draft_scan_fn)(const struct draft_found *f, void *user);
int draft_scan(struct store *s, draft_scan_fn fn, void *user);

/* content.c: bytes of files */
int content_hash(int fd, uint64_t size, uint8_t ret_sha256[32]);
void content_hash_bytes(const void *data, size_t size, uint8_t ret_sha256[32]);
int content_copy(int from, int to); /* whole, from 0 */
/* A regular file below @dirfd, never through a link, never blocking. */
int content_open(int dirfd, const char *name, struct stat *ret_stat,
		 int *ret_fd);
/* The sibling that a symbolic link names, or -EPERM. */
int content_target(int dirfd, const char *name,
		   char ret_target[NAME_MAX_BYTES + 1]);

/* queue.c: as store_commit(), but all of it happens or nothing does. */
int commit_together(struct store *s, struct store_change *changes,
		    size_t count);

/* recover.c */
int store_recover(struct store *s); /* under the lock */

/* adopt.c */
int store_adopt(struct store *s); /* live files that the index lost */
/* One name whose plain file is not the recorded one. */
int store_adopt_name(struct store *s, enum store_dir dir, const char *name);

/* tidy.c */
int store_checkpoint(struct store *s, bool sync_cut); /* under the lock */
