/* Step 0, by hand: the mount is made, and outlives who serves it. */

#include "mount.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "session.h"

/* After so many deaths within so long, each restart waits a little. */
#define DEATHS_MAX	  5
#define DEATHS_WITHIN_SEC 10
#define DEATH_PAUSE_US	  200000

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
	stopping = number;
}

static pid_t start(int fuse_fd, mount_serve_fn serve, void *user)
{
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_IGN); /* of a terminal: the parent's */
		_exit(serve(fuse_fd, user));
	}
	return pid;
}

/* The child's exit code, or -1 when another shall go on. */
static int wait_for(pid_t pid, struct fuse_session *session)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return SESSION_EXIT_FAILED;
		/* The child sees the end of the mount, and ends. */
		if (stopping)
			fuse_session_unmount(session);
	}
	if (WIFSIGNALED(status)) {
		log_warnx("served by PID %d until signal %d", (int)pid,
			  WTERMSIG(status));
		return stopping ? 0 : -1;
	}
	return WEXITSTATUS(status) == SESSION_EXIT_AGAIN ? -1
							 : WEXITSTATUS(status);
}

static int serve_on(int fuse_fd, struct fuse_session *session,
		    mount_serve_fn serve, void *user)
{
	time_t since = time(NULL);
	int deaths = 0, r;
	pid_t pid;

	for (;;) {
		pid = start(fuse_fd, serve, user);
		if (pid < 0) {
			log_warn("cannot fork");
			return SESSION_EXIT_FAILED;
		}
		r = wait_for(pid, session);
		if (r >= 0)
			return r;
		if (time(NULL) - since > DEATHS_WITHIN_SEC) {
			since = time(NULL);
			deaths = 0;
		}
		if (++deaths > DEATHS_MAX)
			usleep(DEATH_PAUSE_US);
	}
}

int mount_run(const char *mount_point, bool allow_other, mount_serve_fn serve,
	      void *user)
{
	const struct fuse_lowlevel_ops none = { 0 };
	const struct sigaction action = { .sa_handler = on_signal };
	char *argv[] = { "thoxfs", "-o", "fsname=thox,subtype=thoxfs",
			 "-oallow_other" };
	struct fuse_args args = FUSE_ARGS_INIT(allow_other ? 4 : 3, argv);
	struct fuse_session *session;
	int r = SESSION_EXIT_FAILED;

	/* Only for the library's way of mounting, fusermount3 included. */
	session = fuse_session_new(&args, &none, sizeof(none), NULL);
	fuse_opt_free_args(&args);
	if (!session)
		return r;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (fuse_session_mount(session, mount_point) == 0) {
		r = serve_on(fuse_session_fd(session), session, serve, user);
		fuse_session_unmount(session);
	}
	fuse_session_destroy(session);
	return r;
}
