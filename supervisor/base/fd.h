#pragma once

/*
 * Descriptors: closing, whole reads and writes, passing over a Unix socket.
 *
 * Every descriptor made here is O_CLOEXEC. Errors are negative errno.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Close and return -1; a negative @fd is left alone; errno is preserved. */
int fd_close(int fd);
void fd_closep(int *fd); /* for _cleanup_ */

/* Write all of it, or the error; EINTR is retried. */
int fd_write_all(int fd, const void *data, size_t size);

/* Read up to @size bytes until the end of file; the count, or the error. */
ssize_t fd_read_full(int fd, void *data, size_t size);
/* The same from @offset on, which is not moved: 0, or the error; @ret_done is
 * what came before that, too. */
int fd_read_at(int fd, void *data, size_t size, uint64_t offset,
	       size_t *ret_done);

/* A sealed memfd that holds @data: a text to hand to a runner. */
int fd_from_bytes(const char *name, const void *data, size_t size, int *ret_fd);

/* One that is kept and not waited for, to a high number: an event loop's table
 * is as long as the highest that it waits for. Returns where it is now, which
 * is @fd when there are no high numbers. */
int fd_set_aside(int fd);

int fd_set_nonblocking(int fd);
int fd_set_cloexec(int fd, int on);

/* What cannot be written is an error, of a pipe (SIGPIPE) as of a file at its
 * limit (SIGXFSZ). */
void fd_ignore_signals(void);

/* As many descriptors as this process may have. */
void fd_raise_limit(void);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_ns(void);
