/*
 * Measures: opening one of many programs' storages.
 *
 * usage: storages make STORE STORAGED COUNT
 *        storages open STORE STORAGED COUNT ROUNDS
 *
 * `make` lets thox-storaged make the first, and copies it. `open` prints the
 * median time of a get by a new caller, of a storage that this thox-storaged
 * has not opened yet, in microseconds: of ten in each round, far from each
 * other.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/status.h"
#include "storaged/play.h"

#define OPENED	   10U
#define ROUNDS_MAX 1000U
#define FILE_MAX   (1U << 20)

static struct play play;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "storages: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void start(const char *store, const char *storaged)
{
	const char *command[] = { storaged, NULL };

	if (play_start(&play, command, store) < 0)
		die(storaged);
}

/* "name" of the storage of program @n; set, or it has to be there. */
static void call(unsigned n, bool set)
{
	uint8_t buf[64];
	struct wire_message answer;
	struct mp_writer w;
	struct link link;
	char program[16];
	int r;

	snprintf(program, sizeof(program), "p%u", n);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, set ? 2 : 1);
	mp_write_str(&w, "name");
	if (set)
		mp_write_str(&w, "value");
	if (play_open(&play, program, &link) < 0)
		die("a link");
	r = play_call(&play, &link,
		      set ? "storage.keys.set" : "storage.keys.get",
		      (struct mp_bytes){ (char *)buf, w.used }, &answer);
	if (r != STATUS_OK || (!set && answer.args.size < 6))
		die(program);
	link_deinit(&link);
}

/* --- make ------------------------------------------------------------------- */

static void store_file(const char *store, unsigned n, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/.storage/keys/p%u.db", store, n);
}

static void write_file(const char *path, const char *data, size_t size)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0 || fd_write_all(fd, data, size) < 0)
		die(path);
	fd_close(fd);
}

static void make(const char *store, const char *storaged, unsigned count)
{
	static char data[FILE_MAX];
	char path[PATH_MAX];
	ssize_t size;
	int fd;

	start(store, storaged);
	call(0, true);
	if (play_stop(&play) != 0)
		die("the end");
	store_file(store, 0, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	size = fd < 0 ? -1 : read(fd, data, sizeof(data));
	if (size <= 0)
		die(path);
	fd_close(fd);
	for (unsigned i = 1; i < count; i++) {
		store_file(store, i, path);
		write_file(path, data, (size_t)size);
	}
}

/* --- open ------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const char *store, const char *storaged, unsigned count,
		    unsigned rounds)
{
	static double us[ROUNDS_MAX * OPENED];
	unsigned step = count / OPENED, n = 0;

	for (unsigned round = 0; round < rounds; round++) {
		start(store, storaged);
		for (unsigned i = 0; i < OPENED; i++) {
			uint64_t begin_ns = clock_ns();

			call(i * step + round % step, false);
			us[n++] = (double)(clock_ns() - begin_ns) / 1e3;
		}
		if (play_stop(&play) != 0)
			die("the end");
	}
	qsort(us, n, sizeof(*us), by_value);
	printf("%.1f\n", us[n / 2]);
}

int main(int argc, char **argv)
{
	unsigned count = argc > 4 ? (unsigned)atoi(argv[4]) : 0;
	unsigned rounds = argc > 5 ? (unsigned)atoi(argv[5]) : 0;

	if (count >= OPENED && argc == 5 && strcmp(argv[1], "make") == 0)
		make(argv[2], argv[3], count);
	else if (count >= OPENED && argc == 6 && rounds > 0 &&
		 rounds <= ROUNDS_MAX && strcmp(argv[1], "open") == 0)
		measure(argv[2], argv[3], count, rounds);
	else
		die("usage");
	return 0;
}
