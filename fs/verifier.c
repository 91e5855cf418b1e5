/* Asking about a text: the process that parses, and the one that watches it. */

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "fs/verify_message.h"
#include "fs/verify_text.h"

/*
 * acquire   descriptors 3 (requests) and 4 (kicks), a page shared with the
 *           child that says which request it is at
 * drop      all other descriptors
 * sandbox   Landlock without any file, no_new_privs; the child adds limits
 *           and seccomp
 * loop      the parent waits for the child's death or a kick, the child for
 *           requests. A child that dies is answered for, and replaced.
 */
#define REQUEST_FD	  3
#define KICK_FD		  4
#define ADDRESS_BYTES	  (VERIFY_MEMORY_BYTES + (96U << 20))
#define CPU_SECONDS	  60   /* of one child, over all its requests */
#define CHECKS		  2000 /* then it is replaced */
#define EXIT_REPLACE	  10
#define READ_BYTES	  (64U << 10)
#define DEATHS_IN_ROW_MAX 20 /* without a request in between */

/* Everything the child may ask of the kernel, and for what. */
static const struct {
	int nr;
	const char *what;
} allowed[] = {
	{ SCMP_SYS(recvmsg), "the next request" },
	{ SCMP_SYS(sendmsg), "its answer" },
	{ SCMP_SYS(close), "a text that came as a descriptor" },
	{ SCMP_SYS(pread64), "its bytes" },
	{ SCMP_SYS(fstat), "is it a file?" },
	{ SCMP_SYS(newfstatat), "fstat, as glibc has it" },
	{ SCMP_SYS(setitimer), "the limit of time" },
	{ SCMP_SYS(brk), "malloc" },
	{ SCMP_SYS(munmap), "malloc: large blocks" },
	{ SCMP_SYS(mremap), "malloc: large blocks" },
	{ SCMP_SYS(madvise), "malloc: giving back" },
	{ SCMP_SYS(clock_gettime), "is a schedule past? (without a vDSO)" },
	{ SCMP_SYS(exit_group), "the end" },
};

static char message[VERIFY_MESSAGE_BYTES + 1];
static char piece[READ_BYTES];

/* --- the child ----------------------------------------------------------- */

struct bytes_source {
	struct verify_source source;
	const char *bytes;
	size_t size;
};

static ssize_t next_bytes(struct verify_source *source, const char **ret)
{
	struct bytes_source *b =
		container_of(source, struct bytes_source, source);
	size_t n = b->size;

	*ret = b->bytes;
	b->size = 0;
	return (ssize_t)n;
}

struct fd_source {
	struct verify_source source;
	int fd;
	off_t offset;
};

static ssize_t next_pread(struct verify_source *source, const char **ret)
{
	struct fd_source *f = container_of(source, struct fd_source, source);
	ssize_t n = pread(f->fd, piece, sizeof(piece), f->offset);

	if (n < 0)
		return -errno;
	f->offset += n;
	*ret = piece;
	return n;
}

static int check(const struct verify_request *request, int fd,
		 struct verdict *v)
{
	struct bytes_source bytes = {
		.source = { .next = next_bytes,
			    .memory_bytes = VERIFY_MEMORY_BYTES },
		.bytes = request->text,
		.size = request->size,
	};
	struct fd_source file = {
		.source = { .next = next_pread,
			    .memory_bytes = VERIFY_MEMORY_BYTES },
		.fd = fd,
	};
	struct stat st;

	if (!request->by_fd)
		return verify_text(request->dir, request->name, &bytes.source,
				   v);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EBADMSG;
	return verify_text(request->dir, request->name, &file.source, v);
}

/* Not time as such: where the machine is busy, an honest text takes longer. */
static void set_cpu_limit(long msec)
{
	struct itimerval timer = { .it_value = { .tv_sec = msec / 1000,
						 .tv_usec =
							 msec % 1000 * 1000 } };

	setitimer(ITIMER_PROF, &timer, NULL);
}

