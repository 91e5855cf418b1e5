#pragma once

/*
 * MessagePack as cursors: a reader over foreign bytes, a writer into memory.
 *
 * The reader never reads past its end and allocates nothing; the first wrong
 * or short item makes it bad for good: every later read gives zero, and
 * mp_end() tells. So a parser reads all fields first and asks once. The
 * writer is as sticky about running out of room.
 *
 * An own codec instead of msgpack-c, because both sides of the trust boundary
 * and the musl-static thox-exec share it, and because a cursor has no tree
 * that a peer could make large. test_mp.c holds it against msgpack-c.
 *
 * Format: https://github.com/msgpack/msgpack/blob/master/spec.md
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MP_DEPTH_MAX 64 /* arrays and maps in each other */

enum mp_type {
	MP_BAD, /* at the end, or a byte that starts nothing */
	MP_NIL,
	MP_BOOL,
	MP_INT,	 /* any integer: fits int64_t */
	MP_UINT, /* an integer over INT64_MAX */
	MP_DOUBLE,
	MP_STR,
	MP_BIN,
	MP_ARRAY,
	MP_MAP,
	MP_EXT,
};

struct mp_reader {
	const uint8_t *p;
	const uint8_t *end;
	bool bad;
	uint32_t n_ext; /* extensions among what mp_skip() has passed */
};

/* A string or binary: points into the message, not terminated. All zero is an
 * empty one. */
struct mp_bytes {
	const char *p;
	size_t size;
};

/* --- reading --- */
void mp_reader_init(struct mp_reader *r, const void *data, size_t size);
enum mp_type mp_peek(const struct mp_reader *r);

void mp_read_nil(struct mp_reader *r);
bool mp_read_bool(struct mp_reader *r);
int64_t mp_read_int(struct mp_reader *r);
uint64_t mp_read_uint(struct mp_reader *r);	  /* bad when negative */
double mp_read_double(struct mp_reader *r);	  /* float 32 or 64 */
struct mp_bytes mp_read_str(struct mp_reader *r); /* str or bin */
/* The number of items (of pairs) that follow; never more than bytes left. */
uint32_t mp_read_array(struct mp_reader *r);
uint32_t mp_read_map(struct mp_reader *r);
struct mp_bytes mp_read_ext(struct mp_reader *r, int8_t *ret_type);
/* One whole item of any type, nested at most MP_DEPTH_MAX deep. */
void mp_skip(struct mp_reader *r);
/* The same, and where its bytes are. */
struct mp_bytes mp_read_raw(struct mp_reader *r);

/* 0, or -EBADMSG when something was wrong or bytes are left over. */
int mp_end(const struct mp_reader *r);

bool mp_bytes_equal(struct mp_bytes b, const char *text);
/* Copy as a C string: -EINVAL with a NUL inside or when it does not fit. */
int mp_bytes_copy(struct mp_bytes b, char *ret, size_t size);

/* --- writing --- */
struct mp_writer {
	uint8_t *data;
	size_t size; /* room */
	size_t used;
	bool grows; /* data is malloc()ed and owned by the writer */
	bool bad;   /* did not fit, or no memory */
};

/* Into @data, which stays the caller's. */
void mp_writer_init(struct mp_writer *w, void *data, size_t size);
/* Into memory that grows; release with mp_writer_deinit(). */
void mp_writer_init_heap(struct mp_writer *w);
void mp_writer_deinit(struct mp_writer *w);

void mp_write_nil(struct mp_writer *w);
void mp_write_bool(struct mp_writer *w, bool value);
void mp_write_int(struct mp_writer *w, int64_t value);
void mp_write_uint(struct mp_writer *w, uint64_t value);
void mp_write_double(struct mp_writer *w, double value);
void mp_write_str(struct mp_writer *w, const char *text);
void mp_write_strn(struct mp_writer *w, const char *text, size_t size);
void mp_write_bin(struct mp_writer *w, const void *data, size_t size);
void mp_write_array(struct mp_writer *w, uint32_t count);
void mp_write_map(struct mp_writer *w, uint32_t count);
void mp_write_ext(struct mp_writer *w, int8_t type, const void *data,
		  size_t size);
void mp_write_raw(struct mp_writer *w, const void *data, size_t size);

/* 0, or -EMSGSIZE when it did not fit, -ENOMEM. */
int mp_writer_end(const struct mp_writer *w);
