#pragma once

/*
 * thoxfs by hand: without a thoxd and its keeper it mounts itself.
 *
 * mount_run() is the keeper in small: it holds the /dev/fuse descriptor,
 * runs @serve in a child, starts that again when it dies, and unmounts on
 * SIGTERM, SIGINT or when the child ends for good.
 */

#include <stdbool.h>

typedef int (*mount_serve_fn)(int fuse_fd, void *user);

/* The exit code of thoxfs; blocks until the mount has ended. */
int mount_run(const char *mount_point, bool allow_other, mount_serve_fn serve,
	      void *user);
