/* Step 7 of a write into the mount: the kernel forgets the old version. */

#include "notify.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "node.h"
#include "session.h"
#include "teller.h"

/* When all that was heard of is our own doing, others may wait this long. */
#define OWN_PAUSE_NS (5 * 1000 * 1000)
/* Bytes in the teller's pipe past which the follower holds back. */
#define BACKLOG_MAX (64 * 1024)

static void forget_name(struct job *job, const char *name)
{
	for (unsigned i = 0; i < job->n_forget; i++)
		if (strcmp(job->forget[i], name) == 0)
			return;
	if (job->n_forget < JOB_FORGETS)
		snprintf(job->forget[job->n_forget++], sizeof(job->forget[0]),
			 "%s", name);
}

/* The name has a content now: who asked for its other spelling and was told
 * that there is none would get this one. */
static void forget_alternate(struct thoxfs *fs, struct job *job,
			     const char *name)
{
	char alternate[NAME_MAX_BYTES + 1];

	if (!name_alternate(job->dir, name, alternate) ||
	    !announce_missing(&fs->announce, job->dir, alternate))
		return;
	announce_clear(&fs->announce, job->dir, alternate);
	forget_name(job, alternate);
}

static void forget_listing(struct thoxfs *fs, struct job *job)
{
	struct listing *l = &fs->listings.dirs[job->dir];

	l->valid = false;
	job->forget_listing = l->told;
	l->told = false;
}

/*
 * A request that removes, renames or links tells the kernel as much itself:
 * its own name and listing are right when it is answered.
 */
void notify_collect(struct thoxfs *fs, struct job *job)
{
	struct announce *a = &fs->announce;

	switch (job->kind) {
	case JOB_PUBLISH:
		if (job->plain[0]) {
			/* Renamed from a scratch name, which is never kept. */
			announce_clear(a, job->dir, job->name);
			listing_changed(fs, job->dir);
		} else {
			if (announce_differs(a, job->dir, job->name,
					     node_of_entry(fs, &job->entry))) {
				announce_clear(a, job->dir, job->name);
				forget_name(job, job->name);
			}
			if (job->was_created)
				forget_listing(fs, job);
			else
				listing_changed(fs, job->dir);
		}
		forget_alternate(fs, job, job->name);
		break;
	case JOB_REMOVE:
		announce_clear(a, job->dir, job->name);
		listing_changed(fs, job->dir);
		/* Renamed to a scratch name: that one shows the old node. */
		if (job->plain[0])
			forget_name(job, job->plain);
		break;
	case JOB_RENAME:
		announce_clear(a, job->dir, job->name);
		announce_clear(a, job->dir, job->to);
		listing_changed(fs, job->dir);
		/* The kernel moved the old node to the new name. */
		forget_name(job, job->to);
		forget_alternate(fs, job, job->to);
		break;
	case JOB_LINK:
		announce_clear(a, job->dir, job->name);
		listing_changed(fs, job->dir);
		forget_alternate(fs, job, job->name);
		break;
	case JOB_TOUCH:
		/* The answer is about the node that was asked for; a draft is
		 * not the one that the name shows. */
		if (node_kind(job->ino) == NODE_DRAFT) {
			announce_clear(a, job->dir, job->name);
			forget_name(job, job->name);
		}
		break;
	case JOB_KEEP:
	case JOB_SYNC:
		break;
	}
}

void notify_tell(struct thoxfs *fs, struct job *job)
{
	fuse_ino_t parent = node_of_dir(job->dir);

	session_through_teller = fs->notifier.teller_fd;
	for (unsigned i = 0; i < job->n_forget; i++)
		(void)fuse_lowlevel_notify_inval_entry(fs->session, parent,
						       job->forget[i],
						       strlen(job->forget[i]));
	if (job->forget_listing)
		(void)fuse_lowlevel_notify_inval_inode(fs->session, parent, 0,
						       0);
	job_answer(job);
	session_through_teller = -1;
}

void notify_forget_listing(struct thoxfs *fs, enum store_dir dir,
			   fuse_req_t req)
{
	struct listing *l = &fs->listings.dirs[dir];

	session_through_teller = fs->notifier.teller_fd;
	if (l->told)
		(void)fuse_lowlevel_notify_inval_inode(fs->session,
						       node_of_dir(dir), 0, 0);
	l->told = false;
	fuse_reply_err(req, 0);
	session_through_teller = -1;
}

struct telling {
	struct thoxfs *fs;
	enum store_dir dir;
};

