/* Step 0: from here on only the store, and only these system calls. */

#include "confine.h"

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
#include "config.h"

/* Newer than Debian 12's headers: Landlock's third to fifth version. */
#define ACCESS_FS_TRUNCATE  (1ULL << 14)
#define ACCESS_FS_IOCTL_DEV (1ULL << 15)
#define ACCESS_NET_ALL	    3ULL /* bind and connect TCP */

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_STORE                                                           \
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

static int confine_files(const struct confine_options *options)
{
	_cleanup_(fd_closep) int ruleset = -1;
	uint64_t handled = 0;
	int r;

	ruleset = ruleset_new(&handled);
	if (ruleset < 0)
		return ruleset;
	r = allow_below(ruleset, options->store_path, ACCESS_STORE & handled);
	if (r == 0)
		r = allow_below(ruleset, "/proc", ACCESS_READ);
	if (r == 0 && options->builtin_path) {
		r = allow_below(ruleset, options->builtin_path, ACCESS_READ);
		if (r == -ENOENT)
			r = 0; /* no layer below */
	}
	if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		r = -errno;
	return r;
}

/* Everything thoxfs asks of the kernel, and who in it asks. */
struct call {
	int nr;
	const char *who;
};

static const struct call allowed[] = {
	{ SCMP_SYS(read), "session, follower" },
	{ SCMP_SYS(write), "session: notifications; log" },
	{ SCMP_SYS(ioctl), "teller: FIONREAD; Landlock leaves no device" },
	{ SCMP_SYS(writev), "session: replies" },
	{ SCMP_SYS(readv), "session" },
	{ SCMP_SYS(pread64), "reads" },
	{ SCMP_SYS(pwrite64), "drafts, journal" },
	{ SCMP_SYS(preadv), "store" },
	{ SCMP_SYS(pwritev), "journal" },
	{ SCMP_SYS(preadv2), "store" },
	{ SCMP_SYS(pwritev2), "journal" },
	{ SCMP_SYS(lseek), "store" },
	{ SCMP_SYS(open), "store" },
	{ SCMP_SYS(openat), "store, writer" },
	{ SCMP_SYS(openat2), "store" },
	{ SCMP_SYS(close), "all" },
	{ SCMP_SYS(dup), "directory streams" },
	{ SCMP_SYS(fcntl), "fsync; directory streams; locks" },
	{ SCMP_SYS(flock), "store: the writers' lock" },
	{ SCMP_SYS(fstat), "attributes" },
	{ SCMP_SYS(stat), "store" },
	{ SCMP_SYS(lstat), "store" },
	{ SCMP_SYS(newfstatat), "attributes" },
	{ SCMP_SYS(statx), "attributes" },
	{ SCMP_SYS(fstatfs), "usage" },
	{ SCMP_SYS(statfs), "usage" },
	{ SCMP_SYS(access), "store" },
	{ SCMP_SYS(faccessat), "store" },
	{ SCMP_SYS(faccessat2), "store" },
	{ SCMP_SYS(getdents64), "listings" },
	{ SCMP_SYS(readlink), "symbolic links" },
	{ SCMP_SYS(readlinkat), "symbolic links" },
	{ SCMP_SYS(symlinkat), "symbolic links" },
	{ SCMP_SYS(mkdirat), "store" },
	{ SCMP_SYS(mkdir), "store" },
	{ SCMP_SYS(linkat), "versions" },
	{ SCMP_SYS(unlinkat), "versions" },
	{ SCMP_SYS(unlink), "versions" },
	{ SCMP_SYS(rename), "publication" },
	{ SCMP_SYS(renameat), "publication" },
	{ SCMP_SYS(renameat2), "publication" },
	{ SCMP_SYS(ftruncate), "drafts, journal" },
	{ SCMP_SYS(fallocate), "journal" },
	{ SCMP_SYS(copy_file_range), "drafts from a version" },
	{ SCMP_SYS(sendfile), "drafts from a version" },
	{ SCMP_SYS(utimensat), "times" },
	{ SCMP_SYS(fchmod), "store" },
	{ SCMP_SYS(fchmodat), "store" },
	{ SCMP_SYS(fsync), "durability" },
	{ SCMP_SYS(fdatasync), "durability" },
	{ SCMP_SYS(syncfs), "durability" },
	{ SCMP_SYS(sync_file_range), "durability" },
	{ SCMP_SYS(sendmsg), "verifier, link" },
	{ SCMP_SYS(recvmsg), "verifier, link" },
	{ SCMP_SYS(sendto), "verifier, link" },
	{ SCMP_SYS(recvfrom), "verifier, link" },
	{ SCMP_SYS(poll), "verifier, follower, session" },
	{ SCMP_SYS(ppoll), "verifier, follower, session" },
	{ SCMP_SYS(kill), "verifier_free" },
	{ SCMP_SYS(wait4), "verifier_free" },
	{ SCMP_SYS(waitid), "verifier_free" },
	{ SCMP_SYS(futex), "threads" },
	{ SCMP_SYS(clone), "threads" },
	{ SCMP_SYS(clone3), "threads" },
	{ SCMP_SYS(set_robust_list), "threads" },
	{ SCMP_SYS(rseq), "threads" },
	{ SCMP_SYS(gettid), "threads" },
	{ SCMP_SYS(getpid), "store: the writer; abort" },
	{ SCMP_SYS(getuid), "store: the writer" },
	{ SCMP_SYS(geteuid), "store: the owner" },
	{ SCMP_SYS(prctl), "store: the writer's command" },
	{ SCMP_SYS(rt_sigprocmask), "threads" },
	{ SCMP_SYS(rt_sigaction), "session, abort" },
	{ SCMP_SYS(rt_sigreturn), "signals" },
	{ SCMP_SYS(tgkill), "abort" },
	{ SCMP_SYS(sched_yield), "threads" },
	{ SCMP_SYS(sched_getaffinity), "malloc: arenas" },
	{ SCMP_SYS(restart_syscall), "stopped and continued" },
	{ SCMP_SYS(clock_gettime), "times" },
	{ SCMP_SYS(gettimeofday), "times" },
	{ SCMP_SYS(clock_nanosleep), "follower" },
	{ SCMP_SYS(nanosleep), "follower" },
	{ SCMP_SYS(getrandom), "malloc" },
	{ SCMP_SYS(brk), "malloc" },
	{ SCMP_SYS(mmap), "malloc, thread stacks" },
	{ SCMP_SYS(munmap), "malloc" },
	{ SCMP_SYS(mremap), "malloc" },
	{ SCMP_SYS(mprotect), "malloc, thread stacks" },
	{ SCMP_SYS(madvise), "malloc, thread stacks" },
	{ SCMP_SYS(exit), "threads" },
	{ SCMP_SYS(exit_group), "the end" },
};

/*
 * What is not in the table fails as if the kernel had no such call: library
 * code then falls back or reports an error, and a rarely taken path that the
 * table forgot does not take the mount down.
 */
static int confine_calls(const struct call *calls, size_t count)
{
#ifdef THOX_SANITIZED
	/* The sanitizers' own calls are too many, and vary. */
	(void)calls;
	(void)count;
	return 0;
#else
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r = ctx ? 0 : -ENOMEM;

	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i].nr, 0);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
#endif
}

int confine(const struct confine_options *options, const char **ret_layer)
{
	int r;

	*ret_layer = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	*ret_layer = "Landlock";
	r = confine_files(options);
	if (r < 0)
		return r;
	*ret_layer = "seccomp";
	return confine_calls(allowed, ARRAY_SIZE(allowed));
}

static const struct call allowed_to_teller[] = {
	{ SCMP_SYS(read), "what to tell" },
	{ SCMP_SYS(write), "to the kernel" },
	{ SCMP_SYS(exit_group), "the end" },
};

int confine_to_pipe(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return confine_calls(allowed_to_teller, ARRAY_SIZE(allowed_to_teller));
}
