#pragma once

/*
 * One stream of a service: the reading end of its pipe.
 *
 * A line leaves the pipe after it is in the file: what is read is a copy
 * (tee(2)), and is taken out of the pipe once it was written. So a
 * thox-logd that is killed loses nothing; the next one may write the last
 * lines a second time. What is not a whole line yet stays in the pipe.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "logd/file.h"
#include "logd/line.h"

struct stream {
	struct list list;
	struct list ready; /* in the ring of those that may have something */
	uint64_t number;
	int fd; /* owned; does not block */
	struct log_file *file;
	char instance[LINE_INSTANCE_BYTES + 1];
	bool error;
	pid_t pid;    /* 0: not told yet */
	bool cutting; /* inside a line that was cut already */
	uint64_t cut_bytes;
	size_t line_bytes;   /* at which a line is cut */
	uint64_t rate_bytes; /* a second; 0: no limit */
	uint64_t allowance_bytes;
	uint64_t refilled_us; /* when the allowance grew last */
};

enum stream_state {
	STREAM_IDLE,  /* nothing more for now: wait for the pipe */
	STREAM_MORE,  /* there may be more: its turn comes again */
	STREAM_SLOW,  /* over its rate: again in stream_wait_us() */
	STREAM_ENDED, /* its end was read, and all before it was written */
};

/* What all streams share: a pipe and buffers to copy through, and the journal
 * (-1: none). */
struct stream_desk;
int stream_desk_new(int journal_fd, struct stream_desk **ret_desk);

/* Takes @fd. */
struct stream *stream_new(uint64_t number, int fd, struct log_file *file);
struct stream *stream_free(struct stream *s);

/*
 * One bounded turn. Lines that the disk had no room for are counted in the
 * file's lost_lines and dropped; the error is in *ret_error then, else 0.
 */
enum stream_state stream_turn(struct stream *s, struct stream_desk *desk,
			      uint64_t now_us, int *ret_error);
uint64_t stream_wait_us(const struct stream *s, uint64_t now_us);
