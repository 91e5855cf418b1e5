/*
 * Step 2, in every client: reach thoxd.
 *
 * The server is believed for its uid (SO_PEERCRED names who called listen(),
 * the keeper): in a directory that others may write to, a foreign socket
 * could wait for our descriptors.
 */

#include "native/connect.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/control.h"
#include "rpc/mp.h"

int connect_instance(const struct instance *in, int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1, dirfd = -1;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r;

	r = instance_socket_path(in->run, INSTANCE_CONTROL, addr.sun_path,
				 &dirfd);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int connect_check(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	if (peer.uid != geteuid() && peer.uid != 0)
		return -EPERM;
	return 0;
}

int connect_greet(struct link *l)
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

int connect_is_hello(const struct link_message *m)
{
	struct mp_reader r;
	uint64_t version;

	mp_reader_init(&r, m->data, m->size);
	if (mp_read_array(&r) < 2 || mp_read_uint(&r) != CONTROL_HELLO)
		return 0;
	version = mp_read_uint(&r);
	return version == CONTROL_VERSION ? 1 : -EPROTONOSUPPORT;
}

int connect_receive(struct link *l, int timeout_ms,
		    struct link_message *ret_message)
{
	uint64_t deadline_ns = clock_ns() + (uint64_t)timeout_ms * 1000000u;
	int r;

	for (;;) {
		struct pollfd p = { .fd = l->fd, .events = POLLIN };
		int left = timeout_ms;

		r = link_receive(l, false, ret_message);
		if (r > 0) {
			r = connect_is_hello(ret_message);
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