static int answer(const struct verify_request *request, int fd)
{
	struct verify_reply reply = { .seq = request->seq };
	struct verdict v = { 0 };
	char buf[VERIFY_REPLY_BYTES];
	int r;

	set_cpu_limit(VERIFY_CPU_MSEC);
	r = check(request, fd, &v);
	set_cpu_limit(0);
	if (r < 0) {
		reply.kind = VERIFY_BAD;
		snprintf(reply.reason, sizeof(reply.reason),
			 "%s: the text cannot be read: %s", request->name,
			 strerror(-r));
	} else {
		reply.kind = v.result == 0 ? VERIFY_GOOD : VERIFY_BAD;
		memcpy(reply.reason, v.reason, sizeof(reply.reason));
		memcpy(reply.runtime, v.runtime, sizeof(reply.runtime));
		reply.n_needs = v.n_needs;
		memcpy(reply.needs, v.needs, sizeof(reply.needs));
	}
	return verify_send(REQUEST_FD, buf, verify_reply_write(&reply, buf),
			   NULL, 0, -1);
}

static int confine_child(const struct sock_fprog *filter)
{
#ifndef THOX_SANITIZED
	const struct rlimit memory = { ADDRESS_BYTES, ADDRESS_BYTES },
			    cpu = { CPU_SECONDS, CPU_SECONDS }, none = { 0, 0 };

	if (setrlimit(RLIMIT_AS, &memory) < 0 ||
	    setrlimit(RLIMIT_CPU, &cpu) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0 ||
	    setrlimit(RLIMIT_FSIZE, &none) < 0)
		return -errno;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter) < 0)
		return -errno;
#else
	(void)filter; /* the sanitizers need more than the table has */
#endif
	return 0;
}

static _Noreturn void child(const struct sock_fprog *filter,
			    volatile uint32_t *at)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() == 1 ||
	    confine_child(filter) < 0)
		_exit(1);
	fd_close(KICK_FD);
	for (int i = 0; i < CHECKS; i++) {
		struct verify_request request;
		int fd = -1, r;
		ssize_t n;

		n = verify_recv(REQUEST_FD, message, sizeof(message) - 1, &fd);
		if (n == 0)
			_exit(0);
		if (n < 0 ||
		    verify_request_read(&request, message, (size_t)n) < 0) {
			fd_close(fd);
			continue;
		}
		*at = request.seq;
		r = answer(&request, fd);
		*at = 0;
		if (r < 0)
			_exit(0);
		fd_close(fd);
	}
	_exit(EXIT_REPLACE);
}

/* --- the parent ---------------------------------------------------------- */

static int no_files(void)
{
	struct landlock_ruleset_attr attr = {
		/* all rights of its first version: every kernel we run on */
		.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1,
	};
	int fd, r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0)
		return -errno;
	r = syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
	fd_close(fd);
	return r;
}

static int add_rules(scmp_filter_ctx ctx)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(allowed) && r == 0; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i].nr, 0);
	/* malloc: large blocks, never a file and never code */
	if (r == 0)
		r = seccomp_rule_add(
			ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 3,
			SCMP_A2(SCMP_CMP_MASKED_EQ,
				~(uint64_t)(PROT_READ | PROT_WRITE), 0),
			SCMP_A3(SCMP_CMP_EQ, MAP_PRIVATE | MAP_ANONYMOUS, 0),
			SCMP_A4(SCMP_CMP_MASKED_EQ, 0xffffffff, 0xffffffff));
	return r;
}

