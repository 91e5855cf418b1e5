/*
 * Step 10: thox-storaged starts: what programs keep.
 *
 * acquire (the link, the directories) -> confine -> loop.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "rpc/storaged.h"
#include "storaged/front.h"
#include "storaged/syscalls.h"

static void report(const char *text)
{
	log_warnx("%s", text);
}

static bool is_link(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static void confine_to(const char *const *dirs)
{
	struct confine_path paths[4];
	const char *layer;
	size_t n = 0;
	int r;

	for (; dirs[n]; n++)
		paths[n] =
			(struct confine_path){ dirs[n], CONFINE_WRITE, false };
	r = confine(paths, n, storaged_calls, storaged_n_calls, &layer);
	if (r < 0)
		log_fatalx("cannot confine itself: %s: %s", layer,
			   strerror(-r));
}

static struct storage *open_store(struct front *f, struct ev_loop *loop,
				  const char *path)
{
	const struct storage_options options = { .loop = loop,
						 .store_path = path,
						 .ops = &front_ops,
						 .front = f,
						 .report = report };
	struct storage *s = NULL;
	int r = storage_open(&options, &s);

	if (r == -EBUSY)
		log_fatalx("another thox-storaged serves %s", path);
	if (r < 0)
		log_fatalx("cannot open the storage in %s: %s", path,
			   strerror(-r));
	return s;
}

/* Until thoxd is gone. */
static int serve(struct ev_loop *loop, const char *path)
{
	struct native *native = NULL;
	struct storage *s;
	struct front f;
	int r;

	s = open_store(&f, loop, path);
	r = native_adopt(STORAGED_LINK_FD, &native);
	confine_to(storage_paths(s));
	if (r == 0)
		r = front_init(&f, loop, native);
	if (r == 0) {
		f.storage = s;
		ev_run(loop, 0);
		r = f.error;
		front_deinit(&f);
	}
	storage_close(s);
	native_free(native);
	return r == -ECONNRESET || r == -EPIPE ? 0 : r;
}

int main(int argc, char **argv)
{
	struct ev_loop *loop;
	int r;

	log_init("thox-storaged", LOG_LEVEL_INFO);
	log_set_timestamps(true);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("thox-storaged %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (argc != 2 || argv[1][0] != '/' || !is_link(STORAGED_LINK_FD)) {
		fprintf(stderr, "thox-storaged is started by thoxd; see "
				"thox-storaged(8)\n");
		return 2;
	}
	fd_set_cloexec(STORAGED_LINK_FD, 1);
	fd_ignore_signals();
	signal(SIGIO, SIG_IGN); /* pin.c: its leases are given back at once */
	/* a link for each caller, and for each context that was handed out */
	fd_raise_limit();
	loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	if (!loop)
		log_fatalx("there is no epoll");
	r = serve(loop, argv[1]);
	ev_loop_destroy(loop);
	if (r < 0)
		log_fatalx("the loop: %s", strerror(-r));
	_exit(0); /* a leak checker could not look at us any more */
}
