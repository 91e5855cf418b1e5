/*
 * Step 3: thox-zygote, started by the keeper with its link to thoxd as
 * descriptor 3.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/log.h"
#include "rpc/link.h"
#include "runner/report.h"
#include "runner/zygote.h"

/* Descriptors 0 to 2 must be taken, or a message's would be. */
static void fill_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd < 3);
	if (fd >= 3)
		close(fd);
}

int main(int argc, char *argv[])
{
	struct link link;
	struct stat st;
	int r;

	(void)argv;
	log_init("thox-zygote", LOG_LEVEL_INFO);
	if (argc != 1 || fstat(CONTROL_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		log_warnx("this is a part of thox, started by thox-keeper");
		return EXIT_USAGE_EXEC;
	}
	fill_stdio();
	close_range(CONTROL_FD + 1, ~0U, 0);
	link_init(&link, CONTROL_FD);
	r = zygote_main(&link);
	/* What thoxd was told is thoxd's to log. */
	if (r == -EBADMSG || r == -EPROTO) {
		errno = -r;
		log_warn("ended");
	}
	link_deinit(&link);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
