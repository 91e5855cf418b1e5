/* Step 8, in thoxctl: tar, as far as thox writes and reads it. */

#include "cli/archive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"

/* A header's fields: where they begin and how long they are. */
#define NAME_AT	    0
#define NAME_SIZE   100U
#define MODE_AT	    100
#define UID_AT	    108
#define GID_AT	    116
#define SIZE_AT	    124
#define SIZE_SIZE   12
#define TIME_AT	    136
#define SUM_AT	    148
#define SUM_SIZE    8
#define TYPE_AT	    156
#define MAGIC_AT    257
#define PREFIX_AT   345
#define PREFIX_SIZE 155U

static const char magic[8] = { 'u', 's', 't', 'a', 'r', '\0', '0', '0' };

/* --- a header ---------------------------------------------------------------
 */

static bool part_good(const char *part, size_t n)
{
	return n > 0 && !(n <= 2 && strspn(part, ".") >= n);
}

/* A path below the place where somebody unpacks it. */
static bool name_good(const char *name)
{
	while (*name) {
		size_t n = strcspn(name, "/");

		if (!part_good(name, n))
			return false;
		name += n;
		if (*name == '/' && !*++name)
			return false;
	}
	return true;
}

/* As the sum of its bytes, its own field as spaces. */
static unsigned sum_of(const uint8_t block[ARCHIVE_BLOCK])
{
	unsigned sum = 0;

	for (unsigned i = 0; i < ARCHIVE_BLOCK; i++)
		sum += i >= SUM_AT && i < SUM_AT + SUM_SIZE ? ' ' : block[i];
	return sum;
}

/* Octal digits, ended by a space or a zero byte. */
static int read_octal(const uint8_t *field, size_t size, uint64_t *ret)
{
	uint64_t n = 0;
	size_t i = 0;

	while (i < size && field[i] == ' ')
		i++;
	if (i == size || field[i] < '0' || field[i] > '7')
		return -EBADMSG;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		n = n * 8 + (uint64_t)(field[i] - '0');
	if (i < size && field[i] != ' ' && field[i] != '\0')
		return -EBADMSG;
	*ret = n;
	return 0;
}

static int read_name(const uint8_t *block, struct archive_member *m)
{
	const char *name = (const char *)block + NAME_AT;
	const char *prefix = (const char *)block + PREFIX_AT;
	size_t n = strnlen(name, NAME_SIZE);
	size_t k = strnlen(prefix, PREFIX_SIZE);

	if (k > 0)
		snprintf(m->name, sizeof(m->name), "%.*s/%.*s", (int)k, prefix,
			 (int)n, name);
	else
		snprintf(m->name, sizeof(m->name), "%.*s", (int)n, name);
	return n > 0 && name_good(m->name) ? 0 : -EBADMSG;
}

int archive_parse(const uint8_t block[ARCHIVE_BLOCK],
		  struct archive_member *ret_member)
{
	static const uint8_t zeros[ARCHIVE_BLOCK];
	struct archive_member m;
	uint64_t sum;

	if (memcmp(block, zeros, ARCHIVE_BLOCK) == 0)
		return 0;
	if (read_octal(block + SUM_AT, SUM_SIZE, &sum) < 0 ||
	    sum != sum_of(block) ||
	    memcmp(block + MAGIC_AT, magic, sizeof(magic)) != 0)
		return -EBADMSG;
	if ((block[TYPE_AT] != '0' && block[TYPE_AT] != '\0') ||
	    read_name(block, &m) < 0 ||
	    read_octal(block + SIZE_AT, SIZE_SIZE, &m.size) < 0 ||
	    read_octal(block + TIME_AT, SIZE_SIZE, &m.time_s) < 0 ||
	    m.size >= ARCHIVE_SIZE_MAX)
		return -EBADMSG;
	*ret_member = m;
	return 1;
}

/* --- writing ----------------------------------------------------------------
 */

static void write_octal(uint8_t *field, unsigned size, uint64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%0*llo", (int)size - 1,
		 (unsigned long long)n);
	memcpy(field, text, size); /* with its zero byte */
}

