#pragma once

/*
 * The mount: made by thoxd, served by thoxfs, outliving both.
 *
 * thoxd mounts (as root with mount(2), else through fusermount3), gives the
 * /dev/fuse descriptor to the keeper under the name `fuse` and starts thoxfs
 * on it. A thoxfs that dies is started again on the same descriptor; when it
 * says that it cannot go on, or dies at once again and again, a new mount is
 * made. thoxd itself never touches what is below the mount point.
 */

#include <ev.h>
#include <limits.h>
#include <stdbool.h>

#include "thoxd/process.h"

struct server;

enum mount_state {
	MOUNT_NONE,	/* not mounted */
	MOUNT_MAKING,	/* fusermount3 works */
	MOUNT_SERVED,	/* mounted, thoxfs runs or is about to */
	MOUNT_UNMAKING, /* fusermount3 -u works */
};

struct mount {
	struct server *server;
	enum mount_state state;
	char point[PATH_MAX];
	char *error; /* why there is none, for status */
	int fuse_fd;

	struct process thoxfs;
	bool thoxfs_spawning;
	ev_timer respawn;
	unsigned rapid_deaths;
	double spawned;

	struct process helper; /* fusermount3 */
	bool helper_spawning;
	int comm_fd; /* it sends the descriptor here */
	ev_io comm;
	ev_timer helper_timeout;
	void (*done)(struct server *s, int error); /* of a command */
};

void mount_init(struct mount *m, struct server *s);
/* The keeper had one: go on with it (the next mount_start()). */
void mount_take_kept(struct mount *m, int fuse_fd);
void mount_restore(struct mount *m, const char *point);
/* Mount at @point (NULL: as configured). What goes wrong is logged and shown
 * by status. 0: made or being made; -EBUSY: it is mounted elsewhere. */
int mount_start(struct mount *m, const char *point);
/* Unmount, lazily. */
void mount_stop(struct mount *m);
/* The keeper is gone and with it thoxfs: unmount without its help, waiting
 * for it. */
void mount_abandon(struct mount *m);
bool mount_idle(const struct mount *m); /* nothing is under way */
