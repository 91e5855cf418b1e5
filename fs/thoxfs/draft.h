#pragma once

/*
 * Drafts: what a writer sees between its open and its close.
 *
 * Each open for writing has a draft of its own, so concurrent writers do not
 * mix and the last close wins. The file is the store's (store_draft_new());
 * this adds what the mount knows about its use, and what can be found out
 * again after a take-over is found out again (draft_get()).
 *
 * How a write-open of a live content gets there: the kernel opens the live
 * node, is answered ESTALE, and looks the name up again from the same
 * thread, twice; `expected` remembers who will come, and both lookups are
 * answered with one new draft.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/store.h"

struct thoxfs;

#define DRAFT_BUCKETS	64
#define DRAFTS_EXPECTED 64
/* Lookups by the thread that are taken for the kernel's second try. */
#define DRAFT_LOOKUPS 4

struct draft {
	struct draft *next; /* of its bucket */
	struct store_draft *store;
	uint64_t id;
	uint64_t lookups; /* that the kernel will forget */
	unsigned opens;
	unsigned jobs;	/* queued commits that report here */
	unsigned holds; /* an expectation */
	pid_t tid;	/* who opened it */
	uid_t uid;
	bool inherited; /* of a former thoxfs: `lookups` are not all */
	bool marked;	/* on its file, as not written to */
	bool written;	/* since the open or the last flush */
	bool truncated; /* by the open, and nothing was published since */
	bool created;	/* the name had no content, and has none yet */
	bool exclusive; /* O_EXCL */
	bool removed;	/* unlinked before it was published */
	bool killed;	/* the last flush was of a writer that a signal ended */
	int failed;	/* the error of a write that did not fit: what is there
			 * is half a text, and is never published */
};

struct draft_expected {
	pid_t tid; /* 0: free */
	enum store_dir dir;
	bool truncate;
	unsigned lookups;
	uint64_t age;
	struct draft *draft; /* NULL until the first lookup */
};

/* An empty draft of a former thoxfs that nothing was asked of yet. */
struct draft_left {
	uint64_t id;
	enum store_dir dir;
	char name[NAME_MAX_BYTES + 1];
};

struct drafts {
	struct draft *buckets[DRAFT_BUCKETS];
	struct draft_expected expected[DRAFTS_EXPECTED];
	uint64_t clock;
	unsigned created; /* how many have `created` set */
	unsigned count;	  /* of all */
	struct draft_left *left;
	size_t left_count;
};

/* A new one with @base's content, or (NULL) empty and so truncated. */
int draft_new(struct thoxfs *fs, enum store_dir dir, const char *name,
	      const struct store_entry *base, struct draft **ret_draft);
/* Only one that is in use now; NULL: none. */
struct draft *draft_find(struct thoxfs *fs, uint64_t id);
/* By id, also one of a former thoxfs; -ESTALE when it is gone. */
int draft_get(struct thoxfs *fs, uint64_t id, struct draft **ret_draft);
/* It was written to, or its size was set; or that was taken care of. */
void draft_set_written(struct draft *d, bool written);
/* An open emptied it, which the release publishes if no flush does before. */
void draft_set_truncated(struct draft *d);
/* A write to it failed (@error negative), or it begins anew (0). */
void draft_set_failed(struct draft *d, int error);
/* Free it when nothing refers to it any more. */
void draft_settle(struct thoxfs *fs, struct draft *d);
void draft_forget(struct thoxfs *fs, uint64_t id, uint64_t lookups);
/* Its name has a content now, or never will. */
void draft_set_created(struct thoxfs *fs, struct draft *d, bool created);

/* The unpublished draft of a name that has no content: any, or (@tid not 0)
 * only one that this thread's process made; NULL: none. */
struct draft *draft_unpublished(struct thoxfs *fs, enum store_dir dir,
				const char *name, pid_t tid);

/* Do they stand for each other, as hello and hello.lua do? */
bool name_same(enum store_dir dir, const char *a, const char *b);

/*
 * Will the release of an open draft change what the name is? It comes without
 * anybody waiting for it, so nobody may be told meanwhile to keep an answer.
 * @name NULL: any name of the directory.
 */
bool draft_due_at_release(struct thoxfs *fs, enum store_dir dir,
			  const char *name);

/* Expectations, see above. */
void draft_expect(struct thoxfs *fs, pid_t tid, enum store_dir dir,
		  bool truncate);
/* Was @tid told ESTALE, and did not look up since? (/proc/self/fd/N) */
bool draft_expected_in_vain(struct thoxfs *fs, pid_t tid);
/* 1 and a draft of @name when @tid is expected to look up in @dir, made from
 * @live or else from @other; 0 when it is not; or an error. */
int draft_expected(struct thoxfs *fs, pid_t tid, enum store_dir dir,
		   const char *name, const struct store_entry *live,
		   struct draft *other, struct draft **ret_draft);
void draft_arrived(struct thoxfs *fs, pid_t tid);

/* After a take-over: which names may still change by a release. */
int drafts_find_left(struct thoxfs *fs);
/* At the end: @keep leaves the files for the next thoxfs. */
void drafts_deinit(struct thoxfs *fs, bool keep);
/* At the start of a mount: what an earlier one left is nobody's. */
void drafts_clear(struct thoxfs *fs);
