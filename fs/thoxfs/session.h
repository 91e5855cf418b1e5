#pragma once

/*
 * The conversation with the kernel over a /dev/fuse descriptor that outlives
 * this process.
 *
 * The kernel says INIT once a mount. It is recorded, so that a successor on
 * the same descriptor can be told it again (its reply is swallowed), and asks
 * the kernel to send again what its predecessor was asked and never answered
 * (FUSE_NOTIFY_RESEND, Linux 6.9).
 *
 * Which of the two it is shows by itself: a new mount has its INIT waiting.
 */

#include <stdbool.h>

struct thoxfs;

/* thoxfs's exit codes, as man/thoxfs.8 lists them */
#define SESSION_EXIT_FAILED	 1
#define SESSION_EXIT_USAGE	 2
#define SESSION_EXIT_NEEDS_MOUNT 3 /* this mount cannot go on */
#define SESSION_EXIT_AGAIN	 4 /* start another on the same descriptor */
#define SESSION_EXIT_BUSY	 5 /* the store has another thoxfs */

/* While this is a teller's descriptor, what this thread says to the kernel
 * goes through the teller; else -1. */
extern _Thread_local int session_through_teller;

struct session {
	int fuse_fd;   /* not owned */
	int record_fd; /* INIT, kept across processes; -1: not kept */
	bool resumed;
	bool can_resend; /* the kernel sends a successor what was lost */
	bool unmounted;	 /* the loop ended because the mount did */
	bool debug;
};

/*
 * Make fs->session, speaking on session->fuse_fd, up to the answer to INIT.
 * -ENOTCONN: the mount is gone. -EPROTO: it was used before and there is no
 * record, or the kernel cannot resend: a new mount is needed.
 */
int session_open(struct thoxfs *fs, struct session *session);
/* Ask again for what was never answered; the committer and the notifier run. */
int session_resume(struct session *session);
/* Until the mount ends (0) or session_stop(); or an error. */
int session_run(struct thoxfs *fs, struct session *session);
void session_close(struct thoxfs *fs);
