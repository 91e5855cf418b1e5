#pragma once

/*
 * The mount: made by thoxd, served by thoxfs, outliving both.
 *
 * thoxd mounts (as root with mount(2), else through fusermount3), gives the
 * /dev/fuse descriptor to the keeper under the name `fuse` and starts thoxfs
 * on it. A thoxfs that dies is started again on the same descriptor; when it
 * says that it cannot go on, a new mount is made; when it dies at once again
 * and again, there is none until somebody asks for it. thoxd itself never
 * touches what is below the mount point.
 */

#include <ev.h>
#include <limits.h>
#include <stdbool.h>

#include "thoxd/peer.h"
#include "thoxd/process.h"

struct server;

enum mount_state {
	MOUNT_NONE,	/* not mounted */
	MOUNT_MAKING,	/* fusermount3 works */
	MOUNT_SERVED,	/* mounted; thoxfs runs or is about to */
	MOUNT_UNMAKING, /* fusermount3 -u works, or thoxfs is ending */
};

struct mount {
	struct server *server;
	enum mount_state state;
	char point[PATH_MAX];
	char source[PATH_MAX + 8];
	char error[256]; /* why there is none; "" */
	int fuse_fd;
	bool again; /* to be made anew when it is unmade */

	struct process thoxfs;
	bool thoxfs_spawning;
	struct peer link;
	double spawned;
	unsigned rapid_deaths;
	ev_timer respawn;

	struct process helper; /* fusermount3 */
	bool helper_spawning;
	bool helper_unmounts;
	int comm_fd; /* it sends the descriptor here; -1 */
	ev_timer late;
};

void mount_init(struct mount *m, struct server *s);
/* The keeper had one, of this mount point: the next mount_start() goes on
 * with it. The order of the two does not matter. */
void mount_take_kept(struct mount *m, int fuse_fd);
void mount_restore(struct mount *m, const char *point);

/*
 * Mount at @point (NULL: as configured). 0: made or being made, and
 * server_mount_settled() is called; -EBUSY: it is mounted elsewhere; another
 * error, with words in @error.
 */
int mount_start(struct mount *m, const char *point);
/* Unmount, lazily: settled when thoxfs has ended. */
void mount_stop(struct mount *m);
/* Nothing is under way. */
bool mount_settled(const struct mount *m);
/* The keeper is gone and with it thoxfs: unmount without its help, waiting
 * for it. */
void mount_abandon(struct mount *m);
