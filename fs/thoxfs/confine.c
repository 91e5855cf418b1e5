/* Step 0: from here on only the store, and only these system calls. */

#include "confine.h"

#include <seccomp.h>

#include "base/confine.h"
#include "base/util.h"

/* Everything thoxfs asks of the kernel, and who in it asks. */
static const struct confine_call allowed[] = {
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

int thoxfs_confine(const struct confine_options *options,
		   const char **ret_layer)
{
	const struct confine_path paths[] = {
		{ options->store_path, CONFINE_WRITE, false },
		{ "/proc", CONFINE_READ, false },
		{ options->builtin_path, CONFINE_READ, true },
	};
	size_t n = ARRAY_SIZE(paths) - !options->builtin_path;

	return confine(paths, n, allowed, ARRAY_SIZE(allowed), ret_layer);
}

static const struct confine_call allowed_to_teller[] = {
	{ SCMP_SYS(read), "what to tell" },
	{ SCMP_SYS(write), "to the kernel" },
	{ SCMP_SYS(exit_group), "the end" },
};

int thoxfs_confine_teller(void)
{
	return confine_calls(allowed_to_teller, ARRAY_SIZE(allowed_to_teller));
}