static int on_name(const char *name, uint64_t id, bool builtin, bool symlink,
		   void *user)
{
	const struct telling *t = user;

	(void)id;
	(void)builtin;
	(void)symlink;
	(void)fuse_lowlevel_notify_inval_entry(
		t->fs->session, node_of_dir(t->dir), name, strlen(name));
	return 0;
}

/* All that the kernel may hold, as far as it can be known: after a take-over.
 * May fill the pipe, and wait. */
static void forget_everything(struct thoxfs *fs)
{
	session_through_teller = fs->notifier.teller_fd;
	for (int i = 0; i < DIR_COUNT; i++) {
		struct telling t = { .fs = fs, .dir = i };

		if (i != DIR_DATA)
			(void)store_names(fs->store, i, on_name, &t);
		(void)fuse_lowlevel_notify_inval_inode(fs->session,
						       node_of_dir(i), 0, 0);
	}
	session_through_teller = -1;
}

struct following {
	struct thoxfs *fs;
	bool foreign;
};

/* Under the lock. What this thoxfs did itself is no news. */
static int on_event(enum store_dir dir, const struct store_entry *event,
		    void *user)
{
	struct following *f = user;
	struct thoxfs *fs = f->fs;
	struct store_entry now;
	struct listing *l;
	fuse_ino_t ino = 0;
	struct job *job;

	if (event->event == STORE_REJECTED || dir == DIR_DATA)
		return 0;
	job = job_new(JOB_KEEP, dir, event->name);
	if (!job)
		return 0;
	if (store_lookup(fs->store, dir, event->name, &now) == 0)
		ino = node_of_entry(fs, &now);
	if (announce_differs(&fs->announce, dir, event->name, ino)) {
		announce_clear(&fs->announce, dir, event->name);
		forget_name(job, event->name);
	}
	if (ino)
		forget_alternate(fs, job, event->name);
	l = &fs->listings.dirs[dir];
	if (l->valid && !listing_find(l, event->name) != !ino)
		forget_listing(fs, job);
	if (!job->n_forget && !job->forget_listing) {
		job_free(job);
		return 0;
	}
	f->foreign = true;
	notify_tell(fs, job);
	job_free(job);
	return 0;
}

static void *follower_main(void *user)
{
	struct thoxfs *fs = user;
	struct notifier *n = &fs->notifier;
	struct pollfd fds[] = { { .fd = n->stop_fd, .events = POLLIN },
				{ .fd = n->inotify_fd, .events = POLLIN } };
	const struct timespec pause = { .tv_nsec = OWN_PAUSE_NS };
	char events[4096];

	if (fs->announce.everything)
		forget_everything(fs);
	for (;;) {
		struct following f = { .fs = fs };

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[0].revents)
			return NULL;
		while (read(n->inotify_fd, events, sizeof(events)) > 0)
			;
		/* A flood must not make the others wait for the pipe. */
		while (teller_backlog(n->teller_fd) > BACKLOG_MAX)
			(void)nanosleep(&pause, NULL);
		pthread_mutex_lock(&fs->lock);
		(void)store_follow(fs->store, on_event, &f);
		pthread_mutex_unlock(&fs->lock);
		if (!f.foreign)
			(void)nanosleep(&pause, NULL);
	}
}

int notifier_prepare(struct thoxfs *fs, int fuse_fd)
{
	struct notifier *n = &fs->notifier;
	int r;

	r = teller_start(fuse_fd, &n->teller_fd);
	if (r < 0)
		return r;

	n->stop_fd = eventfd(0, EFD_CLOEXEC);
	n->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (n->stop_fd < 0 || n->inotify_fd < 0)
		return -errno;
	if (inotify_add_watch(n->inotify_fd, store_watch_path(fs->store),
			      IN_MODIFY | IN_MOVED_TO | IN_CREATE) < 0)
		return -errno;
	return store_follow(fs->store, NULL, NULL);
}

int notifier_start(struct thoxfs *fs)
{
	struct notifier *n = &fs->notifier;
	int r = pthread_create(&n->follower, NULL, follower_main, fs);

	n->following = r == 0;
	return -r;
}

void notifier_stop(struct thoxfs *fs)
{
	struct notifier *n = &fs->notifier;
	uint64_t one = 1;

	if (n->following) {
		(void)!write(n->stop_fd, &one, sizeof(one));
		pthread_join(n->follower, NULL);
		n->following = false;
	}
	n->stop_fd = fd_close(n->stop_fd);
	n->inotify_fd = fd_close(n->inotify_fd);
	n->teller_fd = fd_close(n->teller_fd);
}
