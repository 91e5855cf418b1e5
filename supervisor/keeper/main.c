/*
 * Step 3: the keeper starts: one for each instance.
 *
 * acquire (directories, lock, socket, log) -> loop. It gives up nothing,
 * because what it starts needs all it has.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/instance.h"
#include "base/log.h"
#include "base/util.h"
#include "keeper/keeper.h"
#include "rpc/control.h"

#define LOG_FILE      "thoxd.log"
#define LOG_BYTES     (4 << 20) /* at a start: the older ones go to .1 */
#define BACKLOG	      4096
#define LOCK_WAIT_NS  10000000000ULL
#define LOCK_RETRY_NS 20000000L
#define ENV_MAX	      48

struct options {
	bool system;
	bool foreground;
	int ready_fd;
};

static void usage(FILE *f)
{
	fputs("Usage: thox-keeper [--system | --user] [--foreground] "
	      "[--ready-fd N]\n"
	      "Start an instance of thox: its keeper and thoxd.\n"
	      "\n"
	      "  --foreground  stay in this session, log to standard error\n"
	      "  --ready-fd N  write `ready` there when clients are served\n"
	      "                (default: standard output, not in the "
	      "foreground)\n",
	      f);
}

static void parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "system", no_argument, NULL, 's' },
		{ "user", no_argument, NULL, 'u' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "ready-fd", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	o->ready_fd = -2;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 's':
		case 'u':
			o->system = c == 's';
			break;
		case 'f':
			o->foreground = true;
			break;
		case 'r':
			o->ready_fd = atoi(optarg);
			break;
		case 'h':
			usage(stdout);
			exit(0);
		case 'v':
			printf("thox-keeper %s\n", PACKAGE_VERSION);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind != argc) {
		usage(stderr);
		exit(2);
	}
	if (o->ready_fd == -2)
		o->ready_fd = o->foreground ? -1 : STDOUT_FILENO;
}

/* Only what the instance needs to find its places, whoever started it. */
static char **clean_environment(void)
{
	static const char *const kept[] = {
		"HOME=",
		"USER=",
		"LOGNAME=",
		"TMPDIR=",
		"LANG=",
		"LC_",
		"TZ=",
		"XDG_",
		"THOX_",
		"NOTIFY_SOCKET=",
		"JOURNAL_STREAM=",
		"ASAN_OPTIONS=",
		"UBSAN_OPTIONS=",
		"LSAN_OPTIONS=",
	};
	static char *env[ENV_MAX + 1];
	size_t n = 0;

	env[n++] = (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
			   "/usr/bin:/sbin:/bin";
	for (char **e = environ; *e && n < ENV_MAX; e++)
		for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
			if (strncmp(*e, kept[i], strlen(kept[i])) == 0) {
				env[n++] = *e;
				break;
			}
	environ = env;
	return env;
}

static void clean_descriptors(int ready_fd)
{
	if (ready_fd > 2) {
		syscall(SYS_close_range, 3, ready_fd - 1, 0);
		syscall(SYS_close_range, ready_fd + 1, ~0U, 0);
		fd_set_cloexec(ready_fd, 1);
	} else {
		syscall(SYS_close_range, 3, ~0U, 0);
	}
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", O_RDWR); /* takes @fd */
}

/* Everybody below inherits these. */
static void set_limits(void)
{
	const struct rlimit none = { 0, 0 };

	fd_raise_limit();
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	umask(0077);
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = LOCK_RETRY_NS }, NULL);
}

/* --- acquire --------------------------------------------------------------
 */

static int socket_address(const struct instance *in, struct sockaddr_un *ret,
			  int *ret_dirfd)
{
	ret->sun_family = AF_UNIX;
	return instance_socket_path(in->run, INSTANCE_CONTROL, ret->sun_path,
				    ret_dirfd);
}

static bool somebody_answers(const struct instance *in)
{
	_cleanup_(fd_closep) int fd = -1, dirfd = -1;
	struct sockaddr_un to = { 0 };

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || socket_address(in, &to, &dirfd) < 0)
		return false;
	/* EAGAIN: its queue is full, so there is one */
	return connect(fd, (void *)&to, sizeof(to)) == 0 || errno == EAGAIN;
}

/* The lock: 1 when this process has it, 0 when another keeper serves. One
 * that is about to end holds it for a moment longer. */
static int take_lock(const struct instance *in, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1;
	uint64_t deadline_ns = clock_ns() + LOCK_WAIT_NS;
	char path[PATH_MAX + 8], pid[16];

	snprintf(path, sizeof(path), "%s/lock", in->run);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return -errno;
		if (somebody_answers(in))
			return 0;
		if (clock_ns() > deadline_ns)
			return -EBUSY;
		nap();
	}
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || fd_write_all(fd, pid, strlen(pid)) < 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 1;
}

static int listen_control(const struct instance *in, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1, dirfd = -1;
	struct sockaddr_un at = { 0 };
	int r = socket_address(in, &at, &dirfd);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	unlink(at.sun_path); /* of one that was killed: the lock is ours */
	if (bind(fd, (void *)&at, sizeof(at)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static void open_log(const struct instance *in)
{
	char path[PATH_MAX + 16], old[PATH_MAX + 24];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/" LOG_FILE, in->state);
	snprintf(old, sizeof(old), "%s.1", path);
	if (stat(path, &st) == 0 && st.st_size > LOG_BYTES)
		rename(path, old);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (fd < 0) {
		log_warn("cannot open the log %s, ignoring", path);
		return;
	}
	dup2(fd, STDERR_FILENO);
	fd_close(fd);
}

/* The starter reads the reason; so does whoever reads the log. */
static _Noreturn void give_up(int ready_fd, const char *what, int error)
{
	if (ready_fd >= 0)
		dprintf(ready_fd, "%s: %s\n", what, strerror(-error));
	errno = -error;
	log_fatal("%s", what);
}

int main(int argc, char **argv)
{
	struct instance in;
	struct options o = { 0 };
	struct keeper_options options = { .instance = &in };
	int lock_fd = -1, r;

	parse_options(argc, argv, &o);
	log_init("thox-keeper", LOG_LEVEL_INFO);
	options.env = clean_environment();
	clean_descriptors(o.ready_fd);
	set_limits();
	fd_ignore_signals();
	if (!o.foreground) {
		signal(SIGHUP, SIG_IGN);
		setsid(); /* or it is a leader already */
	}
	r = instance_locate(o.system ? INSTANCE_SYSTEM : INSTANCE_USER, &in);
	if (r < 0)
		give_up(o.ready_fd, "cannot tell where the instance lives", r);
	r = instance_make_dirs(&in);
	if (r < 0)
		give_up(o.ready_fd, "cannot make the instance's directories",
			r);
	if (chdir("/") < 0)
		give_up(o.ready_fd, "/", -errno);

	r = take_lock(&in, &lock_fd);
	if (r < 0)
		give_up(o.ready_fd, "cannot lock the run directory", r);
	if (r == 0) {
		if (o.ready_fd >= 0)
			dprintf(o.ready_fd, CONTROL_READY);
		return 0;
	}
	r = listen_control(&in, &options.control_fd);
	if (r < 0)
		give_up(o.ready_fd, "cannot listen on the control socket", r);
	if (!o.foreground)
		open_log(&in);
	log_set_timestamps(!getenv("JOURNAL_STREAM"));

	options.system = o.system;
	options.ready_fd = o.ready_fd;
	return keeper_run(&options);
}
