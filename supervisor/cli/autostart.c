/*
 * Step 2, in the clients, when nobody answers: start the instance's keeper.
 *
 * The lock on start.lock is held until the keeper has said `ready`, so of
 * several clients at once one starts it and the others find it running. The
 * keeper's stdout is the pipe that it tells of itself on: `ready`, or lines
 * that say why not, which are shown to the user.
 */

#include "cli/autostart.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "cli/say.h"
#include "rpc/control.h"

static int complain(const char *what, int r)
{
	say("%s: %s", what, strerror(-r));
	return r;
}

/* What the keeper, and thus all of an instance, gets of the environment. */
static const char *const kept_variables[] = {
	"HOME",
	"LANG",
	"LC_ALL",
	"TMPDIR",
	"TZ",
	"USER",
	"XDG_CONFIG_HOME",
	"XDG_DATA_HOME",
	"XDG_RUNTIME_DIR",
	"XDG_STATE_HOME",
	"THOX_DIR",
	"THOX_LIBEXEC_DIR",
	"THOX_DATA_DIR",
	"THOX_LOG",
#ifdef THOX_SANITIZED
	"ASAN_OPTIONS",
	"UBSAN_OPTIONS",
	"LSAN_OPTIONS",
#endif
};
#define PATH_VARIABLE "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

static void clean_environment(char *env[ARRAY_SIZE(kept_variables) + 2])
{
	extern char **environ;
	size_t n = 0;

	env[n++] = (char *)PATH_VARIABLE;
	for (size_t i = 0; i < ARRAY_SIZE(kept_variables); i++) {
		size_t length = strlen(kept_variables[i]);

		for (char **e = environ; *e; e++)
			if (strncmp(*e, kept_variables[i], length) == 0 &&
			    (*e)[length] == '=') {
				env[n++] = *e;
				break;
			}
	}
	env[n] = NULL;
}

static void default_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Between fork() and exec(): async-signal-safe calls only. The words of an
 * error go into the pipe, where the keeper's own would come from.
 */
static _Noreturn void child(char *const argv[], char *const env[], int null_fd,
			    int ready_fd, int log_fd)
{
	static const char message[] = "cannot execute the keeper\n";

	setsid();
	default_signals();
	umask(0077);
	/* The three numbers may be any of 0 to 2 themselves when the client
	 * was started without standard descriptors: move them up first. */
	null_fd = fcntl(null_fd, F_DUPFD, 3);
	ready_fd = fcntl(ready_fd, F_DUPFD, 3);
	log_fd = fcntl(log_fd, F_DUPFD, 3);
	if (dup2(null_fd, 0) == 0 && dup2(ready_fd, 1) == 1 &&
	    dup2(log_fd, 2) == 2 && chdir("/") == 0) {
		syscall(SYS_close_range, 3U, ~0U, 0U);
		execve(argv[0], argv, env);
	}
	(void)!write(1, message, sizeof(message) - 1);
	_exit(111);
}

static int spawn_keeper(const struct instance *in, int ready_fd)
{
	_cleanup_(fd_closep) int null_fd = -1, log_fd = -1;
	char path[PATH_MAX], log_path[PATH_MAX];
	char *env[ARRAY_SIZE(kept_variables) + 2];
	char *argv[] = { path, NULL, NULL };
	pid_t pid;

	if (snprintf(path, sizeof(path), "%s/thox-keeper",
		     instance_libexec_dir()) >= (int)sizeof(path) ||
	    snprintf(log_path, sizeof(log_path), "%s/" CONTROL_KEEPER_LOG,
		     in->run) >= (int)sizeof(log_path))
		return complain(in->run, -ENAMETOOLONG);
	if (access(path, X_OK) < 0)
		return complain(path, -errno); /* not installed whole? */
	if (in->mode == INSTANCE_SYSTEM)
		argv[1] = (char *)"--system";
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	log_fd = open(log_path,
		      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
		      0600);
	if (null_fd < 0 || log_fd < 0)
		return complain(log_path, -errno);
	clean_environment(env);
	pid = fork();
	if (pid < 0)
		return complain("fork", -errno);
	if (pid == 0)
		child(argv, env, null_fd, ready_fd, log_fd);
	return 0;
}

/* Say each line that the keeper left, without its line feed. */
static void say_lines(char *text)
{
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n")))
		if (*line)
			say("%s", line);
}

static int wait_ready(const struct instance *in, int fd)
{
	char text[1024];
	size_t used = 0;
	ssize_t n;

	do {
		n = read(fd, text + used, sizeof(text) - 1 - used);
		if (n < 0 && errno != EINTR)
			return complain("the keeper's pipe", -errno);
		used += n > 0 ? (size_t)n : 0;
		text[used] = '\0';
		if (strstr(text, CONTROL_READY))
			return 0;
	} while (n != 0 && used < sizeof(text) - 1);

	say("the instance did not start");
	if (used > 0)
		say_lines(text);
	else
		say("see %s/thoxd.log and %s/" CONTROL_KEEPER_LOG, in->state,
		    in->run);
	return -ECONNREFUSED;
}

static int start(const struct instance *in)
{
	_cleanup_(fd_closep) int read_fd = -1, write_fd = -1;
	int pipe_fds[2], r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return complain("pipe", -errno);
	read_fd = pipe_fds[0];
	write_fd = pipe_fds[1];
	r = spawn_keeper(in, write_fd);
	if (r < 0)
		return r;
	write_fd = fd_close(write_fd);
	return wait_ready(in, read_fd);
}

static int lock(const struct instance *in, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/" CONTROL_START_LOCK, in->run) >=
	    (int)sizeof(path))
		return complain(in->run, -ENAMETOOLONG);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return complain(path, -errno);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return complain(path, -errno);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int autostart(const struct instance *in, autostart_try_fn try_fn, void *user)
{
	_cleanup_(fd_closep) int lock_fd = -1;
	int r;

	r = instance_make_dirs(in);
	if (r == -EPERM)
		say("%s, %s or %s belongs to another user, or others may "
		    "write it",
		    in->run, in->store, in->state);
	if (r < 0)
		return r == -EPERM ? r : complain(in->run, r);
	r = lock(in, &lock_fd);
	if (r < 0)
		return r;
	if (try_fn(user) == 0)
		return 0;
	return start(in);
}
