/* Asking about a text: the side of the store. */

#include "fs/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/utf8.h"
#include "base/util.h"
#include "fs/stat.h"
#include "fs/verify_message.h"

/*
 * Two sockets: on the first go requests, which the verifier's child reads and
 * answers itself; on the second one byte asks its parent to kill the child,
 * should that not have died of its own timer.
 */
#define GRACE_MSEC 2000

extern char **environ;

struct verifier {
	int fd, kick_fd;
	int patience_msec;
	pid_t pid;
	atomic_uint seq;
	/* Answers that came before they were waited for. */
	struct verify_reply kept[VERIFY_PENDING_MAX];
};

static void verifier_freep(struct verifier **v)
{
	*v = verifier_free(*v);
}

/* Out of the way of the numbers that the program expects. */
static int high(int fd)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 10);

	fd_close(fd);
	return r < 0 ? -errno : r;
}

static int make_pair(int *ret_ours, int *ret_theirs)
{
	int fds[2], theirs;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	theirs = high(fds[1]);
	if (theirs < 0) {
		fd_close(fds[0]);
		return theirs;
	}
	*ret_ours = fds[0];
	*ret_theirs = theirs;
	return 0;
}

static int start(struct verifier *v, const char *program_path, int fd,
		 int kick_fd)
{
	char *argv[] = { (char *)"thox-verifier", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, dfl;
	int r;

	sigemptyset(&none);
	sigemptyset(&dfl);
	sigaddset(&dfl, SIGPIPE);
	sigaddset(&dfl, SIGPROF);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_adddup2(&actions, fd, 3);
	posix_spawn_file_actions_adddup2(&actions, kick_fd, 4);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &dfl);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn(&v->pid, program_path, &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

int verifier_new(const char *program_path, struct verifier **ret_verifier)
{
	_cleanup_(verifier_freep) struct verifier *v = calloc(1, sizeof(*v));
	_cleanup_(fd_closep) int fd = -1, kick_fd = -1;
	int r;

	if (!v)
		return -ENOMEM;
	v->fd = v->kick_fd = -1;
	v->patience_msec = VERIFY_PATIENCE_MSEC;
	r = make_pair(&v->fd, &fd);
	if (r == 0)
		r = make_pair(&v->kick_fd, &kick_fd);
	if (r == 0)
		r = start(v, program_path, fd, kick_fd);
	if (r < 0) {
		v->pid = 0;
		return r;
	}
	*ret_verifier = steal(&v);
	return 0;
}

/* Its child dies with it. */
struct verifier *verifier_free(struct verifier *v)
{
	if (!v)
		return NULL;
	fd_close(v->fd);
	fd_close(v->kick_fd);
	if (v->pid > 0) {
		kill(v->pid, SIGKILL);
		while (waitpid(v->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	free(v);
	return NULL;
}

pid_t verifier_pid(const struct verifier *v)
{
	return v->pid;
}

void verifier_set_patience(struct verifier *v, int msec)
{
	v->patience_msec = msec;
}

/* What a hostile child says goes to terminals. */
static void copy_reason(char *to, size_t capacity, const char *from)
{
	const unsigned char *p = (const unsigned char *)from;
	size_t used = 0;

	while (*p) {
		size_t n = utf8_printable(p);

		if (used + (n ? n : 1) >= capacity)
			break;
		if (n)
			memcpy(to + used, p, n);
		else
			to[used] = '?';
		used += n ? n : 1;
		p += n ? n : 1;
	}
	to[used] = '\0';
}

static int refuse(struct verdict *ret, const char *name, const char *why)
{
	memset(ret, 0, sizeof(*ret));
	ret->result = -EINVAL;
	snprintf(ret->reason, sizeof(ret->reason), "%s: %s", name, why);
	return 0;
}

static int died(struct verdict *ret, const char *name, int signal)
{
	const char *abbrev = sigabbrev_np(signal);
	char why[96];

	if (signal == SIGPROF || signal == SIGXCPU)
		snprintf(why, sizeof(why),
			 "parsing took more than %d s of processor time",
			 VERIFY_CPU_MSEC / 1000);
	else if (signal == SIGKILL)
		strcpy(why, "the parser did not answer in time");
	else
		snprintf(why, sizeof(why),
			 "the parser was killed by signal %d (SIG%s)", signal,
			 abbrev ? abbrev : "?");
	return refuse(ret, name, why);
}

static int send_request(struct verifier *v, uint32_t seq, enum store_dir dir,
			const char *name, int fd, size_t size)
{
	struct verify_request request = { .seq = seq,
					  .dir = dir,
					  .name = name,
					  .size = size,
					  .by_fd = size > VERIFY_INLINE_BYTES };
	char head[512];
	_cleanup_(freep) char *text = NULL;
	ssize_t n;
	size_t used;

	if (!request.by_fd) {
		text = malloc(size + 1);
		if (!text)
			return -ENOMEM;
		n = pread(fd, text, size, 0);
		if (n < 0)
			return -errno;
		request.size = (size_t)n;
	}
	used = verify_request_write(&request, head);
	return verify_send(v->fd, head, used, text, text ? request.size : 0,
			   request.by_fd ? fd : -1);
}

/* One record from the verifier; -ETIMEDOUT when none came until @end_ns. */
static int receive_one(struct verifier *v, uint64_t end_ns,
		       struct verify_reply *ret)
{
	char buf[VERIFY_REPLY_BYTES];
	ssize_t n;

	for (;;) {
		struct pollfd pfd = { .fd = v->fd, .events = POLLIN };
		uint64_t now = clock_ns();
		int r;

		if (now >= end_ns)
			return -ETIMEDOUT;
		r = poll(&pfd, 1, (int)((end_ns - now) / 1000000) + 1);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0)
			break;
	}
	n = verify_recv(v->fd, buf, sizeof(buf), NULL);
	if (n == 0 || n == -ECONNRESET)
		return -EPIPE;
	return n < 0 ? (int)n : verify_reply_read(ret, buf, (size_t)n);
}

/* The answer @seq. Each other one that comes meanwhile is kept, and is a sign
 * of life: the time starts again. */
static int receive(struct verifier *v, uint32_t seq, int timeout_msec,
		   struct verify_reply *ret)
{
	struct verify_reply *kept = &v->kept[seq % VERIFY_PENDING_MAX];
	struct verify_reply reply = { 0 };
	int r;

	if (kept->seq == seq) {
		*ret = *kept;
		return 0;
	}
	for (;;) {
		r = receive_one(v,
				clock_ns() + (uint64_t)timeout_msec * 1000000,
				&reply);
		if (r < 0)
			return r;
		if (reply.seq == seq || reply.kind == VERIFY_BROKEN) {
			*ret = reply;
			return 0;
		}
		v->kept[reply.seq % VERIFY_PENDING_MAX] = reply;
	}
}

static int judge(const struct verify_reply *reply, const char *name,
		 struct verdict *ret)
{
	switch (reply->kind) {
	case VERIFY_GOOD:
		memset(ret, 0, sizeof(*ret));
		strcpy(ret->runtime, reply->runtime);
		ret->n_needs = reply->n_needs;
		memcpy(ret->needs, reply->needs, sizeof(ret->needs));
		return 0;
	case VERIFY_BAD:
		memset(ret, 0, sizeof(*ret));
		ret->result = -EINVAL;
		copy_reason(ret->reason, sizeof(ret->reason), reply->reason);
		return 0;
	case VERIFY_DIED:
		return died(ret, name, reply->signal);
	default:
		return -EPIPE;
	}
}

int verifier_ask(struct verifier *v, enum store_dir dir, const char *name,
		 int fd, uint32_t *ret_ticket)
{
	struct statx st;
	uint32_t seq;
	int r;

	if (!name_valid(name))
		return -EINVAL;
	r = stat_timeless(fd, &st);
	if (r < 0)
		return r;
	if (st.stx_size > VERIFY_TEXT_BYTES) {
		*ret_ticket = 0; /* needs no asking */
		return 0;
	}
	do {
		seq = atomic_fetch_add(&v->seq, 1) + 1;
	} while (seq == 0);
	r = send_request(v, seq, dir, name, fd, st.stx_size);
	if (r < 0)
		return r == -ECONNRESET ? -EPIPE : r;
	*ret_ticket = seq;
	return 0;
}

int verifier_answer(struct verifier *v, const char *name, uint32_t ticket,
		    struct verdict *ret_verdict)
{
	struct verify_reply reply;
	char why[64];
	int r;

	if (ticket == 0) {
		snprintf(why, sizeof(why), "a text is at most %u MiB",
			 VERIFY_TEXT_BYTES >> 20);
		return refuse(ret_verdict, name, why);
	}
	r = receive(v, ticket, v->patience_msec, &reply);
	if (r == -ETIMEDOUT || r == -EBADMSG) {
		/* The child does not keep to what it was told: away with it. */
		if (send(v->kick_fd, "k", 1, MSG_NOSIGNAL) < 0)
			return -EPIPE;
		r = receive(v, ticket, GRACE_MSEC, &reply);
		if (r == -ETIMEDOUT)
			return died(ret_verdict, name, SIGKILL);
	}
	if (r < 0)
		return r == -ECONNRESET ? -EPIPE : r;
	return judge(&reply, name, ret_verdict);
}

int verifier_check(struct verifier *v, enum store_dir dir, const char *name,
		   int fd, struct verdict *ret_verdict)
{
	uint32_t ticket = 0;
	int r;

	r = verifier_ask(v, dir, name, fd, &ticket);
	return r < 0 ? r : verifier_answer(v, name, ticket, ret_verdict);
}
