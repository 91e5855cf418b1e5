/* The store's memory, step 1: an event as bytes, and back without belief. */

#include "fs/record.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

/*
 * u32 length, u32 crc of the rest, then the fields in the order below, the
 * five texts without their NULs, zeros up to a multiple of 8. Little endian,
 * so a store can be carried to another machine.
 */
#define HEAD_BYTES  8U
#define FIXED_BYTES (8U + 10U * 8U + 8U + STORE_COMMAND_BYTES + 32U)

struct cursor {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static uint8_t *put(uint8_t *p, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		*p++ = (uint8_t)(value >> (8 * i));
	return p;
}

static uint8_t *put_bytes(uint8_t *p, const void *data, size_t size)
{
	memcpy(p, data, size);
	return p + size;
}

static const uint8_t *take_bytes(struct cursor *c, size_t size)
{
	const uint8_t *p = c->p;

	if (c->bad || size > c->left) {
		c->bad = true;
		return NULL;
	}
	c->p += size;
	c->left -= size;
	return p;
}

static uint64_t take(struct cursor *c, size_t bytes)
{
	const uint8_t *p = take_bytes(c, bytes);
	uint64_t value = 0;

	for (size_t i = 0; p && i < bytes; i++)
		value |= (uint64_t)p[i] << (8 * i);
	return value;
}

/* @size comes from a byte; @capacity has room for a NUL as well. */
static void take_text(struct cursor *c, size_t size, char *ret, size_t capacity)
{
	const uint8_t *p = take_bytes(c, size);

	if (!p || size >= capacity || memchr(p, '\0', size)) {
		c->bad = true;
		return;
	}
	memcpy(ret, p, size);
	ret[size] = '\0';
}

/* Reflected CRC-32C, four bits at a time. Small: it is for machines without
 * an instruction for it. */
static uint32_t crc_by_table(uint32_t crc, const uint8_t *p, size_t size)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	while (size-- > 0) {
		crc ^= *p++;
		crc = (crc >> 4) ^ table[crc & 15];
		crc = (crc >> 4) ^ table[crc & 15];
	}
	return crc;
}

