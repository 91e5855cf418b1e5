/* Archives: what is written is read again, and nothing else is. */

#include "cli/archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "base/util.h"

static int fd;

static void begin(void)
{
	fd = memfd_create("archive", MFD_CLOEXEC);
}

static void add(struct archive_writer *w, const char *name, const char *text)
{
	struct archive_member m = { .size = strlen(text),
				    .time_s = 1234567890 };

	snprintf(m.name, sizeof(m.name), "%s", name);
	CHECK_EQ(archive_begin(w, &m), 0);
	CHECK_EQ(archive_write(w, text, strlen(text)), 0);
}

static void take(struct archive_reader *r, const char *name, const char *text)
{
	struct archive_member m;
	char bytes[1024] = "";
	size_t n = 0;

	CHECK_EQ(archive_next(r, &m), 1);
	CHECK_STR(m.name, name);
	CHECK_EQ(m.time_s, 1234567890);
	CHECK_EQ(archive_read(r, bytes, sizeof(bytes) - 1, &n), 0);
	CHECK_EQ(n, strlen(text));
	CHECK_STR(bytes, text);
}

static char long_name[240];

static void write_three(void)
{
	struct archive_writer w = { .fd = fd };
	char block[513];

	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[150] = '/';
	memset(block, 'b', 512);
	block[512] = '\0';
	add(&w, "one", "text");
	add(&w, "dir/empty", "");
	add(&w, long_name, block);
	CHECK_EQ(archive_end(&w), 0);
	lseek(fd, 0, SEEK_SET);
}

/* Verify that members come back as they were written, in order. */
static void test_round_trip(void)
{
	struct archive_reader r;
	struct archive_member m;
	char block[513];

	begin();
	write_three();
	memset(block, 'b', 512);
	block[512] = '\0';
	r = (struct archive_reader){ .fd = fd };
	take(&r, "one", "text");
	take(&r, "dir/empty", "");
	take(&r, long_name, block);
	CHECK_EQ(archive_next(&r, &m), 0);
	close(fd);
}

/* Verify that a member that is not read is passed over. */
static void test_pass_over(void)
{
	struct archive_reader r;
	struct archive_member m;

	begin();
	write_three();
	r = (struct archive_reader){ .fd = fd };
	for (int i = 0; i < 3; i++)
		CHECK_EQ(archive_next(&r, &m), 1);
	CHECK_STR(m.name, long_name);
	CHECK_EQ(archive_next(&r, &m), 0);
	close(fd);
}

/* Verify that tar reads it. */
static void test_tar(void)
{
	char command[128];
	FILE *out;
	char line[300] = "";

	if (system("command -v tar >/dev/null") != 0)
		SKIP("no tar");
	begin();
	write_three();
	snprintf(command, sizeof(command),
		 "tar tf /proc/%d/fd/%d | sort | head -n 1", (int)getpid(), fd);
	out = popen(command, "r");
	CHECK(out && fgets(line, sizeof(line), out));
	CHECK_EQ(strncmp(line, long_name, strlen(long_name)), 0);
	if (out)
		pclose(out);
	close(fd);
}

/* Verify that an end at any place but the right one is noticed. */
static void test_cut(void)
{
	off_t size;

	begin();
	write_three();
	size = lseek(fd, 0, SEEK_END) - 1024;
	for (off_t at = 0; at < size; at += 100) {
		struct archive_reader r = { .fd = fd };
		struct archive_member m;
		int error;

		CHECK_EQ(ftruncate(fd, size - at), 0);
		lseek(fd, 0, SEEK_SET);
		while ((error = archive_next(&r, &m)) == 1)
			;
		CHECK_EQ(error, -EBADMSG);
	}
	close(fd);
}

/* Verify that a changed header, another type and names that lead out are
 * refused. */
static void test_refused(void)
{
	static const char *const names[] = {
		"/etc/passwd", "../x", "a/../b", "a//b", "a/", ".", ""
	};
	struct archive_writer w;
	struct archive_member m = { .size = 0 };
	uint8_t block[ARCHIVE_BLOCK], zeros[ARCHIVE_BLOCK] = { 0 };

	begin();
	write_three();
	w = (struct archive_writer){ .fd = fd };
	CHECK_EQ(fd_read_full(fd, block, sizeof(block)),
		 (ssize_t)sizeof(block));
	CHECK_EQ(archive_parse(block, &m), 1);
	for (unsigned i = 0; i < sizeof(block); i++) {
		if (i == 155)
			continue; /* behind the sum: nobody looks */
		block[i] ^= 0x11;
		CHECK_EQ(archive_parse(block, &m), -EBADMSG);
		block[i] ^= 0x11;
	}
	block[156]++; /* a link, and the sum that goes with it */
	block[153]++;
	CHECK_EQ(archive_parse(block, &m), -EBADMSG);
	CHECK_EQ(archive_parse(zeros, &m), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(m.name, sizeof(m.name), "%s", names[i]);
		CHECK_EQ(archive_begin(&w, &m), -EINVAL);
	}
	m.size = ARCHIVE_SIZE_MAX;
	strcpy(m.name, "large");
	CHECK_EQ(archive_begin(&w, &m), -EFBIG);
	close(fd);
}

int main(void)
{
	RUN(test_round_trip);
	RUN(test_pass_over);
	RUN(test_tar);
	RUN(test_cut);
	RUN(test_refused);
	return tap_done();
}
