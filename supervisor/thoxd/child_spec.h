#pragma once

/*
 * The argument of `process.run`, decoded: what a process wants for its child.
 *
 * A pure function over foreign bytes. Whether the process may have that, and
 * whose the pipes and contexts in it are, is child.c's to say.
 */

#include <stdbool.h>
#include <stdint.h>

#include "rpc/mp.h"
#include "thoxd/spec.h"

#define CHILD_TEXT_BYTES (1U << 20) /* for stdin */
#define CHILD_ARGS_BYTES (1U << 20) /* args and env together */

enum stdio_kind {
	STDIO_INHERIT, /* the parent's own */
	STDIO_NULL,
	STDIO_PIPE,
	STDIO_TEXT, /* stdin only */
};

struct stdio_spec {
	enum stdio_kind kind;
	uint64_t pipe;
	struct mp_bytes text;
};

struct child_spec {
	struct run_spec run;
	struct mp_bytes code;  /* the text, when run.text */
	struct mp_bytes title; /* what it is called, which is in run.name */
	struct stdio_spec stdio[3];
	struct mp_bytes context; /* an encoded context; size 0: not said */
	struct mp_bytes storage; /* likewise */
	struct mp_bytes allow;	 /* encoded maps, for policy_narrow() */
	struct mp_bytes deny;
};

/* Everything points into @table. NULL, or what is wrong with it: a sentence
 * for its author. */
const char *child_spec_parse(struct mp_bytes table, struct child_spec *ret);

/* The contexts in the arguments: the next one, at most @size bytes on in
 * @args (advanced), as its encoded item; size 0: no more. */
struct mp_bytes child_spec_next_context(struct mp_reader *args);
