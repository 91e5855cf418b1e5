#pragma once

/*
 * What the kernel must forget, told through the teller (teller.h); and
 * learning what other processes changed, in a thread of its own.
 */

#include <pthread.h>
#include <stdbool.h>

#include "fs/name.h"

struct fuse_req;
struct thoxfs;
struct job;

struct notifier {
	int teller_fd;
	pthread_t follower;
	int inotify_fd;
	int stop_fd;
	bool following;
};

/* Starts the teller and opens what the follower needs: before confinement. */
int notifier_prepare(struct thoxfs *fs, int fuse_fd);
int notifier_start(struct thoxfs *fs);
void notifier_stop(struct thoxfs *fs);

/* Which names of the kernel's memory does the job make wrong, now that it is
 * done? Fills its `forget`; the lock is held. */
void notify_collect(struct thoxfs *fs, struct job *job);

/* Has the kernel forget the job's names, and then answers it if that is still
 * to do. Does not wait for either. */
void notify_tell(struct thoxfs *fs, struct job *job);

/* The kernel keeps no listing of @dir when @req is answered, with success. */
void notify_forget_listing(struct thoxfs *fs, enum store_dir dir,
			   struct fuse_req *req);
