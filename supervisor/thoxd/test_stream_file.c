/*
 * Who gets a descriptor of a stream, and of which file.
 */

#include "thoxd/stream_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "thoxd/holding.h"
#include "thoxd/server.h"

static char root[] = "/tmp/thox-stream-file-XXXXXX";
static struct instance instance;
static struct server server = { .instance = &instance };
static uint64_t bound_bytes;
static int bound_result;

static int on_bound_files(struct principal *p, uint64_t limit_bytes)
{
	(void)p;
	bound_bytes = limit_bytes;
	return bound_result;
}

static const struct principal_ops ops = { .bound_files = on_bound_files };
static const struct principal_ops native_ops = { 0 };

/* storaged, a runner, the link between them, and what is asked for. */
static struct principal asker, runner;
static struct holding to;
static struct stream_wish wish;

static const char *path_of(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/data/%s", root, name);
	return path;
}

static void begin(void)
{
	struct stat st;

	asker = (struct principal){ .server = &server, .daemon = true };
	runner = (struct principal){ .server = &server,
				     .ops = &ops,
				     .storage = "mine" };
	to = (struct holding){ .holder = &runner, .as = &runner };
	if (stat(path_of("mine"), &st) < 0)
		abort();
	wish = (struct stream_wish){ .inode = st.st_ino, .limit_bytes = 100 };
	bound_bytes = 0;
	bound_result = 0;
}

/* What became of the wish: the way that it is open, or an error. */
static int ask(void)
{
	int fd = -1, mode, r = stream_file_open(&asker, &to, &wish, &fd);

	if (r < 0)
		return r;
	mode = fcntl(fd, F_GETFL) & O_ACCMODE;
	if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC))
		mode = -EBADF;
	fd_close(fd);
	return mode;
}

/* Verify that who only reads cannot write, and who writes is bounded first. */
static void test_rights(void)
{
	begin();
	CHECK_EQ(ask(), O_RDONLY);
	CHECK_EQ(bound_bytes, 0);
	wish.write = true;
	CHECK_EQ(ask(), O_RDWR);
	CHECK_EQ(bound_bytes, 100);
	bound_result = -EPERM;
	CHECK_EQ(ask(), -EPERM);
}

/* Verify that nobody else can ask, and nobody gets what is not his own. */
static void test_whose(void)
{
	static struct principal other;

	begin();
	asker.daemon = false;
	CHECK_EQ(ask(), -EPERM);
	begin();
	other = runner;
	to.as = &other;
	CHECK_EQ(ask(), -EPERM);
	begin();
	runner.ops = &native_ops;
	CHECK_EQ(ask(), -EPERM);
	runner.ops = NULL;
	CHECK_EQ(ask(), -EPERM);
	begin();
	runner.store = &to; /* its storage is a context of its starter's */
	CHECK_EQ(ask(), -EPERM);
	begin();
	runner.storage = NULL;
	CHECK_EQ(ask(), -EPERM);
	runner.storage = "../secret";
	CHECK_EQ(ask(), -EPERM);
	runner.storage = "none";
	CHECK_EQ(ask(), -ENOENT);
}

/* Verify that only the very file is handed out, and no link, pipe or directory
 * in its place. */
static void test_which(void)
{
	struct stat st;

	begin();
	wish.inode++;
	CHECK_EQ(ask(), -ESTALE);
	begin();
	runner.storage = "link";
	CHECK_EQ(ask(), -ELOOP);
	runner.storage = "pipe";
	wish.write = true;
	CHECK_EQ(stat(path_of("pipe"), &st), 0);
	wish.inode = st.st_ino;
	CHECK_EQ(ask(), -EPERM);
	CHECK_EQ(bound_bytes, 0);
}

int main(void)
{
	char command[PATH_MAX + 16];
	int r;

	if (!mkdtemp(root))
		return 1;
	strcpy(instance.store, root);
	snprintf(command, sizeof(command), "mkdir %s/data", root);
	if (system(command) != 0 || symlink("mine", path_of("link")) < 0 ||
	    mkfifo(path_of("pipe"), 0600) < 0)
		return 1;
	fd_close(open(path_of("mine"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	RUN(test_rights);
	RUN(test_whose);
	RUN(test_which);
	r = tap_done();
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command) != 0 ? 1 : r;
}
