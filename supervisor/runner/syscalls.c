/*
 * Step 4, in the zygote: what a runner may ask of the kernel.
 *
 * libseccomp compiles the table once, as a binary tree: the kernel's cost of
 * taking a filter on goes by its longest path. The zygote's allows what both
 * need; what a runner takes on above it, with one system call each, refuses
 * the few calls that were the zygote's alone: a filter is translated and freed
 * for every runner, so it has to be short.
 */

#include "runner/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "runner/report.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

#define BOTH (WHO_RUNNER | WHO_ZYGOTE)

/* clang-format off */
#define EQ(arg, value)	       { (arg), SCMP_CMP_EQ, (value), 0 }
#define LE(arg, value)	       { (arg), SCMP_CMP_LE, (value), 0 }
#define BITS(arg, mask, value) { (arg), SCMP_CMP_MASKED_EQ, (mask), (value) }
#define INT(arg, value)	       BITS(arg, 0xffffffff, (value) & 0xffffffff)

const struct syscall_row syscall_rows[] = {
	/* memory */
	{ SCMP_SYS(brk), BOTH, "malloc: small blocks", 0, { { 0 } } },
#ifndef THOX_SANITIZED
	{ SCMP_SYS(mmap), BOTH,
	  "malloc: large blocks; fresh memory at the kernel's choice of "
	  "address, never executable, never a file", 4,
	  { EQ(0, 0), EQ(2, PROT_READ | PROT_WRITE),
	    EQ(3, MAP_PRIVATE | MAP_ANONYMOUS), INT(4, -1) } },
	{ SCMP_SYS(mremap), BOTH, "realloc: large blocks, not to a chosen "
	  "address", 1, { EQ(3, MREMAP_MAYMOVE) } },
	{ SCMP_SYS(madvise), BOTH, "large blocks: huge pages, and nothing that "
	  "loses or shares memory", 1, { INT(2, MADV_HUGEPAGE) } },
#endif
	{ SCMP_SYS(munmap), BOTH, "free: large blocks", 0, { { 0 } } },
	{ SCMP_SYS(mprotect), BOTH, "the page below a task's stack, which "
	  "nobody may touch", 1, { EQ(2, PROT_NONE) } },

	/* sockets that it was handed: without an address to send to, so that an
	 * unconnected one among its stdio leads nowhere */
	{ SCMP_SYS(recvfrom), BOTH, "links", 1, { EQ(4, 0) } },
	{ SCMP_SYS(sendto), BOTH, "links", 1, { EQ(4, 0) } },

	/* the control link, the only one with descriptors */
	{ SCMP_SYS(recvmsg), BOTH, "control link", 1,
	  { INT(0, CONTROL_FD) } },
	{ SCMP_SYS(sendmsg), BOTH, "control link", 1,
	  { INT(0, CONTROL_FD) } },
	{ SCMP_SYS(ppoll), BOTH, "waits for stdin and a few links", 1,
	  { LE(1, POLL_FDS_MAX) } },
	{ SCMP_SYS(epoll_create1), BOTH, "many links …", 1,
	  { EQ(0, EPOLL_CLOEXEC) } },
	{ SCMP_SYS(dup3), BOTH, "… at the one number …", 1,
	  { INT(1, EPOLL_FD) } },
	{ SCMP_SYS(epoll_ctl), BOTH, "… that these take", 1,
	  { INT(0, EPOLL_FD) } },
	{ SCMP_SYS(epoll_pwait2), BOTH, "waits for many links", 1,
	  { INT(0, EPOLL_FD) } },
	{ SCMP_SYS(fcntl), BOTH, "asks for SIGIO when a message comes; owner "
	  "and signal stay as they were set", 3,
	  { INT(0, CONTROL_FD), INT(1, F_SETFL), EQ(2, O_RDWR | O_ASYNC) } },
	{ SCMP_SYS(fcntl), BOTH, "moves a context that came before stdin out of "
	  "its place", 2, { EQ(1, F_DUPFD_CLOEXEC), EQ(2, FIRST_MOVED_FD) } },
	{ SCMP_SYS(rt_sigreturn), BOTH, "end of a handler", 0, { { 0 } } },
	{ SCMP_SYS(rt_sigprocmask), BOTH, "holds SIGIO back while it waits", 1,
	  { INT(0, SIG_BLOCK) } },
	{ SCMP_SYS(setitimer), BOTH, "deadlines, and turns of tasks", 1,
	  { INT(0, ITIMER_REAL) } },

	/* what it was handed */
	{ SCMP_SYS(read), BOTH, "stdin, texts, links that are waited for", 0,
	  { { 0 } } },
	{ SCMP_SYS(write), BOTH, "stdout, stderr, pipes, asking a demand stdin",
	  0, { { 0 } } },
	{ SCMP_SYS(writev), BOTH, "libc's last words", 1,
	  { INT(0, STDERR_FILENO) } },
	{ SCMP_SYS(close), BOTH, "texts, stdio", 0, { { 0 } } },

	/* a stream that it was handed (lua_file.c): at a place, and nothing
	 * else that a file knows; how large it may grow is the kernel's rule
	 * (RLIMIT_FSIZE) */
	{ SCMP_SYS(pread64), BOTH, "reads of the stream", 0, { { 0 } } },
	{ SCMP_SYS(pwrite64), BOTH, "writes of the stream", 0, { { 0 } } },
	{ SCMP_SYS(statx), BOTH, "is it still its name's file, how large; of "
	  "what it was handed, by no path", 3,
	  { EQ(1, 0), INT(2, AT_EMPTY_PATH),
	    INT(3, STATX_NLINK | STATX_SIZE) } },
	{ SCMP_SYS(fstat), BOTH, "the same, before Linux 6.11", 0, { { 0 } } },

	/* time; a negative clock would read another process's */
	{ SCMP_SYS(clock_gettime), BOTH, "os.clock, os.time", 1,
	  { LE(0, CLOCK_BOOTTIME) } },
	{ SCMP_SYS(exit_group), BOTH, "exit", 0, { { 0 } } },

#ifdef THOX_SANITIZED
	{ SCMP_SYS(mmap), BOTH, "sanitizer: shadow memory", 1,
	  { BITS(2, PROT_EXEC, 0) } },
	{ SCMP_SYS(mremap), BOTH, "sanitizer", 0, { { 0 } } },
	{ SCMP_SYS(mprotect), BOTH, "sanitizer", 1, { BITS(2, PROT_EXEC, 0) } },
	{ SCMP_SYS(madvise), BOTH, "sanitizer", 0, { { 0 } } },
	{ SCMP_SYS(futex), BOTH, "sanitizer", 0, { { 0 } } },
	{ SCMP_SYS(getpid), BOTH, "sanitizer", 0, { { 0 } } },
	{ SCMP_SYS(gettid), BOTH, "sanitizer", 0, { { 0 } } },
	{ SCMP_SYS(sched_yield), BOTH, "sanitizer", 0, { { 0 } } },
	{ SCMP_SYS(rt_sigprocmask), BOTH, "sanitizer", 0, { { 0 } } },
	{ SCMP_SYS(rt_sigaction), BOTH, "sanitizer", 0, { { 0 } } },
	{ SCMP_SYS(sigaltstack), BOTH, "sanitizer", 0, { { 0 } } },
	{ SCMP_SYS(readlink), BOTH, "sanitizer", 0, { { 0 } } },
	{ SCMP_SYS(openat), BOTH, "sanitizer; the root is empty", 0,
	  { { 0 } } },
	{ SCMP_SYS(open), BOTH, "sanitizer; its own report", 0, { { 0 } } },
	{ SCMP_SYS(ioctl), BOTH, "sanitizer; is that a terminal?", 1,
	  { INT(1, TCGETS) } },
	{ SCMP_SYS(lseek), BOTH, "sanitizer; its own report", 0, { { 0 } } },
	{ SCMP_SYS(getrlimit), BOTH, "sanitizer", 0, { { 0 } } },
#endif

	/* the zygote, and a runner before its own filter */
	{ SCMP_SYS(clone), WHO_ZYGOTE, "makes a runner", 1,
	  { EQ(0, CLONE_PARENT | CLONE_PIDFD) } },
	{ SCMP_SYS(madvise), WHO_ZYGOTE, "its heap as huge pages", 1,
	  { INT(2, MADV_COLLAPSE) } },
	{ SCMP_SYS(dup3), WHO_ZYGOTE, "a runner's control link in place", 1,
	  { INT(1, CONTROL_FD) } },
	{ SCMP_SYS(prctl), WHO_ZYGOTE, "a runner dies with its keeper", 2,
	  { EQ(0, PR_SET_PDEATHSIG), EQ(1, SIGKILL) } },
	{ SCMP_SYS(getpid), WHO_ZYGOTE, "os.pid", 0, { { 0 } } },
	{ SCMP_SYS(getppid), WHO_ZYGOTE, "has the keeper died before?", 0,
	  { { 0 } } },
	{ SCMP_SYS(getrandom), WHO_ZYGOTE, "seed of a runner", 0, { { 0 } } },
	{ SCMP_SYS(prlimit64), WHO_ZYGOTE, "a runner's own limits", 1,
	  { EQ(0, 0) } },
	{ SCMP_SYS(seccomp), WHO_ZYGOTE, "a runner's filter", 1,
	  { INT(0, SECCOMP_SET_MODE_FILTER) } },

	/* attempts of these are attacks: no report, no handler, the end */
	{ SCMP_SYS(clone), 0, "new process", 0, { { 0 } } },
	{ SCMP_SYS(clone3), 0, "new process", 0, { { 0 } } },
	{ SCMP_SYS(fork), 0, "new process", 0, { { 0 } } },
	{ SCMP_SYS(vfork), 0, "new process", 0, { { 0 } } },
	{ SCMP_SYS(execve), 0, "new program", 0, { { 0 } } },
	{ SCMP_SYS(execveat), 0, "new program", 0, { { 0 } } },
	{ SCMP_SYS(ptrace), 0, "another's memory", 0, { { 0 } } },
	{ SCMP_SYS(process_vm_readv), 0, "another's memory", 0, { { 0 } } },
	{ SCMP_SYS(process_vm_writev), 0, "another's memory", 0, { { 0 } } },
	{ SCMP_SYS(bpf), 0, "kernel code", 0, { { 0 } } },
	{ SCMP_SYS(perf_event_open), 0, "kernel code", 0, { { 0 } } },
	{ SCMP_SYS(userfaultfd), 0, "kernel races", 0, { { 0 } } },
	{ SCMP_SYS(io_uring_setup), 0, "calls past the filter", 0, { { 0 } } },
	{ SCMP_SYS(unshare), 0, "new namespace", 0, { { 0 } } },
	{ SCMP_SYS(setns), 0, "another's namespace", 0, { { 0 } } },
	{ SCMP_SYS(mount), 0, "file systems", 0, { { 0 } } },
	{ SCMP_SYS(init_module), 0, "kernel code", 0, { { 0 } } },
	{ SCMP_SYS(finit_module), 0, "kernel code", 0, { { 0 } } },
	{ SCMP_SYS(kexec_load), 0, "kernel code", 0, { { 0 } } },
	{ SCMP_SYS(add_key), 0, "keyrings", 0, { { 0 } } },
	{ SCMP_SYS(keyctl), 0, "keyrings", 0, { { 0 } } },
	{ SCMP_SYS(request_key), 0, "keyrings", 0, { { 0 } } },
};
/* clang-format on */

