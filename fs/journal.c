/* The way of a publication, step 2: written down whole, with one sync. */

#include "fs/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

/*
 * A head page, then records. Each carries the epoch of the head and a running
 * number, so what is left of an earlier epoch never looks like a successor.
 * The head of a new epoch needs no sync of its own: the sync of the epoch's
 * first record carries it, and until then there is nothing to lose.
 *
 * head:   "thoxjnl1" epoch boot[16] crc
 * record: epoch seq total crc record_size text_size flags 0; index record;
 *         text; zeros up to a multiple of 8. The crc is of all but the text,
 *         which the record's SHA-256 covers.
 */
#define JOURNAL_NAME ".journal"
#define HEAD_BYTES   36
#define START	     4096U
#define ENTRY_BYTES  40U
#define ZERO_BYTES   (256U << 10)

static const char magic[8] = "thoxjnl1";

struct entry {
	uint64_t epoch, seq;
	uint32_t total, crc, record_size, text_size, flags, reserved;
};
_Static_assert(sizeof(struct entry) == ENTRY_BYTES, "no padding");

static size_t align8(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

/* The running kernel's id; all zeros (never equal, see foreign_boot) when
 * there is no /proc. */
static void read_boot(uint8_t ret[JOURNAL_BOOT_BYTES])
{
	_cleanup_(fd_closep) int fd = -1;
	char text[37] = "";
	size_t n = 0;

	memset(ret, 0, JOURNAL_BOOT_BYTES);
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, 36) != 36)
		return;
	for (const char *p = text; *p && n < 2 * JOURNAL_BOOT_BYTES; p++) {
		int digit = *p >= 'a' ? *p - 'a' + 10 : *p - '0';

		if (*p == '-')
			continue;
		ret[n / 2] = (uint8_t)(ret[n / 2] << 4 | (digit & 15));
		n++;
	}
}

static int write_head(struct journal *j)
{
	uint8_t buf[HEAD_BYTES];
	uint32_t crc;

	memcpy(buf, magic, sizeof(magic));
	memcpy(buf + 8, &j->epoch, 8);
	memcpy(buf + 16, j->boot, JOURNAL_BOOT_BYTES);
	crc = crc32c(0, buf, 32);
	memcpy(buf + 32, &crc, 4);
	if (pwrite(j->fd, buf, sizeof(buf), 0) != sizeof(buf))
		return -EIO;
	memcpy(j->written_boot, j->boot, JOURNAL_BOOT_BYTES);
	return 0;
}

/* A head that makes no sense is an empty journal: an epoch's first sync wrote
 * it together with the first record. */
static int read_head(struct journal *j)
{
	uint8_t buf[HEAD_BYTES] = { 0 };
	uint64_t epoch = 0;
	uint32_t crc;

	if (pread(j->fd, buf, sizeof(buf), 0) < 0)
		return -errno;
	memcpy(&crc, buf + 32, 4);
	if (memcmp(buf, magic, 8) == 0 && crc32c(0, buf, 32) == crc) {
		memcpy(&epoch, buf + 8, 8);
		memcpy(j->written_boot, buf + 16, JOURNAL_BOOT_BYTES);
	}
	if (epoch != j->epoch || j->pos == 0) {
		j->epoch = epoch;
		j->seq = 0;
		j->pos = START;
	}
	return 0;
}

