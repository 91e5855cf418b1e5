#pragma once

/*
 * thox-logd: one loop over the pipes of all services and the link to thoxd.
 *
 * Every stream has its turn; one that floods waits for its next turn like
 * any other, and its pipe fills, so that it slows down itself alone.
 */

#include <stdint.h>

/* Serve @link_fd (taken) into the directory @root_fd, and the journal at
 * @journal_fd (-1: none), until thoxd is gone; 0, or negative errno. */
int logd_serve(int link_fd, int root_fd, int journal_fd);
