/* Storage, step 0: what time it is. */

#include "storaged/clock.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/util.h"

static int64_t boot_shift_ms, wall_shift_ms;

static int64_t read_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t clock_boot_ms(void)
{
	return (uint64_t)(read_ms(CLOCK_BOOTTIME) + boot_shift_ms);
}

int64_t clock_wall_ms(void)
{
	return read_ms(CLOCK_REALTIME) + wall_shift_ms;
}

int64_t clock_skew_ms(void)
{
	return clock_wall_ms() - (int64_t)clock_boot_ms();
}

const char *clock_boot_id(void)
{
	static char id[CLOCK_BOOT_ID_BYTES];
	_cleanup_(fd_closep) int fd = -1;

	if (id[0])
		return id;
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fd_read_full(fd, id, sizeof(id) - 1) < 0)
		id[0] = '\0';
	id[strcspn(id, "\n")] = '\0';
	return id;
}

void clock_shift(int64_t boot_ms, int64_t wall_ms)
{
	boot_shift_ms = boot_ms;
	wall_shift_ms = wall_ms;
}
