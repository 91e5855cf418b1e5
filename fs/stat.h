#pragma once

/*
 * What a file is, without its times.
 *
 * To ask for a file's times makes the kernel note a finer one at its next
 * change (Linux 6.13), and from then on every other file that is written to
 * has a new time in its inode as well, which its sync then writes.
 */

struct statx;

/* All but the times of what @fd is. */
int stat_timeless(int fd, struct statx *ret_stat);
