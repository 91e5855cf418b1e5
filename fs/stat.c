/* Beside every step of the store: what a file is, without its times. */

#include "fs/stat.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

int stat_timeless(int fd, struct statx *ret_stat)
{
	const unsigned wanted =
		STATX_BASIC_STATS & ~(STATX_ATIME | STATX_MTIME | STATX_CTIME);

	return statx(fd, "", AT_EMPTY_PATH, wanted, ret_stat) < 0 ? -errno : 0;
}
