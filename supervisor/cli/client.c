/*
 * Step 2, in the clients: reach thoxd.
 *
 * The server is believed for its uid (SO_PEERCRED names who called listen(),
 * the keeper): in a directory that others may write to, a foreign socket
 * could wait for our descriptors.
 */

#include "cli/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "cli/autostart.h"
#include "cli/say.h"
#include "rpc/control.h"
#include "rpc/mp.h"

struct attempt {
	const struct instance *in;
	int fd;
};

static int connect_once(void *user)
{
	struct attempt *a = user;
	_cleanup_(fd_closep) int fd = -1, dirfd = -1;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r;

	r = instance_socket_path(a->in->run, INSTANCE_CONTROL, addr.sun_path,
				 &dirfd);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	a->fd = steal_fd(&fd);
	return 0;
}

static int check_server(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	if (peer.uid != geteuid() && peer.uid != 0)
		return -EPERM;
	return 0;
}

static int send_hello(struct link *l)
{
	uint8_t buf[64];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, CONTROL_HELLO);
	mp_write_uint(&w, CONTROL_VERSION);
	mp_write_str(&w, PACKAGE_VERSION);
	return link_send_wait(l, w.data, w.used, NULL, 0);
}

static bool may_start(void)
{
	const char *forbidden = getenv("THOX_NO_AUTOSTART");

	return !forbidden || !*forbidden || strcmp(forbidden, "0") == 0;
}

static bool nobody(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

/* Why there is no connection and what to do about it. */
static void explain(const struct instance *in, int r)
{
	if (nobody(r))
		say("no instance runs at %s and THOX_NO_AUTOSTART forbids to "
		    "start one: unset it, or start one with 'thoxctl %sstatus'",
		    in->run, in->mode == INSTANCE_SYSTEM ? "--system " : "");
	else if (r == -EACCES)
		say("%s/" INSTANCE_CONTROL ": %s: the instance belongs to "
		    "another user",
		    in->run, strerror(EACCES));
	else
		say("cannot reach thoxd at %s/" INSTANCE_CONTROL ": %s",
		    in->run, strerror(-r));
}

static int reach(struct attempt *a, bool start)
{
	int r = connect_once(a);

	if (r == 0 || (nobody(r) && !start))
		return r;
	if (nobody(r) && may_start()) {
		r = autostart(a->in, connect_once, a);
		if (r < 0)
			return r; /* it has said why */
		if (a->fd < 0)
			r = connect_once(a);
	}
	if (r < 0)
		explain(a->in, r);
	return r;
}

int client_open(const struct instance *in, bool start, struct link *ret_link)
{
	struct attempt a = { in, -1 };
	int r;

	r = reach(&a, start);
	if (r < 0)
		return r;
	r = check_server(a.fd);
	if (r < 0) {
		fd_close(a.fd);
		say("%s/" INSTANCE_CONTROL ": the server is not this user's: "
		    "nothing was sent to it",
		    in->run);
		return r;
	}
	link_init(ret_link, a.fd);
	r = send_hello(ret_link);
	if (r < 0) {
		say("thoxd closed the connection: %s; see "
		    "%s/" CONTROL_KEEPER_LOG,
		    strerror(-r), in->run);
		link_deinit(ret_link);
	}
	return r;
}

int client_hello(const struct link_message *m)
{
	struct mp_reader r;
	uint64_t version;

	mp_reader_init(&r, m->data, m->size);
	if (mp_read_array(&r) < 2 || mp_read_uint(&r) != CONTROL_HELLO)
		return 0;
	version = mp_read_uint(&r);
	return version == CONTROL_VERSION ? 1 : -EPROTONOSUPPORT;
}

int client_receive(struct link *l, int timeout_ms,
		   struct link_message *ret_message)
{
	uint64_t deadline_ns = clock_ns() + (uint64_t)timeout_ms * 1000000u;
	int r;

	for (;;) {
		struct pollfd p = { .fd = l->fd, .events = POLLIN };
		int left = timeout_ms;

		r = link_receive(l, false, ret_message);
		if (r > 0) {
			r = client_hello(ret_message);
			if (r == 0)
				return 1;
			link_message_deinit(ret_message);
		}
		if (r < 0)
			return r;
		if (timeout_ms >= 0) {
			uint64_t now_ns = clock_ns();

			if (now_ns >= deadline_ns)
				return -ETIMEDOUT;
			left = (int)((deadline_ns - now_ns) / 1000000u) + 1;
		}
		if (poll(&p, 1, left) < 0 && errno != EINTR)
			return -errno;
	}
}