/* Compiled once, loaded by every child. */
static int make_filter(struct sock_fprog *ret)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int fd = memfd_create("filter", MFD_CLOEXEC), r = -ENOMEM;
	off_t size = 0;

	if (ctx && fd >= 0) {
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		if (r == 0)
			r = add_rules(ctx);
		if (r == 0)
			r = seccomp_export_bpf(ctx, fd);
	}
	if (r == 0) {
		size = lseek(fd, 0, SEEK_END);
		ret->len = (unsigned short)((size_t)size /
					    sizeof(struct sock_filter));
		ret->filter = malloc((size_t)size);
		if (!ret->filter ||
		    pread(fd, ret->filter, (size_t)size, 0) != size)
			r = -EIO;
	}
	if (ctx)
		seccomp_release(ctx);
	fd_close(fd);
	return r;
}

static void report_death(uint32_t seq, int signal)
{
	struct verify_reply reply = { .seq = seq,
				      .kind = VERIFY_DIED,
				      .signal = signal };
	char buf[VERIFY_REPLY_BYTES];

	verify_send(REQUEST_FD, buf, verify_reply_write(&reply, buf), NULL, 0,
		    -1);
}

/* Wait until the child is gone: 1, or 0 when nobody asks any more. */
static int watch(pid_t pid, int pidfd, uint32_t *ret_kicked, int *ret_status)
{
	for (;;) {
		struct pollfd fds[2] = {
			{ .fd = pidfd, .events = POLLIN },
			{ .fd = KICK_FD, .events = POLLIN },
		};
		char byte;

		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (fds[0].revents) {
			if (waitpid(pid, ret_status, 0) < 0)
				return -errno;
			return 1;
		}
		if (recv(KICK_FD, &byte, 1, MSG_DONTWAIT) <= 0) {
			if (errno == EAGAIN)
				continue;
			kill(pid, SIGKILL);
			return 0;
		}
		*ret_kicked = 1;
		kill(pid, SIGKILL);
	}
}

static int loop(const struct sock_fprog *filter, volatile uint32_t *at)
{
	int idle_deaths = 0;

	for (;;) {
		_cleanup_(fd_closep) int pidfd = -1;
		uint32_t kicked = 0;
		int status = 0, r;
		pid_t pid;

		*at = 0;
		pid = fork();
		if (pid == 0)
			child(filter, at);
		if (pid < 0)
			return -errno;
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (pidfd < 0)
			return -errno;
		r = watch(pid, pidfd, &kicked, &status);
		if (r <= 0)
			return r;
		/* Before its first request it says that it cannot be confined;
		 * in one, only an instrumented build ends like this. */
		if (WIFEXITED(status) && WEXITSTATUS(status) != EXIT_REPLACE &&
		    !*at)
			return WEXITSTATUS(status) == 0 ? 0 : -EPERM;
		if (WIFEXITED(status) && *at)
			report_death(*at, SIGABRT);
		if (WIFSIGNALED(status)) {
			/* A child that was killed before it said where it is
			 * (kicked, in the first instant) holds up nobody. */
			if (*at)
				report_death(*at, WTERMSIG(status));
			idle_deaths = *at ? 0 : idle_deaths + 1;
			if (idle_deaths > DEATHS_IN_ROW_MAX)
				return -ECHILD;
		}
	}
}

int main(void)
{
	struct sock_fprog filter = { 0 };
	uint32_t *at;
	int r;

	log_init("thox-verifier", LOG_LEVEL_WARN);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		log_fatal("cannot be bound to the starter's life");
	at = mmap(NULL, sizeof(*at), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		log_fatal("cannot share a page");
	if (fcntl(REQUEST_FD, F_GETFD) < 0 || fcntl(KICK_FD, F_GETFD) < 0)
		log_fatalx("is started by thoxfs and thoxctl only");
	close_range(KICK_FD + 1, ~0U, 0);
	r = make_filter(&filter);
	if (r < 0)
		log_fatalx("cannot build the system call filter: %s",
			   strerror(-r));
	r = no_files();
	if (r < 0)
		log_fatalx("Landlock is missing: %s", strerror(-r));
	r = loop(&filter, at);
	if (r < 0)
		log_fatalx("cannot keep a parser: %s", strerror(-r));
	_exit(0); /* a leak checker could not look at us any more */
}