/* A long name is split at a slash. */
static int write_name(uint8_t *block, const char *name)
{
	size_t n = strlen(name), at = 0;

	if (!name[0] || !name_good(name))
		return -EINVAL;
	if (n > NAME_SIZE) {
		at = n - NAME_SIZE - 1;
		at += strcspn(name + at, "/");
		if (at == n || at > PREFIX_SIZE || at == 0)
			return -ENAMETOOLONG;
		memcpy(block + PREFIX_AT, name, at++);
	}
	memcpy(block + NAME_AT, name + at, n - at);
	return 0;
}

int archive_begin(struct archive_writer *w, const struct archive_member *m)
{
	uint8_t block[ARCHIVE_BLOCK] = { 0 };
	int r = write_name(block, m->name);

	if (r < 0)
		return r;
	if (m->size >= ARCHIVE_SIZE_MAX)
		return -EFBIG;
	write_octal(block + MODE_AT, 8, 0600);
	write_octal(block + UID_AT, 8, 0);
	write_octal(block + GID_AT, 8, 0);
	write_octal(block + SIZE_AT, SIZE_SIZE, m->size);
	write_octal(block + TIME_AT, SIZE_SIZE,
		    m->time_s & (ARCHIVE_SIZE_MAX - 1));
	block[TYPE_AT] = '0';
	memcpy(block + MAGIC_AT, magic, sizeof(magic));
	write_octal(block + SUM_AT, SUM_SIZE - 1, sum_of(block));
	block[SUM_AT + SUM_SIZE - 1] = ' ';
	w->left = m->size;
	w->padding = (ARCHIVE_BLOCK - m->size % ARCHIVE_BLOCK) % ARCHIVE_BLOCK;
	return fd_write_all(w->fd, block, sizeof(block));
}

int archive_write(struct archive_writer *w, const void *data, size_t size)
{
	static const uint8_t zeros[ARCHIVE_BLOCK];
	size_t padding;
	int r;

	if (size > w->left)
		return -EFBIG;
	r = fd_write_all(w->fd, data, size);
	w->left -= size;
	if (r < 0 || w->left > 0)
		return r;
	padding = (size_t)w->padding;
	w->padding = 0;
	return fd_write_all(w->fd, zeros, padding);
}

int archive_end(struct archive_writer *w)
{
	static const uint8_t zeros[2 * ARCHIVE_BLOCK];

	return w->left > 0 ? -EINVAL
			   : fd_write_all(w->fd, zeros, sizeof(zeros));
}

/* --- reading ----------------------------------------------------------------
 */

static int read_exactly(int fd, void *data, size_t size)
{
	ssize_t n = fd_read_full(fd, data, size);

	if (n < 0)
		return (int)n;
	return (size_t)n == size ? 0 : -EBADMSG;
}

static int pass_over(struct archive_reader *r)
{
	uint8_t rest[8192];
	int error = 0;

	while (error == 0 && r->left + r->padding > 0) {
		uint64_t n = r->left ? r->left : r->padding;

		if (n > sizeof(rest))
			n = sizeof(rest);
		error = read_exactly(r->fd, rest, (size_t)n);
		if (r->left)
			r->left -= n;
		else
			r->padding -= n;
	}
	return error;
}

int archive_next(struct archive_reader *r, struct archive_member *ret_member)
{
	uint8_t block[ARCHIVE_BLOCK];
	int error = pass_over(r);

	if (error == 0)
		error = read_exactly(r->fd, block, sizeof(block));
	if (error < 0)
		return error;
	error = archive_parse(block, ret_member);
	if (error <= 0)
		return error;
	r->left = ret_member->size;
	r->padding = (ARCHIVE_BLOCK - r->left % ARCHIVE_BLOCK) % ARCHIVE_BLOCK;
	return 1;
}

int archive_read(struct archive_reader *r, void *data, size_t size,
		 size_t *ret_size)
{
	int error;

	if (size > r->left)
		size = (size_t)r->left;
	error = read_exactly(r->fd, data, size);
	if (error < 0)
		return error;
	r->left -= size;
	*ret_size = size;
	return 0;
}
