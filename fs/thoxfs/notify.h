#pragma once

/*
 * Telling the kernel what to forget, in a thread of its own (thoxfs.h says
 * why), and learning what other processes changed.
 */

#include <pthread.h>
#include <stdbool.h>

#include "fs/name.h"

struct thoxfs;
struct job;

struct notifier {
	pthread_t thread;
	pthread_cond_t wake;
	struct job *queued, **queued_last;
	bool started;
	bool stopping;
	/* the follower */
	pthread_t follower;
	int inotify_fd;
	int stop_fd;
	bool following;
};

/* Opens what the follower needs; before confinement. */
int notifier_prepare(struct thoxfs *fs);
int notifier_start(struct thoxfs *fs);
/* Finishes what is queued. */
void notifier_stop(struct thoxfs *fs);

/* Takes @job: forgets its names, then answers it if that is still to do. */
void notifier_queue(struct thoxfs *fs, struct job *job);

/* Which names of the kernel's memory does it make wrong, now that it is
 * done? Fills the job's `forget`; the lock is held. */
void notify_collect(struct thoxfs *fs, struct job *job);

/* Everything that the kernel may hold: after a take-over. */
void notify_everything(struct thoxfs *fs);
