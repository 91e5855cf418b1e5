/*
 * Step 2: the store is mounted, and stays so.
 *
 *	NONE -> MAKING -> SERVED -> UNMAKING -> NONE
 *
 * As root MAKING takes no time. `settle` is the only way to NONE and the end
 * of every attempt; whoever waits for one is told there.
 */

#include "thoxd/mount.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "thoxd/mountpoint.h"
#include "thoxd/server.h"

#define KEPT_NAME     "fuse"
#define LATE_S	      10.0 /* for fusermount3, and for thoxfs to end */
#define STABLE_S      5.0  /* a life that was long enough */
#define RAPID_MAX     6	   /* deaths in a row */
#define RESPAWN_S     0.05 /* doubled each time */
#define OPTIONS_BYTES (2 * PATH_MAX)

/* thoxfs's exit codes, as man/thoxfs.8 lists them. */
enum {
	THOXFS_UNMOUNTED = 0,
	THOXFS_NEEDS_MOUNT = 3,
};

static void spawn_thoxfs(struct mount *m);

static void fail(struct mount *m, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void fail(struct mount *m, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(m->error, sizeof(m->error), format, ap);
	va_end(ap);
	log_warnx("mount: %s", m->error);
}

static void drop_descriptor(struct mount *m)
{
	if (m->fuse_fd < 0)
		return;
	m->fuse_fd = fd_close(m->fuse_fd);
	parent_drop(&m->server->parent, KEPT_NAME);
}

static void settle(struct mount *m, enum mount_state state)
{
	struct ev_loop *loop = m->server->loop;

	m->state = state;
	ev_timer_stop(loop, &m->late);
	if (state == MOUNT_NONE) {
		ev_timer_stop(loop, &m->respawn);
		drop_descriptor(m);
	}
	server_save(m->server);
	if (state == MOUNT_NONE && m->again && !m->server->ending) {
		m->again = false;
		(void)mount_start(m, m->point);
		if (m->state != MOUNT_NONE)
			return;
	}
	server_mount_settled(m->server);
}

/* --- thoxfs ---------------------------------------------------------------
 */

static bool thoxfs_there(const struct mount *m)
{
	return m->thoxfs_spawning || m->thoxfs.pid != 0;
}

static void on_respawn(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	spawn_thoxfs(container_of(timer, struct mount, respawn));
}

/* It ended while it was wanted. */
static void serve_again(struct mount *m, int status)
{
	struct ev_loop *loop = m->server->loop;
	char how[64];

	/* one that was asked to end says 0, too, and the mount is still there */
	if (WIFEXITED(status) && WEXITSTATUS(status) == THOXFS_UNMOUNTED &&
	    mountpoint_look(m->point, m->source) != MOUNTPOINT_OURS) {
		log_info("mount: %s was unmounted", m->point);
		settle(m, MOUNT_NONE);
		return;
	}
	if (ev_now(loop) - m->spawned > STABLE_S)
		m->rapid_deaths = 0;
	m->rapid_deaths++;
	snprintf(how, sizeof(how),
		 WIFSIGNALED(status) ? "died of signal %d"
				     : "exited with code %d",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (m->rapid_deaths > RAPID_MAX) {
		fail(m,
		     "thoxfs %s again and again; no mount until thoxctl "
		     "mount",
		     how);
		mount_stop(m);
		return;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == THOXFS_NEEDS_MOUNT) {
		log_info("mount: this kernel cannot go on with the mount; a "
			 "new one is made");
		m->again = true;
		mount_stop(m);
		return;
	}
	log_warnx("thoxfs %s; it is started again", how);
	if (m->rapid_deaths == 1) {
		spawn_thoxfs(m);
		return;
	}
	ev_timer_set(&m->respawn, RESPAWN_S * (double)(1U << m->rapid_deaths),
		     0.);
	ev_timer_start(loop, &m->respawn);
}

static void thoxfs_ended(struct mount *m, int status)
{
	peer_close(&m->link);
	if (m->state == MOUNT_SERVED)
		serve_again(m, status);
	else if (m->state == MOUNT_UNMAKING && m->helper.pid == 0 &&
		 !m->helper_spawning)
		settle(m, MOUNT_NONE);
}

static void on_thoxfs_exit(struct process *p, const struct process_exit *exit)
{
	thoxfs_ended(container_of(p, struct mount, thoxfs), exit->status);
}

static void on_thoxfs(void *user, pid_t pid, int pidfd, int error)
{
	struct mount *m = user;

	m->thoxfs_spawning = false;
	if (error == 0) {
		process_add(&m->server->processes, &m->thoxfs, pid, pidfd,
			    on_thoxfs_exit);
		return;
	}
	fail(m, "thoxfs cannot be started: %s", strerror(-error));
	peer_close(&m->link);
	if (m->state == MOUNT_SERVED)
		mount_stop(m);
	else if (m->state == MOUNT_UNMAKING)
		settle(m, MOUNT_NONE);
}

/* [1, resumed]: it serves. Nothing else is said on this link. */
static int on_link_message(struct peer *p, struct link_message *message)
{
	struct mount *m = container_of(p, struct mount, link);

	(void)message;
	log_debug("thoxfs pid=%d serves %s", (int)m->thoxfs.pid, m->point);
	return 0;
}

static void on_link_gone(struct peer *p, int error)
{
	(void)p; /* its exit is told by the keeper */
	(void)error;
}

static void thoxfs_options(const struct config *c, char *ret, size_t size)
{
	size_t n = (size_t)snprintf(ret, size, "rw");

	if (c->allow_other)
		n += (size_t)snprintf(ret + n, size - n, ",allow_other");
	if (c->keep_versions)
		n += (size_t)snprintf(ret + n, size - n, ",keep=%llu",
				      (unsigned long long)c->keep_versions);
	if (c->file_limit_bytes)
		n += (size_t)snprintf(ret + n, size - n, ",limit=%llu",
				      (unsigned long long)c->file_limit_bytes);
	if (c->quota_bytes)
		n += (size_t)snprintf(ret + n, size - n, ",quota=%llu",
				      (unsigned long long)c->quota_bytes);
	if (c->mount_options)
		snprintf(ret + n, size - n, ",%s", c->mount_options);
}

static void spawn_thoxfs(struct mount *m)
{
	_cleanup_(fd_closep) int theirs = -1;
	struct server *s = m->server;
	char options[1024];
	const char *args[] = { "--store",   s->instance->store,
			       "--builtin", instance_data_dir(),
			       "--fuse-fd", "3",
			       "--link-fd", "4",
			       "-o",	    options,
			       NULL };
	static const int numbers[] = { 3, 4 };
	struct parent_spawn spawn = {
		.role = "thoxfs", .args = args, .numbers = numbers, .n_fds = 2
	};
	int pair[2], fds[2], r = 0;

	thoxfs_options(&s->config, options, sizeof(options));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		on_thoxfs(m, 0, -1, -errno);
		return;
	}
	theirs = pair[1];
	peer_open(&m->link, s->loop, pair[0], on_link_message, on_link_gone);
	fds[0] = m->fuse_fd;
	fds[1] = theirs;
	spawn.fds = fds;
	m->spawned = ev_now(s->loop);
	m->thoxfs_spawning = true;
	r = parent_spawn(&s->parent, &spawn, on_thoxfs, m);
	if (r < 0)
		on_thoxfs(m, 0, -1, r);
}

/* --- making ---------------------------------------------------------------
 */

static void made(struct mount *m, int fuse_fd)
{
	m->fuse_fd = fuse_fd;
	m->error[0] = '\0';
	parent_keep(&m->server->parent, KEPT_NAME, NULL, 0, 0, &fuse_fd, 1);
	log_info("mount: the store is mounted on %s", m->point);
	m->state = MOUNT_SERVED;
	spawn_thoxfs(m);
	if (m->state == MOUNT_SERVED)
		settle(m, MOUNT_SERVED);
}

/* fusermount3's message: one byte with the descriptor. */
static int take_descriptor(int comm_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c;
	int fd;

	if (recvmsg(comm_fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) <= 0)
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void on_late(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct mount *m = container_of(timer, struct mount, late);

	(void)loop;
	(void)events;
	(void)process_signal(&m->helper, SIGKILL);
	if (m->state == MOUNT_UNMAKING)
		(void)process_signal(&m->thoxfs, SIGKILL);
}

static void unmade(struct mount *m)
{
	if (!thoxfs_there(m))
		settle(m, MOUNT_NONE);
	else if (!ev_is_active(&m->late)) /* thoxfs sees it and ends */
		ev_timer_start(m->server->loop, &m->late);
}

static void helper_ended(struct mount *m, int status)
{
	int fd;

	if (m->helper_unmounts) {
		if (status != 0)
			log_warnx("mount: fusermount3 cannot unmount %s",
				  m->point);
		ev_timer_stop(m->server->loop, &m->late);
		unmade(m);
		return;
	}
	fd = take_descriptor(m->comm_fd);
	m->comm_fd = fd_close(m->comm_fd);
	if (status == 0 && fd >= 0) {
		made(m, fd);
		return;
	}
	fd_close(fd);
	fail(m, "fusermount3 cannot mount on %.150s; the log has its words",
	     m->point);
	settle(m, MOUNT_NONE);
}

static void on_helper_exit(struct process *p, const struct process_exit *exit)
{
	helper_ended(container_of(p, struct mount, helper), exit->status);
}

static void on_helper(void *user, pid_t pid, int pidfd, int error)
{
	struct mount *m = user;

	m->helper_spawning = false;
	if (error == 0) {
		process_add(&m->server->processes, &m->helper, pid, pidfd,
			    on_helper_exit);
		return;
	}
	log_warnx("mount: fusermount3 cannot be started: %s (package fuse3)",
		  strerror(-error));
	helper_ended(m, -1);
}

static void spawn_helper(struct mount *m, const char *const *args,
			 const int *fd)
{
	static const int number = 3;
	struct parent_spawn spawn = { .role = "fusermount3",
				      .args = args,
				      .fds = fd,
				      .numbers = &number,
				      .n_fds = fd ? 1 : 0,
				      .env_name = fd ? "_FUSE_COMMFD" : NULL,
				      .env_value = "3" };
	int r;

	m->helper_spawning = true;
	m->helper_unmounts = !fd;
	ev_timer_start(m->server->loop, &m->late);
	r = parent_spawn(&m->server->parent, &spawn, on_helper, m);
	if (r < 0)
		on_helper(m, 0, -1, r);
}

static int make_by_helper(struct mount *m)
{
	_cleanup_(fd_closep) int theirs = -1;
	char options[OPTIONS_BYTES];
	const char *args[] = { "-o", options, "--", m->point, NULL };
	int pair[2], r;

	r = mountpoint_options(m->source, m->server->config.allow_other,
			       options, sizeof(options));
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	m->comm_fd = pair[0];
	theirs = pair[1];
	m->state = MOUNT_MAKING;
	spawn_helper(m, args, &theirs);
	return 0;
}

static int make(struct mount *m)
{
	int fd, r = mountpoint_prepare(m->point);

	if (r < 0) {
		fail(m,
		     r == -ENOTEMPTY
			     ? "the mount point %.180s is not empty (%s)"
			     : "the mount point %.180s cannot be used: %s",
		     m->point, strerror(-r));
		return r;
	}
	if (geteuid() != 0) {
		r = make_by_helper(m);
	} else {
		r = mountpoint_mount(m->point, m->source,
				     m->server->config.allow_other, &fd);
		if (r == 0)
			made(m, fd);
	}
	if (r < 0)
		fail(m, "cannot mount on %.180s: %s", m->point, strerror(-r));
	return r;
}

/* --- unmaking -------------------------------------------------------------
 */

static void unmake(struct mount *m)
{
	const char *args[] = { "-u", "-z", "--", m->point, NULL };
	int r;

	m->state = MOUNT_UNMAKING;
	ev_timer_stop(m->server->loop, &m->respawn);
	if (geteuid() != 0) {
		spawn_helper(m, args, NULL);
		return;
	}
	r = mountpoint_unmount(m->point);
	if (r < 0 && r != -EINVAL) /* EINVAL: somebody did already */
		log_warnx("mount: cannot unmount %s: %s", m->point,
			  strerror(-r));
	unmade(m);
}

void mount_stop(struct mount *m)
{
	if (m->state != MOUNT_SERVED)
		return;
	log_info("mount: unmounting %s", m->point);
	unmake(m);
}

void mount_abandon(struct mount *m)
{
	pid_t pid;

	if (m->state == MOUNT_NONE)
		return;
	if (geteuid() == 0) {
		(void)mountpoint_unmount(m->point);
		return;
	}
	pid = fork();
	if (pid == 0) {
		execlp("fusermount3", "fusermount3", "-u", "-z", "--", m->point,
		       NULL);
		_exit(127);
	}
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
}

/* --- asking for it --------------------------------------------------------
 */

static const char *default_point(const struct mount *m)
{
	const struct server *s = m->server;

	return s->config.mount_point ? s->config.mount_point
				     : s->instance->mount;
}

/* The keeper's descriptor and the mount that it belongs to are both there. */
static bool go_on(struct mount *m)
{
	if (m->fuse_fd < 0 || !m->point[0])
		return false;
	if (mountpoint_look(m->point, m->source) != MOUNTPOINT_OURS) {
		drop_descriptor(m);
		return false;
	}
	log_info("mount: going on with the mount on %s", m->point);
	m->state = MOUNT_SERVED;
	spawn_thoxfs(m);
	if (m->state == MOUNT_SERVED)
		settle(m, MOUNT_SERVED);
	return true;
}

int mount_start(struct mount *m, const char *point)
{
	if (m->state == MOUNT_SERVED || m->state == MOUNT_MAKING)
		return !point || strcmp(point, m->point) == 0 ? 0 : -EBUSY;
	if (m->state == MOUNT_UNMAKING)
		return -EBUSY;
	if (!point && go_on(m))
		return 0;
	if (point != m->point)
		snprintf(m->point, sizeof(m->point), "%s",
			 point ? point : default_point(m));
	m->error[0] = '\0';
	switch (mountpoint_look(m->point, m->source)) {
	case MOUNTPOINT_OTHER:
		fail(m, "something else is mounted on %.200s", m->point);
		return -EEXIST;
	case MOUNTPOINT_OURS:
		log_info("mount: replacing a stale mount on %s", m->point);
		m->again = true;
		unmake(m);
		return 0;
	case MOUNTPOINT_FREE:
		break;
	}
	return make(m);
}

bool mount_settled(const struct mount *m)
{
	return m->state == MOUNT_NONE || m->state == MOUNT_SERVED;
}

void mount_take_kept(struct mount *m, int fuse_fd)
{
	fd_close(m->fuse_fd);
	m->fuse_fd = fuse_fd;
}

void mount_restore(struct mount *m, const char *point)
{
	snprintf(m->point, sizeof(m->point), "%s", point);
}

void mount_init(struct mount *m, struct server *s)
{
	*m = (struct mount){ .server = s, .fuse_fd = -1, .comm_fd = -1 };
	m->thoxfs.pidfd = m->helper.pidfd = -1;
	mountpoint_source(s->instance->store, m->source, sizeof(m->source));
	ev_timer_init(&m->respawn, on_respawn, 0., 0.);
	ev_timer_init(&m->late, on_late, LATE_S, 0.);
}
