#pragma once

/*
 * Where an instance lives: one place computes every path (DESIGN: section 8).
 *
 * THOX_DIR puts all of one instance under one directory; otherwise the mode
 * chooses between the user's XDG directories and the system's. Nothing is
 * created here but by instance_make_dirs().
 */

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

enum instance_mode {
	INSTANCE_USER,
	INSTANCE_SYSTEM,
};

struct instance {
	enum instance_mode mode;
	char run[PATH_MAX];    /* control, lock, start.lock, keeper.log */
	char store[PATH_MAX];  /* the store's root */
	char state[PATH_MAX];  /* logs, data of services */
	char config[PATH_MAX]; /* holds thoxd.conf */
	char mount[PATH_MAX];  /* the default mount point */
};

/*
 * -ENAMETOOLONG; -ENOENT without a home directory. The run directory falls
 * back from $XDG_RUNTIME_DIR/thox to /run/user/UID/thox, then to
 * $TMPDIR/thox-UID, which instance_make_dirs() checks for owner and mode.
 */
int instance_locate(enum instance_mode mode, struct instance *ret_instance);

/* The same for mode and run alone: all that is asked of one that runs, and
 * every other path is a page to touch. */
int instance_locate_run(enum instance_mode mode, struct instance *ret_instance);

/*
 * Make run, store, state and config (0700 each, parents 0755). -EPERM when
 * a directory is there that another user owns or others may write.
 */
int instance_make_dirs(const struct instance *in);

/* Make one, or be content with one that is there: 0; -EPERM when another user
 * owns it or its mode has one of the bits @refused, -ENOTDIR when it is none. */
int instance_make_dir(const char *path, mode_t refused);

/*
 * A sockaddr_un path to DIR/NAME that fits, however long DIR is: either the
 * path itself or /proc/self/fd/N/NAME with a descriptor of DIR in
 * @ret_dirfd (the caller's; -1 when none was needed).
 */
int instance_socket_path(const char *dir, const char *name, char *ret_path,
			 int *ret_dirfd);

#define INSTANCE_SOCKET_BYTES 108
#define INSTANCE_CONTROL      "control"

/* The directory of thox's own executables: $THOX_LIBEXEC_DIR (tests on an
 * uninstalled tree; ignored when the process is set-id), else compiled in. */
const char *instance_libexec_dir(void);
const char *instance_data_dir(void); /* $THOX_DATA_DIR, likewise */