#ifdef __x86_64__
/* Opening a store reads its whole index: there this is half of the time. */
__attribute__((target("sse4.2"))) static uint32_t crc_by_cpu(uint32_t crc,
							     const uint8_t *p,
							     size_t size)
{
	uint64_t wide = crc, word;

	for (; size >= 8; size -= 8, p += 8) {
		memcpy(&word, p, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	while (size-- > 0)
		crc = __builtin_ia32_crc32qi(crc, *p++);
	return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_by_cpu(~crc, data, size);
#endif
	return ~crc_by_table(~crc, data, size);
}

size_t record_write(const struct record *rec, void *buf)
{
	size_t name = strlen(rec->name), runtime = strlen(rec->runtime),
	       target = strlen(rec->target), reason = strlen(rec->reason),
	       confined = strlen(rec->confined);
	size_t size = HEAD_BYTES + FIXED_BYTES + name + runtime + target +
		      reason + confined;
	uint8_t *p = (uint8_t *)buf + HEAD_BYTES;

	size = (size + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
	p = put(p, rec->type, 1);
	p = put(p, rec->dir, 1);
	p = put(p, rec->flags, 1);
	p = put(p, name, 1);
	p = put(p, runtime, 1);
	p = put(p, target, 1);
	p = put(p, reason, 1);
	p = put(p, confined, 1);
	p = put(p, rec->id, 8);
	p = put(p, rec->draft_id, 8);
	p = put(p, rec->version, 8);
	p = put(p, rec->size_bytes, 8);
	p = put(p, rec->ino, 8);
	p = put(p, rec->prev, 8);
	p = put(p, rec->journal_epoch, 8);
	p = put(p, rec->journal_seq, 8);
	p = put(p, (uint64_t)rec->time_ns, 8);
	p = put(p, (uint64_t)rec->mtime_ns, 8);
	p = put(p, rec->uid, 4);
	p = put(p, rec->pid, 4);
	p = put_bytes(p, rec->command, sizeof(rec->command));
	p = put_bytes(p, rec->sha256, sizeof(rec->sha256));
	p = put_bytes(p, rec->name, name);
	p = put_bytes(p, rec->runtime, runtime);
	p = put_bytes(p, rec->target, target);
	p = put_bytes(p, rec->reason, reason);
	p = put_bytes(p, rec->confined, confined);
	memset(p, 0, (size_t)((uint8_t *)buf + size - p));

	put(buf, size, 4);
	put((uint8_t *)buf + 4,
	    crc32c(0, (uint8_t *)buf + HEAD_BYTES, size - HEAD_BYTES), 4);
	return size;
}

static bool sound(const struct record *rec)
{
	return rec->type >= RECORD_PUBLISHED && rec->type <= RECORD_PURGED &&
	       (unsigned)rec->dir < DIR_COUNT && name_valid(rec->name) &&
	       (!rec->target[0] || name_valid(rec->target)) &&
	       (!rec->runtime[0] || name_valid(rec->runtime)) &&
	       memchr(rec->command, '\0', sizeof(rec->command));
}

static void read_fields(struct cursor *c, struct record *rec)
{
	size_t name, runtime, target, reason, confined;
	const uint8_t *p;

	rec->type = (enum record_type)take(c, 1);
	rec->dir = (enum store_dir)take(c, 1);
	rec->flags = (unsigned)take(c, 1);
	name = take(c, 1);
	runtime = take(c, 1);
	target = take(c, 1);
	reason = take(c, 1);
	confined = take(c, 1);
	rec->id = take(c, 8);
	rec->draft_id = take(c, 8);
	rec->version = take(c, 8);
	rec->size_bytes = take(c, 8);
	rec->ino = take(c, 8);
	rec->prev = take(c, 8);
	rec->journal_epoch = take(c, 8);
	rec->journal_seq = take(c, 8);
	rec->time_ns = (int64_t)take(c, 8);
	rec->mtime_ns = (int64_t)take(c, 8);
	rec->uid = (uint32_t)take(c, 4);
	rec->pid = (uint32_t)take(c, 4);
	p = take_bytes(c, sizeof(rec->command));
	if (p)
		memcpy(rec->command, p, sizeof(rec->command));
	p = take_bytes(c, sizeof(rec->sha256));
	if (p)
		memcpy(rec->sha256, p, sizeof(rec->sha256));
	take_text(c, name, rec->name, sizeof(rec->name));
	take_text(c, runtime, rec->runtime, sizeof(rec->runtime));
	take_text(c, target, rec->target, sizeof(rec->target));
	take_text(c, reason, rec->reason, sizeof(rec->reason));
	take_text(c, confined, rec->confined, sizeof(rec->confined));
}

ssize_t record_read(struct record *ret_rec, const void *data, size_t size)
{
	struct cursor c = { .p = data, .left = size };
	struct record rec = { 0 };
	uint32_t crc;
	size_t length;

	if (size < HEAD_BYTES)
		return 0;
	length = take(&c, 4);
	crc = (uint32_t)take(&c, 4);
	if (length < HEAD_BYTES + FIXED_BYTES || length > RECORD_MAX_BYTES ||
	    length % RECORD_ALIGN != 0)
		return -EBADMSG;
	if (length > size)
		return 0;

	c.left = length - HEAD_BYTES;
	if (crc32c(0, c.p, c.left) != crc)
		return -EBADMSG;
	read_fields(&c, &rec);
	if (c.bad || c.left >= RECORD_ALIGN || !sound(&rec))
		return -EBADMSG;

	*ret_rec = rec;
	return (ssize_t)length;
}

static struct timespec to_timespec(int64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000),
			       .tv_nsec = (long)(ns % 1000000000) };

	if (ts.tv_nsec < 0) {
		ts.tv_sec--;
		ts.tv_nsec += 1000000000;
	}
	return ts;
}

static enum store_event event_of(const struct record *rec)
{
	switch (rec->type) {
	case RECORD_PUBLISHED:
		return STORE_PUBLISHED;
	case RECORD_REJECTED:
		return STORE_REJECTED;
	default:
		return STORE_REMOVED;
	}
}

void record_entry(const struct record *rec, struct store_entry *ret_entry)
{
	static const char hex[] = "0123456789abcdef";
	struct store_entry *e = ret_entry;

	memset(e, 0, sizeof(*e));
	e->event = event_of(rec);
	e->id = rec->id;
	e->draft_id = rec->draft_id;
	e->version = rec->version;
	e->size_bytes = rec->size_bytes;
	e->time = to_timespec(rec->time_ns);
	e->mtime = to_timespec(rec->mtime_ns);
	for (size_t i = 0; i < sizeof(rec->sha256); i++) {
		e->sha256[2 * i] = hex[rec->sha256[i] >> 4];
		e->sha256[2 * i + 1] = hex[rec->sha256[i] & 15];
	}
	memcpy(e->runtime, rec->runtime, sizeof(e->runtime));
	memcpy(e->reason, rec->reason, sizeof(e->reason));
	memcpy(e->target, rec->target, sizeof(e->target));
	memcpy(e->name, rec->name, sizeof(e->name));
	e->writer.uid = rec->uid;
	e->writer.pid = (pid_t)rec->pid;
	memcpy(e->writer.command, rec->command, sizeof(rec->command));
	memcpy(e->writer.confined, rec->confined, sizeof(rec->confined));
}
