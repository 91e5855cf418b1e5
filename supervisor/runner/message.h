#pragma once

/*
 * What thoxd sends, taken apart: to a runner and to a zygote.
 *
 * Views point into the message. Whatever is wrong is -EBADMSG, and the
 * process that got it ends; unknown keys of maps are skipped.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/mp.h"

enum control_event {
	EVENT_UNKNOWN, /* a newer thoxd's: ignored */
	EVENT_INTERRUPT,
	EVENT_TERMINATE,
	EVENT_RESIZE,
	EVENT_RELOAD,
};

struct message_start {
	struct mp_bytes name;
	struct mp_bytes args;	 /* raw array of strings and contexts, or "" */
	struct mp_bytes env;	 /* raw map of strings to strings, "" without */
	struct mp_bytes secrets; /* as env */
	struct mp_bytes label, service; /* "" without */
	uint64_t memory_bytes;
	uint64_t tasks;		/* 0: not said */
	uint64_t messages;	/* likewise */
	uint64_t rows, columns; /* 0: stdout is no terminal */
	bool demand_stdin;
	bool interactive;
	bool expression;
};

struct message_event {
	enum control_event event;
	uint64_t rows, columns;
};

struct message_library {
	uint64_t id;
	int64_t status;
	struct mp_bytes text; /* name, or message unless OK */
};

struct message_setup {
	struct mp_bytes runtime;
	uint64_t uid;
	uint64_t memory_bytes;
};

struct message {
	int64_t kind; /* CONTROL_… */
	union {
		struct message_start start;
		struct message_event event;
		struct message_library library;
		struct mp_bytes text; /* CONTROL_EVALUATE */
		struct message_setup setup;
		int64_t token; /* CONTROL_FORK */
	};
};

/* 0, or -EBADMSG, also for a kind that neither takes. */
int message_parse(const void *data, size_t size, struct message *ret);

/* The value of @name in a raw map of strings; false: not there. */
bool message_lookup(struct mp_bytes map, const char *name,
		    struct mp_bytes *ret_value);
