#pragma once

/*
 * The teller: a process that says to the kernel what must be said in order
 * and may take long: "forget this name", and the answers that wait for it.
 *
 * The kernel forgets a name under its directory's lock, which some process
 * may hold that waits for an answer from thoxfs. So the loop and the
 * committer never do it themselves. Nor may a thread of theirs: it could not
 * be killed while it waits, thoxfs could not die, and no successor would come
 * to give that answer.
 *
 * What it is told goes through a pipe, so it is said also when thoxfs dies
 * right after.
 */

#include <stddef.h>

/* Forks; before any thread, and before confinement. @ret_fd is the caller's:
 * it takes whole messages of the FUSE protocol, which begin with their length,
 * each in one write. */
int teller_start(int fuse_fd, int *ret_fd);

/* Bytes that it has not taken yet. */
size_t teller_backlog(int fd);
