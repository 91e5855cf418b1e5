#pragma once

/*
 * What the store's side and the verifier say to each other, as bytes.
 *
 * Both are records of a SOCK_SEQPACKET pair. The verifier's child may have
 * been taken over by the text that it parsed, so a reply is read like any
 * foreign bytes; a request is, because it costs nothing. Integers are in the
 * machine's order: both ends are on it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/name.h"
#include "fs/verify.h"

/* A longer text goes as a descriptor. */
#define VERIFY_INLINE_BYTES  (48U << 10)
#define VERIFY_MESSAGE_BYTES (VERIFY_INLINE_BYTES + 512)

struct verify_request {
	uint32_t seq;
	enum store_dir dir;
	bool by_fd;
	const char *name; /* NUL-terminated, within the message */
	const char *text; /* unless @by_fd; NUL-terminated */
	size_t size;
};

enum verify_reply_kind {
	VERIFY_GOOD,
	VERIFY_BAD,    /* @reason */
	VERIFY_DIED,   /* @signal ended the child */
	VERIFY_BROKEN, /* @reason: there can be no verdict */
};

struct verify_reply {
	uint32_t seq;
	enum verify_reply_kind kind;
	int signal;
	char reason[VERIFY_REASON_BYTES]; /* as sent: perhaps not printable */
	char runtime[NAME_MAX_BYTES + 1];
	uint32_t n_needs;
	struct verify_need needs[VERIFY_NEEDS_MAX];
};

/* The bytes of a request before its text, in @buf of VERIFY_MESSAGE_BYTES. */
size_t verify_request_write(const struct verify_request *request, void *buf);
/* @data must have a writable byte behind its @size: it becomes the NUL. */
int verify_request_read(struct verify_request *ret_request, void *data,
			size_t size);

/* In @buf of VERIFY_REPLY_BYTES. */
#define VERIFY_REPLY_BYTES 1024
size_t verify_reply_write(const struct verify_reply *reply, void *buf);
int verify_reply_read(struct verify_reply *ret_reply, const void *data,
		      size_t size);

/* One record with at most one descriptor (-1: none). @flags as of sendmsg. */
int verify_send(int fd, const void *data, size_t size, const void *more,
		size_t more_size, int pass_fd);
/* The size, 0 at the end of file. @ret_fd is -1 when none came. */
ssize_t verify_recv(int fd, void *data, size_t size, int *ret_fd);
