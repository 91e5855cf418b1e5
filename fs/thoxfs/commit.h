#pragma once

/*
 * Jobs: what changes the store and may have to wait for a disk or for the
 * verifier. The loop queues them, the committer does them in order, as many
 * as are waiting under one sync.
 *
 * A lookup or a listing that a queued job will change is parked on it and
 * answered when it is done: after `: > f` the release that publishes is on
 * its way when the shell goes on, and the next look must find it.
 *
 * With relaxed syncs, no verifier and nothing queued the loop does the job
 * itself: a wake-up costs more than the work.
 */

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "fs/store.h"
#include "fs/verify.h"

struct thoxfs;
struct draft;

enum job_kind {
	JOB_PUBLISH, /* text */
	JOB_KEEP,    /* text, reason: as rejected */
	JOB_REMOVE,  /* name */
	JOB_LINK,    /* name -> to */
	/* from here on: one at a time */
	JOB_RENAME, /* name becomes to */
	/* from here on: no name shows another content */
	JOB_TOUCH, /* name, mtime */
	JOB_SYNC,  /* sync_fd */
};

enum job_reply {
	REPLY_NONE,
	REPLY_RESULT,
	REPLY_ENTRY, /* of the name: a symbolic link was made */
	REPLY_ATTR,  /* of ino */
};

#define JOB_FORGETS 4

struct job {
	struct job *next;
	enum job_kind kind;
	enum job_reply reply;
	fuse_req_t req;
	fuse_ino_t ino;
	enum store_dir dir;
	char name[NAME_MAX_BYTES + 1];
	char to[NAME_MAX_BYTES + 1];
	struct draft *draft;	 /* counted in its jobs; NULL allowed */
	struct store_text *text; /* owned */
	bool was_created;	 /* the draft's, when its text was frozen */
	bool was_truncated;
	bool exclusive;
	bool noreplace;
	bool resent;
	/* The process whose request this is holds the directory's lock in the
	 * kernel: nothing of it can be forgotten before the answer. */
	bool holds_directory;
	/* A scratch file goes with the job: when it succeeds (rename from
	 * scratch), or when it fails (rename to scratch). */
	char plain[256];
	bool plain_on_failure;
	struct timespec mtime;
	int sync_fd; /* owned; -1 of any other job */
	struct store_writer writer;
	uint32_t ticket; /* the verifier's */
	struct verdict verdict;
	struct store_entry entry; /* what came of it */
	int result;
	struct stat attr; /* of REPLY_ATTR */
	double attr_seconds;
	struct parked *parked;
	/* names that the kernel must forget */
	char forget[JOB_FORGETS][256];
	unsigned n_forget;
	bool forget_listing;
};

/* A request that waits for a job. */
typedef void (*parked_fn)(struct thoxfs *fs, fuse_req_t req,
			  const struct parked *p);
struct parked {
	struct parked *next;
	parked_fn fn;
	fuse_req_t req;
	fuse_ino_t parent;
	char name[NAME_MAX_BYTES + 1];
	size_t size;
	off_t offset;
	bool plus;
};

struct committer {
	pthread_t thread;
	pthread_cond_t wake;
	struct job *queued, **queued_last;
	struct job *running;
	bool started;
	bool stopping;
};

int committer_start(struct thoxfs *fs);
/* Finishes what is queued. */
void committer_stop(struct thoxfs *fs);

struct job *job_new(enum job_kind kind, enum store_dir dir, const char *name);
/* Takes @job, and is the one to answer its request. The lock is held, and
 * may be given up meanwhile: drafts that the caller knew may be gone. */
void job_submit(struct thoxfs *fs, struct job *job);
/* Answer its request, if that is still to do. */
void job_answer(struct job *job);
void job_free(struct job *job);

/* The last job that will change @name of @dir (NULL: anything in it). */
struct job *job_pending(struct thoxfs *fs, enum store_dir dir,
			const char *name);
/* Copies @p; false when memory is short. */
bool job_park(struct job *job, const struct parked *p);
