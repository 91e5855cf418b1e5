#pragma once

/*
 * A descriptor of a program's stream (`data/NAME` of the store), for a runner
 * that has that storage: thox-storaged asks for it, thoxd makes it.
 *
 * Guarantees: nobody gets another program's file, whoever asks; one that may
 * write cannot make the file grow over its limit; and a file that is not the
 * one that was asked for is nobody's.
 */

#include <stdbool.h>
#include <stdint.h>

struct holding;
struct principal;

struct stream_wish {
	uint64_t inode; /* 0: none is wanted */
	uint64_t limit_bytes;
	bool write;
};

/* For the holder of @to, which is @asker's. -EPERM: it must not have one;
 * -ESTALE: the name has another file now; or why it cannot be opened. */
int stream_file_open(const struct principal *asker, const struct holding *to,
		     const struct stream_wish *wish, int *ret_fd);
