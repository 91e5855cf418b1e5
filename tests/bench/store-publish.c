/* How fast a text becomes durable: the store's way, and by hand. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/store.h"

/*
 * Prints `name value unit` lines. Both ways do the same work on the same disk
 * in turns: 1 KiB texts, half of them over a name that is there. By hand is
 * what a careful program does: write a new file, fdatasync it, rename it,
 * fsync the directory.
 *
 *	store-publish [DIR [TEXTS]]
 */
#define TEXT_BYTES 1024
#define ROUNDS	   5
#define WRITERS	   8

struct job {
	struct store *s; /* NULL: by hand */
	int dirfd;
	int writer, count, round;
	double *times_us; /* of each publication, or NULL */
	int failed;
};

static double now_us(void)
{
	return (double)clock_ns() / 1e3;
}

static int by_hand(int dirfd, const char *name, const char *text)
{
	char tmp[80];
	int fd, r = 0;

	snprintf(tmp, sizeof(tmp), "%s.tmp", name);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, TEXT_BYTES) != TEXT_BYTES || fdatasync(fd) < 0)
		r = -errno;
	close(fd);
	if (r == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
		r = -errno;
	if (r == 0 && fsync(dirfd) < 0)
		r = -errno;
	return r;
}

static int by_store(struct store *s, const char *name, const char *text)
{
	struct store_change c = { .dir = DIR_PROGRAMS, .name = name };
	struct store_text *t;
	int r;

	r = store_text_from_bytes(s, DIR_PROGRAMS, name, text, TEXT_BYTES, &t);
	if (r < 0)
		return r;
	c.text = t;
	r = store_commit(s, &c, 1);
	store_text_free(t);
	return r < 0 ? r : c.result;
}

static void *work(void *arg)
{
	struct job *j = arg;
	char text[TEXT_BYTES], name[64];

	memset(text, 'x', sizeof(text));
	for (int i = 0; i < j->count; i++) {
		double start = now_us();
		int r;

		/* Every second one replaces one of eight names. */
		if (i % 2)
			snprintf(name, sizeof(name), "w%d-%d", j->writer,
				 i % 16);
		else
			snprintf(name, sizeof(name), "w%d-r%d-%d", j->writer,
				 j->round, i);
		r = j->s ? by_store(j->s, name, text)
			 : by_hand(j->dirfd, name, text);
		j->failed += r < 0;
		if (j->times_us)
			j->times_us[i] = now_us() - start;
	}
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), by_value);
	return values[count / 2];
}

/* Publications per second of @writers at once. */
static double rate(struct store *s, int dirfd, int writers, int count,
		   int round)
{
	pthread_t thread[WRITERS];
	struct job jobs[WRITERS];
	double start = now_us();

	for (int i = 0; i < writers; i++) {
		jobs[i] = (struct job){ .s = s,
					.dirfd = dirfd,
					.writer = 100 * writers + i,
					.count = count / writers,
					.round = round };
		if (pthread_create(&thread[i], NULL, work, &jobs[i]) != 0)
			abort();
	}
	for (int i = 0; i < writers; i++) {
		pthread_join(thread[i], NULL);
		if (jobs[i].failed) {
			fprintf(stderr, "store-publish: a write failed\n");
			exit(1);
		}
	}
	return count / ((now_us() - start) / 1e6);
}

static double latency(struct store *s, int dirfd, int count, int round)
{
	double *times = calloc((size_t)count, sizeof(double)), result;
	struct job j = { .s = s,
			 .dirfd = dirfd,
			 .writer = 9,
			 .count = count,
			 .round = round,
			 .times_us = times };

	if (!times)
		abort();
	work(&j);
	result = median(times, (size_t)count);
	free(times);
	return result;
}

int main(int argc, char **argv)
{
	const char *base = argc > 1 ? argv[1] : "/var/tmp";
	int count = argc > 2 ? atoi(argv[2]) : 400, dirfd, r;
	double hand[4][ROUNDS], store[4][ROUNDS];
	struct store_options o = { .flags = STORE_CREATE };
	char root[256], path[300], command[300];
	struct store *s;

	snprintf(root, sizeof(root), "%s/thox-bench-XXXXXX", base);
	if (!mkdtemp(root))
		return 1;
	snprintf(path, sizeof(path), "%s/hand", root);
	mkdir(path, 0700);
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/store", root);
	r = store_open(path, &o, &s);
	if (dirfd < 0 || r < 0) {
		fprintf(stderr, "store-publish: %s: %s\n", path, strerror(-r));
		return 1;
	}

	for (int i = 0; i < ROUNDS; i++) {
		hand[0][i] = latency(NULL, dirfd, count, i);
		store[0][i] = latency(s, -1, count, i);
		hand[1][i] = rate(NULL, dirfd, 1, count, i);
		store[1][i] = rate(s, -1, 1, count, i);
		hand[2][i] = rate(NULL, dirfd, WRITERS, 2 * count, i);
		store[2][i] = rate(s, -1, WRITERS, 2 * count, i);
		store_idle(s);
	}
	printf("publish-by-hand %.1f us\n", median(hand[0], ROUNDS));
	printf("publish-by-store %.1f us\n", median(store[0], ROUNDS));
	printf("publish-ratio %.2f of-by-hand\n",
	       median(store[0], ROUNDS) / median(hand[0], ROUNDS));
	printf("publish-by-hand-1-writer %.0f per-s\n",
	       median(hand[1], ROUNDS));
	printf("publish-by-store-1-writer %.0f per-s\n",
	       median(store[1], ROUNDS));
	printf("publish-by-hand-8-writers %.0f per-s\n",
	       median(hand[2], ROUNDS));
	printf("publish-by-store-8-writers %.0f per-s\n",
	       median(store[2], ROUNDS));
	printf("publish-8-writers-ratio %.2f of-by-hand\n",
	       median(store[2], ROUNDS) / median(hand[2], ROUNDS));

	store_free(s);
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command) == 0 ? 0 : 1;
}
