#pragma once

/*
 * `thoxctl top`: what thoxd tells at a moment, and what has become of it since
 * the moment before: parts of the processors, and calls a second.
 *
 * Names and texts are what thoxd sent, unescaped: ctl_top_text.h makes of them
 * what a terminal may see.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum top_kind {
	TOP_SERVICE,
	TOP_BACKGROUND, /* thox-exec -d */
	TOP_PROCESS,
};

#define TOP_UNKNOWN (-1.0) /* of a rate: it takes two moments */

struct top_process {
	pid_t pid;
	uint64_t cpu_us;
	uint64_t memory_bytes;
	uint64_t calls;
	uint64_t waiting;
	uint64_t counted_us; /* 0: it has not told its calls */
	double cpu_percent;  /* of one processor */
	double calls_s;
};

/* The sums of its processes. */
struct top_row {
	const char *name, *state, *why;
	enum top_kind kind;
	bool is_template;
	pid_t pid; /* the first; 0: none */
	unsigned n_processes;
	uint64_t memory_bytes;
	uint64_t waiting;
	uint64_t restarts;
	uint64_t wanted, running; /* instances */
	double cpu_percent;
	double calls_s;
};

struct top_data {
	json_t *value; /* owned: the texts are in it */
	uint64_t time_us;
	struct top_row *rows;
	size_t n_rows;
	struct top_process *processes; /* by PID */
	size_t n_processes;
	struct top_row total; /* name: NULL */
};

/* Which rows are wanted: by names, or patterns of names, as the user gave them.
 * `worker` means `worker:blue`, too. Without any: all. */
struct top_wanted {
	char *const *names;
	int n;
};

/* A struct of zeros has seen nothing yet. */
void top_data_deinit(struct top_data *t);

/*
 * The next moment, as thoxd answers the command `top`; takes @value. The rows
 * of the moment before are gone. -EBADMSG (@t is as it was): it is no such
 * answer; -ENOMEM.
 */
int top_data_take(struct top_data *t, const struct top_wanted *wanted,
		  json_t *value);

/* Of the next moment nothing is compared with this one: thoxd has changed. */
void top_data_forget(struct top_data *t);
