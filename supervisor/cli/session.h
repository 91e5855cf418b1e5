#pragma once

/*
 * One run: asked for, accompanied to its end, signals and terminal included.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "cli/options.h"
#include "cli/outcome.h"
#include "rpc/link.h"

/* Where an interactive run's input comes from when it is not the terminal:
 * a line with its line feed into @buf; 0 at the end; negative errno. */
typedef ssize_t (*session_input_fn)(void *user, char *buf, size_t size);

struct session {
	struct link link;
	const struct options *options;
	const char *name; /* to show */
	bool greeted;
	int signal_fd;
	int demand_fd;	  /* our end of the runner's stdin; -1: it has ours */
	bool demanded;	  /* the runner waits for input */
	bool watch_size;  /* its stdout is a terminal */
	bool interrupted; /* the next Ctrl-C kills */
	bool ending;	  /* asked to: it does not stop for the terminal */
	session_input_fn input;
	void *input_user;
};

enum session_event {
	SESSION_ENDED = 1, /* or left in the background: @outcome is filled */
	SESSION_EVALUATED, /* the text of session_eval() was run */
};

/*
 * Ask for the run of @o. 0; or the exit code to leave with, and everything
 * has been said (a record for --json included). @input: NULL unless stdin of
 * an interactive run is no terminal.
 */
int session_open(struct session *s, const struct options *o,
		 session_input_fn input, void *input_user);
/* Close what the program has and this process needs no more: its stdin and
 * stdout, unless they are terminals that are looked after here. So whoever is
 * at their other ends sees the program's end of them, and not ours. */
void session_let_go(const struct session *s);
void session_close(struct session *s);

/* Wait for what comes next; never negative: a lost thoxd is an outcome. */
enum session_event session_wait(struct session *s, struct outcome *ret_outcome);

/* Hand a text to an interactive run; session_wait() tells when it was run. */
int session_eval(struct session *s, const char *text, size_t size);

/* To the run: "interrupt", "terminate", "kill", "pause", "resume". */
int session_signal(struct session *s, const char *signal);
