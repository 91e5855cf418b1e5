#pragma once

/*
 * A pidfd that somebody else sent: is it what it is said to be?
 */

#include <stdbool.h>
#include <sys/types.h>

/*
 * True when @pidfd refers to process @pid, and that is a child of @parent,
 * alive or not yet reaped. Whoever reaps it may do so any time after.
 */
bool pidfd_is_child(int pidfd, pid_t pid, pid_t parent);
/* True when its process has ended, reaped or not. */
bool pidfd_has_ended(int pidfd);
