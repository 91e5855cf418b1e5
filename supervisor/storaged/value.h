#pragma once

/*
 * Values of keys: one MessagePack item each, as a call carries it.
 *
 * Foreign bytes: a caller's, or an archive's. Everything that a call can
 * carry is a value but a context, which ends with its link and so cannot be
 * kept.
 */

#include <stddef.h>
#include <stdint.h>

#include "rpc/mp.h"

/* Bytes that several hold; by the main thread alone. */
struct blob {
	uint32_t refs;
	uint32_t size;
	char data[];
};

struct blob *blob_new(const void *data, size_t size); /* NULL: no memory */
struct blob *blob_ref(struct blob *b);
void blob_unref(struct blob *b); /* NULL allowed */

/*
 * 0 when @raw is one whole value; -EBADMSG when it is none (or nested too
 * deep), -EXDEV for a context in it, -ENOTSUP for another extension, -EFBIG
 * over STORAGE_VALUE_BYTES.
 */
int value_check(struct mp_bytes raw);

/*
 * @value + @by, written to @w; @value without bytes counts as 0. Integers stay
 * integers. -EDOM when one of them is no number, -ERANGE when the sum leaves
 * the integers.
 */
int value_add(struct mp_bytes value, struct mp_bytes by, struct mp_writer *w);
