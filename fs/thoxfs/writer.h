#pragma once

/*
 * Who is behind a request: read from /proc, as the kernel tells it, while the
 * thread waits for the answer. A thread that is gone reads as "?".
 */

#include <stdbool.h>
#include <sys/types.h>

#include "fs/store.h"

/* Remember /proc: to be called before the process confines itself. */
int writer_init(void);

/* @ret_killed: the thread is dying of a signal, so its close() is none of
 * its own doing. NULL allowed. */
void writer_of(pid_t tid, uid_t uid, struct store_writer *ret_writer,
	       bool *ret_killed);

/* Are both threads of one process? */
bool writer_same_process(pid_t a, pid_t b);
