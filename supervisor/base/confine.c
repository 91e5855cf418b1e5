/* Step 0, in the daemons: from here on only these files and system calls. */

#include "base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

/* Newer than Debian 12's headers: Landlock's third to fifth version. */
#define ACCESS_FS_TRUNCATE  (1ULL << 14)
#define ACCESS_FS_IOCTL_DEV (1ULL << 15)
#define ACCESS_NET_ALL	    3ULL /* bind and connect TCP */

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_WRITE                                                           \
	(ACCESS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE |                         \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |      \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |           \
	 LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER |              \
	 ACCESS_FS_TRUNCATE)

struct ruleset {
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* from the fourth version on */
};

/* All rights that this kernel's Landlock knows are taken away. */
static int ruleset_new(uint64_t *ret_handled)
{
	struct ruleset attr = { .handled_access_fs = (1ULL << 14) - 1 };
	size_t size = sizeof(attr.handled_access_fs);
	long version, fd;

	version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			  LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 0)
		return -errno;
	if (version < 2)
		attr.handled_access_fs &= ~LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		attr.handled_access_fs |= ACCESS_FS_TRUNCATE;
	if (version >= 4) {
		attr.handled_access_net = ACCESS_NET_ALL;
		size = sizeof(attr);
	}
	if (version >= 5)
		attr.handled_access_fs |= ACCESS_FS_IOCTL_DEV;
	fd = syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (fd < 0)
		return -errno;
	*ret_handled = attr.handled_access_fs;
	return (int)fd;
}

static int allow_below(int ruleset, const char *path, uint64_t access)
{
	_cleanup_(fd_closep) int fd = -1;
	struct landlock_path_beneath_attr rule = { .allowed_access = access };

	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rule.parent_fd = fd;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH,
		    &rule, 0) < 0)
		return -errno;
	return 0;
}

static int confine_files(const struct confine_path *paths, size_t n)
{
	_cleanup_(fd_closep) int ruleset = -1;
	uint64_t handled = 0;
	int r = 0;

	ruleset = ruleset_new(&handled);
	if (ruleset < 0)
		return ruleset;
	for (size_t i = 0; r == 0 && i < n; i++) {
		uint64_t access = paths[i].access == CONFINE_WRITE
					  ? ACCESS_WRITE
					  : ACCESS_READ;

		r = allow_below(ruleset, paths[i].path, access & handled);
		if (r == -ENOENT && paths[i].optional)
			r = 0;
	}
	if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		r = -errno;
	return r;
}

/*
 * What is not in the table fails as if the kernel had no such call: library
 * code then falls back or reports an error, and a rarely taken path that the
 * table forgot does not take the daemon down.
 */
static int load_calls(const struct confine_call *calls, size_t n)
{
#ifdef THOX_SANITIZED
	/* The sanitizers' own calls are too many, and vary. */
	(void)calls;
	(void)n;
	return 0;
#else
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r = ctx ? 0 : -ENOMEM;

	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i].nr, 0);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
#endif
}

static int no_new_privs(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int confine(const struct confine_path *paths, size_t n_paths,
	    const struct confine_call *calls, size_t n_calls,
	    const char **ret_layer)
{
	int r;

	*ret_layer = "no_new_privs";
	r = no_new_privs();
	if (r < 0)
		return r;
	*ret_layer = "Landlock";
	r = confine_files(paths, n_paths);
	if (r < 0)
		return r;
	*ret_layer = "seccomp";
	return load_calls(calls, n_calls);
}

int confine_calls(const struct confine_call *calls, size_t n_calls)
{
	int r = no_new_privs();

	return r < 0 ? r : load_calls(calls, n_calls);
}
