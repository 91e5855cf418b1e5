/* Step 8, in thox-logd: a line as a datagram. */

#include "logd/journal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

#define FIELDS_BYTES (3 * LINE_HEAD_BYTES)

int journal_open(const char *path, int *ret_fd)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd, r = 0;

	if (strlen(path) >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	strcpy(to.sun_path, path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* A field is `NAME=value` and a line feed; no value has one in it. */
void journal_send(int fd, const char *service, const struct line *line)
{
	static char message[] = "MESSAGE=", line_feed[] = "\n";
	bool has_instance = line->instance[0] != '\0';
	char fields[FIELDS_BYTES];
	struct iovec parts[] = {
		{ fields, 0 },
		{ message, sizeof(message) - 1 },
		{ (void *)line->text, line->size },
		{ line_feed, 1 },
	};
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts) };

	parts[0].iov_len = (size_t)snprintf(
		fields, sizeof(fields),
		"PRIORITY=%d\nSYSLOG_IDENTIFIER=%s%s%s\nSYSLOG_PID=%d\n"
		"THOX_SERVICE=%s\n%s%s%s",
		(int)line->level, service, has_instance ? ":" : "",
		line->instance, (int)line->pid, service,
		has_instance ? "THOX_INSTANCE=" : "", line->instance,
		has_instance ? "\n" : "");
	(void)sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}
