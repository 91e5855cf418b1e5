#pragma once

/*
 * The terminal and its signals, as a program in the foreground meets them.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Its size; false when @fd is no terminal (the numbers are untouched). */
bool terminal_size(int fd, unsigned *ret_rows, unsigned *ret_columns);

/*
 * Block the signals that a run passes on. They are then read from the
 * descriptor of terminal_signals(); both stay until the process ends.
 */
int terminal_block(void);
/* While no run is under way: a prompt. The first keeps SIGINT blocked. */
void terminal_unblock(void);
void terminal_unblock_all(void);
int terminal_signals(int *ret_fd);

/* The next pending signal, 0 when there is none; one that was ignored when
 * the process began (nohup, `&` in a script) is passed over. */
int terminal_next_signal(int fd);

/* Stop this process by @sig as the kernel would; true when it was stopped
 * and is continued, false when nothing can stop it (orphaned or ignored). */
bool terminal_stop(int sig);

/* May we read the terminal now? It sends SIGTTIN to the process group when in
 * the background, as a read would. -EIO: never (orphaned process group).
 * -EAGAIN: not now; a signal came that may end us, or the process is not to
 * @stop. @on_stop is called before and after a stop. */
int terminal_foreground(int fd, bool stop,
			void (*on_stop)(void *user, bool stopped), void *user);
