/*
 * Measures a directory as a user of files meets it.
 *
 * Usage: files DIRECTORY COUNT [WRITERS]
 * Creates COUNT files of 1 KiB (Lua comments, so that a store accepts them),
 * reads, stats, lists and unlinks them. Prints `name microseconds` lines: the
 * time of each phase for one file. With WRITERS over 1 only the creation is
 * measured, by that many processes at once.
 *
 * Usage: files --create|--by-hand DIRECTORY COUNT [WRITERS]
 * The creation alone; by hand as a careful program does it without thox: write
 * to a temporary name, fdatasync, rename, fsync of the directory. What is
 * created stays: an ext4 that is mounted without a journal is slow for minutes
 * where many files were removed, and the next round would be told that.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES 1024U

static char content[FILE_BYTES];
static bool by_hand, create_only;

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void die(const char *what)
{
	fprintf(stderr, "files: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void name_of(char name[64], unsigned writer, unsigned i)
{
	snprintf(name, 64, "bench-%u-%05u", writer, i);
}

static void write_file(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0)
		die("create");
	if (write(fd, content, sizeof(content)) != sizeof(content))
		die("write");
	if (by_hand && fdatasync(fd) < 0)
		die("fdatasync");
	if (close(fd) < 0)
		die("close");
}

static void create_one(int dirfd, unsigned writer, unsigned i)
{
	char name[64], temporary[80];

	name_of(name, writer, i);
	if (!by_hand) {
		write_file(dirfd, name);
		return;
	}
	snprintf(temporary, sizeof(temporary), ".%s.tmp", name);
	write_file(dirfd, temporary);
	if (renameat(dirfd, temporary, dirfd, name) < 0)
		die("rename");
	if (fsync(dirfd) < 0)
		die("fsync of the directory");
}

static void create(int dirfd, unsigned writer, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		create_one(dirfd, writer, i);
}

static void create_by_many(int dirfd, unsigned count, unsigned writers)
{
	for (unsigned w = 0; w < writers; w++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0) {
			create(dirfd, w, count / writers);
			_exit(0);
		}
	}
	for (unsigned w = 0; w < writers; w++) {
		int status;

		if (wait(&status) < 0 || status != 0)
			exit(1);
	}
}

static void read_all(int dirfd, unsigned count)
{
	char name[64], buf[4096];

	for (unsigned i = 0; i < count; i++) {
		int fd;

		name_of(name, 0, i);
		fd = openat(dirfd, name, O_RDONLY);
		if (fd < 0)
			die("open");
		if (read(fd, buf, sizeof(buf)) != FILE_BYTES)
			die("read");
		close(fd);
	}
}

static void stat_all(int dirfd, unsigned count)
{
	char name[64];
	struct stat st;

	for (unsigned i = 0; i < count; i++) {
		name_of(name, 0, i);
		if (fstatat(dirfd, name, &st, 0) < 0)
			die("stat");
		if (st.st_size != FILE_BYTES) {
			fprintf(stderr, "files: %s has a wrong size\n", name);
			exit(1);
		}
	}
}

static void list(const char *path, unsigned count)
{
	DIR *dir = opendir(path);
	unsigned found = 0;

	if (!dir)
		die("opendir");
	while (readdir(dir))
		found++;
	closedir(dir);
	if (found < count) {
		fprintf(stderr, "files: %u entries of %u\n", found, count);
		exit(1);
	}
}

static void unlink_all(int dirfd, unsigned count, unsigned writers)
{
	char name[64];

	for (unsigned w = 0; w < writers; w++)
		for (unsigned i = 0; i < count / writers; i++) {
			name_of(name, w, i);
			if (unlinkat(dirfd, name, 0) < 0)
				die("unlink");
		}
}

static double report(const char *what, double since, unsigned count)
{
	double now = now_us();

	printf("%s %.2f\n", what, (now - since) / count);
	return now;
}

int main(int argc, char *argv[])
{
	unsigned count, writers = 1;
	const char *path;
	double t;
	int dirfd;

	if (argc > 1 && argv[1][0] == '-') {
		by_hand = strcmp(argv[1], "--by-hand") == 0;
		create_only = by_hand || strcmp(argv[1], "--create") == 0;
		argc--;
		argv++;
	}
	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: files [--create|--by-hand] DIRECTORY "
				"COUNT [WRITERS]\n");
		return 2;
	}
	path = argv[1];
	count = (unsigned)atoi(argv[2]);
	if (argc == 4)
		writers = (unsigned)atoi(argv[3]);
	if (count == 0 || writers == 0 || count % writers != 0) {
		fprintf(stderr, "files: COUNT must be a multiple of WRITERS\n");
		return 2;
	}
	memset(content, '-', sizeof(content));
	content[sizeof(content) - 1] = '\n';
	dirfd = open(path, O_RDONLY | O_DIRECTORY);
	if (dirfd < 0)
		die(path);

	t = now_us();
	if (writers > 1)
		create_by_many(dirfd, count, writers);
	else
		create(dirfd, 0, count);
	t = report("create", t, count);
	if (create_only)
		return 0;
	if (writers == 1) {
		read_all(dirfd, count);
		t = report("read-first", t, count);
		read_all(dirfd, count);
		t = report("read", t, count);
		stat_all(dirfd, count);
		t = report("stat", t, count);
		list(path, count);
		t = report("list-first", t, count);
		list(path, count);
		t = report("list", t, count);
	}
	unlink_all(dirfd, count, writers);
	report("unlink", t, count);
	return 0;
}
