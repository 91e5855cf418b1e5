#pragma once

/*
 * The three streams of a process, and the ends of pipes that it has made, with
 * buffers.
 *
 * Whoever must wait waits in its task; others that use the same stream wait
 * for their turn. A task may be ended while it waits: the streams are whole at
 * that moment. stdout is flushed before anything goes to stderr, so that lines
 * come out in the order in which they were written.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runner/task.h"

enum stream_mode {
	STREAM_UNBUFFERED,
	STREAM_LINE,
	STREAM_FULL,
};

struct stream {
	int fd; /* -1: closed */
	enum stream_mode mode;
	bool reads;	       /* else it is written to */
	bool is_pipe;	       /* of os.pipe(), with a number of thoxd's … */
	uint64_t pipe;	       /* … as long as it is open */
	bool demand;	       /* stdin: asks for its input (rpc/control.h) */
	bool asked;	       /* … and has done so */
	struct task_turn turn; /* of whoever is inside a read or a write */
	char *buffer;	       /* static; NULL for stderr */
	size_t size;
	size_t start, end; /* what is in the buffer */
};

void stream_init(struct stream *s, int fd, enum stream_mode mode, char *buffer,
		 size_t size);

/* 0, or negative errno. */
int stream_write(struct stream *s, const char *data, size_t size);
int stream_flush(struct stream *s);

/* Wait for input when the buffer is empty: the count of bytes in it from
 * buffer[start] on, 0 at the end of file, or negative errno. */
ssize_t stream_fill(struct stream *s);

/* Flushes; 0, or negative errno. thoxd is told. */
int stream_close(struct stream *s);

/* Before the first pipe is made: writing to one that nobody reads is an error
 * from now on. To stdout and stderr it is still the end of the process. */
void stream_begin_pipes(void);

/* At the end of the process: what can be flushed, in whatever state. */
void stream_flush_last(struct stream *s);