const size_t n_syscall_rows = ARRAY_SIZE(syscall_rows);

static void release(scmp_filter_ctx *context)
{
	if (*context)
		seccomp_release(*context);
}

static bool is_allowed(int nr, enum syscall_who who)
{
	for (size_t i = 0; i < n_syscall_rows; i++)
		if (syscall_rows[i].nr == nr && (syscall_rows[i].who & who))
			return true;
	return false;
}

static bool kills(int nr)
{
	for (size_t i = 0; i < n_syscall_rows; i++)
		if (syscall_rows[i].nr == nr && syscall_rows[i].who == 0)
			return true;
	return false;
}

/* A call may have rows that allow it and one that kills what they leave over:
 * the allowing ones go first, and whoever has one gets no killing row (the
 * library takes no two actions for a call), so the rest is trapped. */
static int add_row(scmp_filter_ctx context, const struct syscall_row *row)
{
	if (row->who & WHO_ZYGOTE)
		return seccomp_rule_add_array(context, SCMP_ACT_ALLOW, row->nr,
					      row->n_args, row->args);
	if (row->who == 0 && !is_allowed(row->nr, WHO_ZYGOTE))
		return seccomp_rule_add(context, SCMP_ACT_KILL_PROCESS, row->nr,
					0);
	return 0;
}

