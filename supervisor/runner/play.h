#pragma once

/*
 * For tests: plays thoxd and the keeper towards one zygote and its runners.
 *
 * Everything waits as long as it takes; the test's harness has the deadline.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/link.h"

#define PLAY_UID 1879050000 /* of a zygote, as root */

struct play_zygote {
	struct link link;
	pid_t pid;
};

struct play_deny {
	int nr;	     /* this system call fails with EPERM in the zygote */
	int64_t arg; /* … when its first argument is this; -1: always */
};

/* Starts a zygote and sets it up: 0 when it is ready, or -1 and what it said
 * in @message (256 bytes). @runtime: a text, or NULL. @deny may be NULL. */
int play_open(struct play_zygote *z, const char *runtime,
	      const struct play_deny *deny, char *message);
void play_close(struct play_zygote *z);

struct play_runner {
	struct link link;
	pid_t pid;
	int output, error, input; /* ours; -1 when closed */
	int their_end;		  /* of the link, until it is born */
};

struct play_start {
	const char *name; /* default: test */
	const char *text;
	size_t text_size; /* default: strlen */
	const char *const *args;
	const char *const *env; /* name, value, …, NULL */
	uint64_t memory_bytes;	/* default: 64 MiB */
	uint64_t tasks;		/* default: not said */
	unsigned columns, rows;
	bool expression, interactive, demand_stdin;
	bool keep_stdio; /* the test's own instead of pipes */
};

int play_fork(struct play_zygote *z, struct play_runner *ret);
/* The same in two halves: asked for, and born. */
void play_ask(struct play_zygote *z, struct play_runner *ret);
int play_forked(struct play_zygote *z, struct play_runner *r);
int play_start(struct play_runner *r, const struct play_start *s);

void play_event(struct play_runner *r, const char *event, unsigned rows,
		unsigned columns);
void play_evaluate(struct play_runner *r, const char *text);

/* What one program did. */
struct play_result {
	int status; /* of wait */
	char output[65536];
	char error[65536];
	char report[32];
	int64_t detail;
};

/* The library of @name, or NULL, for runners that ask. */
typedef const char *(*play_library_fn)(const char *name);

/* Gathers output and errors until it is dead; answers what it asks. */
void play_wait(struct play_runner *r, play_library_fn library,
	       struct play_result *ret);

/* Wait until the runner has written @text to its output (kept in @ret), or
 * has ended. */
bool play_wait_output(struct play_runner *r, const char *text,
		      struct play_result *ret);
/* Wait for CONTROL_EVALUATE_DONE: its flag, or -1 when it has ended. */
int play_wait_evaluated(struct play_runner *r);

/* All of it in one: fork, start, wait. */
void play_run(struct play_zygote *z, const struct play_start *s,
	      struct play_result *ret);
