/*
 * Step 3, in the keeper: a datagram for systemd.
 */

#include "keeper/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/util.h"

void notify(const char *state)
{
	_cleanup_(fd_closep) int fd = -1;
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char *path = secure_getenv("NOTIFY_SOCKET");
	size_t size;

	if (!path || (path[0] != '/' && path[0] != '@'))
		return;
	size = strlen(path);
	if (size >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, size);
	if (path[0] == '@') /* of the abstract name space */
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)sendto(
			fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
			(void *)&to,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				    size));
}