/* Does the runner have a row for the call that asks for nothing? */
static bool is_free(int nr)
{
	for (size_t i = 0; i < n_syscall_rows; i++)
		if (syscall_rows[i].nr == nr && syscall_rows[i].n_args == 0 &&
		    (syscall_rows[i].who & WHO_RUNNER))
			return true;
	return false;
}

/* What the zygote's allows for itself: the whole call, unless a runner has
 * rows of its own for it. */
static int refuse_row(scmp_filter_ctx context, const struct syscall_row *row)
{
	if (row->who != WHO_ZYGOTE || is_free(row->nr))
		return 0;
	if (is_allowed(row->nr, WHO_RUNNER))
		return seccomp_rule_add_array(context, SCMP_ACT_TRAP, row->nr,
					      row->n_args, row->args);
	return seccomp_rule_add(
		context, kills(row->nr) ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_TRAP,
		row->nr, 0);
}

static int export(scmp_filter_ctx context, struct syscall_filter *ret)
{
	_cleanup_(fd_closep) int fd = -1;
	struct stat st;
	ssize_t n;
	int r;

	fd = memfd_create("filter", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = seccomp_export_bpf(context, fd);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	ret->code = malloc((size_t)st.st_size);
	if (!ret->code)
		return -ENOMEM;
	n = fd_read_full(fd, ret->code, (size_t)st.st_size);
	if (n != st.st_size) {
		syscall_filter_deinit(ret);
		return n < 0 ? (int)n : -EIO;
	}
	ret->length = (unsigned short)((size_t)n / sizeof(*ret->code));
	return 0;
}

int syscall_filter_build(enum syscall_who who, struct syscall_filter *ret)
{
	_cleanup_(release) scmp_filter_ctx context = NULL;
	int r;

	context = seccomp_init(who == WHO_RUNNER ? SCMP_ACT_ALLOW
						 : SCMP_ACT_TRAP);
	if (!context)
		return -ENOMEM;
	r = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH,
				     SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; r == 0 && i < n_syscall_rows; i++)
		r = who == WHO_RUNNER ? refuse_row(context, &syscall_rows[i])
				      : add_row(context, &syscall_rows[i]);
	if (r < 0)
		return r;
	return export(context, ret);
}

void syscall_filter_deinit(struct syscall_filter *f)
{
	free(f->code);
	*f = (struct syscall_filter){ 0 };
}

int syscall_filter_load(const struct syscall_filter *f)
{
	struct sock_fprog program = { .len = f->length, .filter = f->code };

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return -errno;
	return 0;
}
