#pragma once

/*
 * Lines to systemd's journal as well, in its native protocol
 * (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): a datagram for each.
 *
 * The files are the record: a journal that takes nothing just now misses a
 * line, and nobody waits for it.
 */

#include "logd/line.h"

/* The socket at @path, connected: -errno. */
int journal_open(const char *path, int *ret_fd);
void journal_send(int fd, const char *service, const struct line *line);
