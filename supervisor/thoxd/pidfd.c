/*
 * Step 6: a birth is checked before anything is done to the newborn.
 *
 * Linux 6.13 tells with one ioctl; before, /proc does. The structure is
 * spelled out here, since Debian 12's headers do not have it.
 */

#include "thoxd/pidfd.h"

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

struct pidfd_info_v0 {
	uint64_t mask;
	uint64_t cgroupid;
	uint32_t pid;
	uint32_t tgid;
	uint32_t ppid;
	uint32_t uids[4]; /* real, effective, saved, of files; then gids */
	uint32_t gids[4];
	uint32_t spare;
};

#define PIDFD_INFO_PID	  (1ULL << 0)
#define PIDFD_IOCTL_INFO0 _IOWR(0xFF, 11, struct pidfd_info_v0)

static bool read_field(const char *path, const char *key, long *ret)
{
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[4096];
	ssize_t n;
	char *at;

	if (fd < 0)
		return false;
	n = read(fd, buf, sizeof(buf) - 1);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	at = strstr(buf, key);
	return at && sscanf(at + strlen(key), "%ld", ret) == 1;
}

static bool by_proc(int pidfd, pid_t pid, pid_t parent)
{
	char path[64];
	long value;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (!read_field(path, "\nPPid:", &value) || value != parent)
		return false;
	/* asked last: it says -1 once the process was reaped */
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	return read_field(path, "\nPid:", &value) && value == pid;
}

bool pidfd_is_child(int pidfd, pid_t pid, pid_t parent)
{
	struct pidfd_info_v0 info = { .mask = PIDFD_INFO_PID };

	if (pidfd < 0)
		return false;
	if (ioctl(pidfd, PIDFD_IOCTL_INFO0, &info) == 0)
		return info.pid == (uint32_t)pid &&
		       info.ppid == (uint32_t)parent;
	return by_proc(pidfd, pid, parent);
}

bool pidfd_has_ended(int pidfd)
{
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };

	return poll(&ended, 1, 0) == 1;
}
