#pragma once

/*
 * How a run ended: what thoxd says of it, and what the user is told.
 */

#include <stdbool.h>
#include <stdint.h>

#include "rpc/mp.h"

struct outcome {
	bool refused; /* it never began: status, detail and hint */
	uint64_t status;
	char hint[160];

	bool has_code, has_signal;
	int code, signal;
	char reason[24];
	char detail[1024];
	char name[160], runtime[160];
	char service[272]; /* of one that goes on in the background */
	uint64_t version, pid;
	uint64_t user_us, system_us, wall_us, memory_bytes;
};

/* From the rest of a CONTROL_RESULT or CONTROL_REFUSED, after its kind;
 * @items counts the kind. -EBADMSG. */
int outcome_parse_result(struct mp_reader *r, struct outcome *ret);
int outcome_parse_refused(struct mp_reader *r, uint32_t items,
			  struct outcome *ret);

/* Of a run that goes on in the background: from the rest of a
 * CONTROL_STARTED. */
int outcome_parse_started(struct mp_reader *r, uint32_t items,
			  struct outcome *ret);

/* One that thox itself is to blame for. */
void outcome_set_failure(struct outcome *o, const char *detail);

/* The exit code of thox-exec. */
int outcome_exit_code(const struct outcome *o);

/* A line on standard error for every end that the program did not choose;
 * @name is shown when thoxd gave none. */
void outcome_say(const struct outcome *o, const char *name);

/* The result record, as one line on standard error. */
void outcome_say_json(const struct outcome *o, const char *name);
