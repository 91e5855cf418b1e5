#pragma once

/*
 * How a run ended, in the words of CONTROL_RESULT.
 *
 * The wait status decides. What thoxd did to the process (it knows) says
 * whose signal it was; what the runner reported (it may lie) only chooses
 * between words for the same status: a program that exits with 1 may call
 * that an error, but never a success a limit.
 */

#include <stdbool.h>
#include <stdint.h>

#include "thoxd/message.h"

/* Why thoxd sent SIGKILL. */
enum cause {
	CAUSE_NONE,
	CAUSE_KILLED,	  /* somebody asked */
	CAUSE_TERMINATED, /* asked to terminate, and the grace time passed */
	CAUSE_WALL,
	CAUSE_CPU,
	CAUSE_TRAP,	/* it reported a forbidden call and lived on */
	CAUSE_PROTOCOL, /* it sent what is no message */
	CAUSE_SHUTDOWN,
};

struct result_facts {
	int status; /* as of wait(2) */
	enum cause cause;
	enum report report;
	uint64_t report_detail;
	uint64_t memory_bytes; /* the limits of the run */
	uint64_t cpu_ms;
	uint64_t wall_ms;
};

struct result {
	bool signalled;
	int code; /* or the signal */
	const char *reason;
	char detail[192]; /* "" when there is nothing to add */
};

void result_classify(const struct result_facts *f, struct result *ret);

/* "256 MiB", "1.5 s": for a person. */
void result_bytes_text(uint64_t bytes, char ret[32]);
void result_ms_text(uint64_t ms, char ret[32]);
