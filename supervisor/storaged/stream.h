#pragma once

/*
 * Streams: the one rewritable file that each program has, `data/NAME` of the
 * store, the same bytes that the mount shows.
 *
 * Whole replacement is atomic and durable: whoever opens the name finds the
 * old bytes or the new ones, after a crash too, and who has the old ones open
 * keeps them. Positioned reads and writes are plain, and synced when asked.
 * Bulk bytes do not come here: who has a descriptor reads and writes itself.
 *
 * Errors: -ENOENT no such stream, -EFBIG over the limit, -ENOSPC, -EPERM not
 * a plain file, -EINVAL a bad name or offset, what the system says.
 */

#include <ev.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "rpc/mp.h"
#include "storaged/value.h"
#include "storaged/worker.h"

struct streams {
	struct ev_loop *loop;
	struct workers *workers;
	int data_fd; /* owned: `data` of the store */
	int tmp_fd;  /* owned: on the same disk, ours alone */
	int watch_fd;
	ev_io watch;
	uint64_t last; /* of the temporary files' numbers */
	/* This name has another file now, or none; NULL: any may have. */
	void (*replaced)(void *user, const char *name);
	void *user;
};

/* Takes both descriptors, also when it fails. */
int streams_init(struct streams *s, struct ev_loop *loop,
		 struct workers *workers, int data_fd, int tmp_fd);
void streams_deinit(struct streams *s);

struct stream_info {
	uint64_t size_bytes;
	uint64_t inode; /* another one after each replacement */
	int64_t modified_ns;
};
int stream_stat(struct streams *s, const char *name,
		struct stream_info *ret_info);

/* The file that is there, to be read. */
int stream_open(struct streams *s, const char *name, uint64_t *ret_inode,
		int *ret_fd);

/* Up to @size bytes; @ret_blob is the caller's. */
int stream_read(struct streams *s, const char *name, uint64_t offset,
		size_t size, struct blob **ret_blob);
/* Makes the file when there is none. All of @data, or an error and then
 * perhaps some of it. */
int stream_write(struct streams *s, const char *name, uint64_t offset,
		 struct mp_bytes data, uint64_t limit_bytes);
int stream_truncate(struct streams *s, const char *name, uint64_t size,
		    uint64_t limit_bytes);
int stream_remove(struct streams *s, const char *name);

/*
 * What takes a disk's time: done() runs in the loop, with @result set. The
 * struct is the caller's until then.
 */
struct stream_task {
	struct job job;
	struct streams *streams;
	char name[256];
	char tmp[32];
	struct blob *data; /* of a replacement; NULL: sync what is there */
	int result;
	void (*done)(struct stream_task *t);
	void *user;
};
/* Replace the whole by @data (a reference is taken over). */
int stream_replace(struct streams *s, const char *name, struct blob *data,
		   uint64_t limit_bytes, struct stream_task *t);
/* What was written is to survive. */
int stream_sync(struct streams *s, const char *name, struct stream_task *t);