static int open_file(struct journal *j, bool create)
{
	int flags = (j->writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC |
		    O_NONBLOCK | (create ? O_CREAT : 0);
	struct stat st;

	j->fd = openat(j->rootfd, JOURNAL_NAME, flags, 0600);
	if (j->fd < 0)
		return errno == ENOENT && !create ? 0 : -errno;
	if (fstat(j->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	j->size = (uint64_t)st.st_size;
	return 0;
}

int journal_open(struct journal *j, int rootfd, bool writable)
{
	memset(j, 0, sizeof(*j));
	j->rootfd = rootfd;
	j->writable = writable;
	j->fd = -1;
	read_boot(j->boot);
	return open_file(j, false);
}

void journal_close(struct journal *j)
{
	j->fd = fd_close(j->fd);
}

bool journal_foreign_boot(const struct journal *j)
{
	static const uint8_t unknown[JOURNAL_BOOT_BYTES];

	return memcmp(j->boot, unknown, sizeof(unknown)) == 0 ||
	       memcmp(j->boot, j->written_boot, sizeof(unknown)) != 0;
}

bool journal_empty(const struct journal *j)
{
	return j->fd < 0 || j->pos <= START;
}

/* The entry at the current place: 1, or 0 when there is none. */
static int next_entry(struct journal *j, struct entry *ret)
{
	struct entry e;

	if (pread(j->fd, &e, sizeof(e), (off_t)j->pos) != sizeof(e))
		return 0;
	if (j->epoch == 0 || e.epoch != j->epoch || e.seq != j->seq)
		return 0;
	if (e.record_size > RECORD_MAX_BYTES ||
	    e.text_size > JOURNAL_INLINE_BYTES ||
	    e.total != align8(ENTRY_BYTES + e.record_size + e.text_size) ||
	    j->pos + e.total > j->size)
		return 0;
	*ret = e;
	return 1;
}

static uint32_t entry_crc(const struct entry *e, const void *record)
{
	struct entry copy = *e;

	copy.crc = 0;
	return crc32c(crc32c(0, &copy, sizeof(copy)), record, e->record_size);
}

int journal_follow(struct journal *j, journal_fn fn, void *user)
{
	_cleanup_(freep) uint8_t *buf = NULL;
	struct entry e;
	int r;

	if (j->fd < 0) {
		r = open_file(j, false);
		if (r < 0 || j->fd < 0)
			return r;
	}
	r = read_head(j);
	if (r < 0)
		return r;

	while (next_entry(j, &e) > 0) {
		struct record rec;

		if (!buf)
			buf = malloc(ENTRY_BYTES + RECORD_MAX_BYTES +
				     JOURNAL_INLINE_BYTES + 8);
		if (!buf)
			return -ENOMEM;
		if (pread(j->fd, buf, e.total, (off_t)j->pos) != e.total)
			return 0;
		if (entry_crc(&e, buf + ENTRY_BYTES) != e.crc ||
		    record_read(&rec, buf + ENTRY_BYTES, e.record_size) <= 0)
			return 0;
		rec.journal_epoch = e.epoch;
		rec.journal_seq = e.seq;
		r = fn(&rec, e.flags, buf + ENTRY_BYTES + e.record_size,
		       e.text_size, user);
		if (r != 0)
			return r < 0 ? r : 0;
		j->pos += e.total;
		j->seq++;
	}
	return 0;
}

void journal_batch_deinit(struct journal_batch *b)
{
	free(b->buf);
	memset(b, 0, sizeof(*b));
}

int journal_batch_room(struct journal_batch *b, size_t size, void **ret_text)
{
	size_t want = b->used + ENTRY_BYTES + RECORD_MAX_BYTES + size + 8;

	if (want > b->capacity) {
		size_t capacity = want + want / 2;
		uint8_t *buf = realloc(b->buf, capacity);

		if (!buf)
			return -ENOMEM;
		b->buf = buf;
		b->capacity = capacity;
	}
	/* The record's size is not known yet: the text waits behind the
	 * largest one and is moved up. */
	*ret_text = b->buf + b->used + ENTRY_BYTES + RECORD_MAX_BYTES;
	return 0;
}

void journal_batch_add(struct journal_batch *b, const struct record *rec,
		       unsigned flags, size_t size)
{
	uint8_t *p = b->buf + b->used, *record = p + ENTRY_BYTES;
	struct entry e = { .flags = flags, .text_size = (uint32_t)size };

	e.record_size = (uint32_t)record_write(rec, record);
	memmove(record + e.record_size, record + RECORD_MAX_BYTES, size);
	e.total = (uint32_t)align8(ENTRY_BYTES + e.record_size + size);
	memset(record + e.record_size + size, 0,
	       e.total - ENTRY_BYTES - e.record_size - size);
	memcpy(p, &e, sizeof(e));
	b->used += e.total;
	b->inlined += size;
}

static int extend(struct journal *j, uint64_t size)
{
	_cleanup_(freep) void *zeros = calloc(1, ZERO_BYTES);

	if (!zeros)
		return -ENOMEM;
	while (j->size < size) {
		ssize_t n = pwrite(j->fd, zeros, ZERO_BYTES, (off_t)j->size);

		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		j->size += (uint64_t)n;
	}
	return fdatasync(j->fd) < 0 ? -errno : 0;
}

/* Written zeros, not fallocate(): the first write into an unwritten extent
 * would make each sync a metadata commit. The head goes last: a journal that
 * has one is complete. */
static int create(struct journal *j)
{
	int r = 0;

	if (j->fd < 0)
		r = open_file(j, true);
	if (r == 0 && j->size < JOURNAL_FIRST_BYTES)
		r = extend(j, JOURNAL_FIRST_BYTES);
	if (r < 0)
		return r;
	if (getrandom(&j->epoch, sizeof(j->epoch), 0) != sizeof(j->epoch))
		return -EIO;
	j->epoch = (j->epoch >> 2) + 1;
	j->seq = 0;
	j->pos = START;
	r = write_head(j);
	if (r == 0 && (fsync(j->fd) < 0 || fsync(j->rootfd) < 0))
		r = -errno;
	return r;
}

int journal_reserve(struct journal *j, const struct journal_batch *b)
{
	int r;

	if (j->fd < 0 || j->epoch == 0 || j->size < JOURNAL_FIRST_BYTES) {
		r = create(j);
		if (r < 0)
			return r;
	}
	if (j->pos + b->used > j->size) {
		j->filled = true;
		return -ENOSPC;
	}
	return 0;
}

static void seal(struct journal *j, struct journal_batch *b)
{
	uint64_t seq = j->seq;

	for (size_t at = 0; at < b->used;) {
		struct entry e;

		memcpy(&e, b->buf + at, sizeof(e));
		e.epoch = j->epoch;
		e.seq = seq++;
		e.crc = entry_crc(&e, b->buf + at + ENTRY_BYTES);
		memcpy(b->buf + at, &e, sizeof(e));
		at += e.total;
	}
}

int journal_write(struct journal *j, struct journal_batch *b, bool sync)
{
	ssize_t n;
	struct entry e;

	seal(j, b);
	n = pwrite(j->fd, b->buf, b->used, (off_t)j->pos);
	if (n != (ssize_t)b->used)
		return n < 0 ? -errno : -EIO;
	if (sync && fdatasync(j->fd) < 0)
		return -EIO;
	for (size_t at = 0; at < b->used; at += e.total) {
		memcpy(&e, b->buf + at, sizeof(e));
		j->seq++;
	}
	j->pos += b->used;
	return 0;
}

int journal_cut(struct journal *j, bool sync)
{
	int r;

	if (j->fd < 0)
		return 0;
	if (j->filled && j->size < JOURNAL_MAX_BYTES)
		(void)!extend(j, j->size * 2); /* else it stays as it is */
	j->filled = false;
	j->epoch++;
	j->seq = 0;
	j->pos = START;
	r = write_head(j);
	if (r == 0 && sync && fdatasync(j->fd) < 0)
		r = -errno;
	return r;
}
