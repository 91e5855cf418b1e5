#pragma once

/*
 * A mount point before and after: what is there, and the calls that root
 * makes itself. Nothing here looks below a mount.
 */

#include <stdbool.h>
#include <stddef.h>

#define MOUNT_TYPE "fuse.thoxfs"

enum mountpoint {
	MOUNTPOINT_FREE,
	MOUNTPOINT_OURS,  /* left by an earlier life of this instance */
	MOUNTPOINT_OTHER, /* something else is mounted there */
};

/* What is mounted on @path; @source is how this instance's mount is named. */
enum mountpoint mountpoint_look(const char *path, const char *source);

/* "thox:STORE": what `df` and `mount` show. */
void mountpoint_source(const char *store, char *ret, size_t size);

/* Make the directory, and see that it is one and empty: 0; -ENOTEMPTY,
 * -ENOTDIR, -EPERM when it is another user's, … */
int mountpoint_prepare(const char *path);

/* As root: 0 and the /dev/fuse descriptor, or -errno. Waits for nobody. */
int mountpoint_mount(const char *path, const char *source, bool allow_other,
		     int *ret_fd);
int mountpoint_unmount(const char *path); /* lazily */

/* fusermount3's -o argument. */
int mountpoint_options(const char *source, bool allow_other, char *ret,
		       size_t size);
