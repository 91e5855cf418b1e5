#pragma once

/*
 * thoxfs: the FUSE front of a store. What its files share.
 *
 * Three threads and one lock:
 * - the loop reads requests from /dev/fuse and runs each operation under
 *   `lock`; it never waits for a disk's sync, for the verifier, or for the
 *   kernel's directory locks;
 * - the committer takes the jobs that the loop queued (commit.h), verifies
 *   and commits them a batch at a time, without the lock;
 * - the follower sleeps until another process changes the store.
 * And a process beside it, the teller, which alone may wait for the kernel's
 * directory locks (teller.h).
 *
 * Node ids are names in the store, never pointers (node.h): a thoxfs that
 * takes over a mount answers for ids that it has never seen.
 */

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/store.h"
#include "fs/verify.h"

#include "announce.h"
#include "commit.h"
#include "draft.h"
#include "listing.h"
#include "notify.h"
#include "plain.h"
#include "reading.h"

/* How long the kernel may keep an answer that it is told to forget when it
 * becomes wrong: bounded only for what a dead thoxfs could not tell. */
#define CACHE_SECONDS 3600.0

struct thoxfs {
	struct store *store;
	struct verifier *verifier; /* the committer's; NULL: accept anything */
	struct fuse_session *session;
	pthread_mutex_t lock;

	/* what the mount shows */
	uid_t owner;
	gid_t group;
	int root_fd; /* the store's directory, for its directories' times */
	bool relaxed;
	bool successor; /* dying is allowed: another goes on with the mount */

	/* of the request that the loop works on */
	bool resent; /* it was sent to another thoxfs before */
	bool woke_committer;

	/* see lookup_exact_next() */
	pid_t exact_tid;
	enum store_dir exact_dir;
	char exact_name[NAME_MAX_BYTES + 1];

	struct announce announce;
	struct readings readings;
	struct drafts drafts;
	struct plains plains;
	struct listings listings;
	struct committer committer;
	struct notifier notifier;
};

/* Only the instance's owner and root change anything: 0 or -EACCES. */
int thoxfs_may_write(struct thoxfs *fs, fuse_req_t req);
