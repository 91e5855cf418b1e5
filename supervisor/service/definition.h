#pragma once

/*
 * Service definitions: what `services/NAME` says.
 *
 * Parsed from bytes that anybody may have written; nothing is looked up but
 * through the caller's callback, so that a confined process can do it.
 * man/thox-service.5 documents the keys.
 *
 * A definition that uses `%i` is a template: it is parsed once more for each
 * instance, which takes the place of `%i`.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/name.h"
#include "service/machine.h"
#include "service/names.h"
#include "service/restart.h"
#include "service/schedule.h"

/* Every count that a definition can grow. */
#define DEFINITION_BYTES	 (64U << 10)
#define DEFINITION_LINE_BYTES	 198U /* what inih takes, as it is built */
#define DEFINITION_ARGS_MAX	 256U
#define DEFINITION_ENV_MAX	 128U
#define DEFINITION_SECRETS_MAX	 32U
#define DEFINITION_PROVIDES_MAX	 16U
#define DEFINITION_SERVICES_MAX	 256U /* in one list of [order] */
#define DEFINITION_PATTERNS_MAX	 256U /* in one list of [allow] */
#define DEFINITION_INSTANCES_MAX 256U
#define DEFINITION_NOTES_MAX	 32U
#define DEFINITION_NOTE_BYTES	 200U
#define DEFINITION_VALUE_BYTES	 1024U /* with its instance put in */

/* A new version that lives for so long after it took over is accepted. */
#define DEFINITION_SETTLE_MS 3000

/* A limit that was said to be none; 0 is one that was not said. */
#define DEFINITION_NONE UINT64_MAX

enum definition_activation {
	ACTIVATION_START, /* by a start only */
	ACTIVATION_CALL,  /* by a call of what it provides */
};

enum definition_type {
	TYPE_SIMPLE,
	TYPE_ONESHOT, /* does its work and ends */
};

enum definition_ready {
	READY_START,  /* when the process is there */
	READY_BIND,   /* when it has bound all that it provides */
	READY_NOTIFY, /* when it says os.ready() */
};

enum definition_group {
	GROUP_ONE,  /* who failed restarts alone */
	GROUP_REST, /* with the members that come after it */
	GROUP_ALL,  /* with all members */
};

/* Ends that count as success, besides the code 0. */
struct definition_success {
	uint64_t codes[4]; /* a bit for each */
	uint64_t signals;
};

struct definition {
	char *name;	/* of the service, without `.service` */
	char *instance; /* behind it; NULL: none, or a template as such */
	bool is_template;

	/* [service] */
	char *description; /* NULL: none */
	char *program;
	uint64_t program_version; /* 0: the newest */
	char *runtime;		  /* NULL: as the program has it */
	struct names args;
	struct names env;     /* NAME=VALUE */
	struct names secrets; /* NAME=FILE, below the configuration */
	struct names provides;
	bool autostart;
	enum definition_activation activation;
	uint64_t idle_timeout_ms; /* 0: stays */
	uint64_t instances;	  /* 0: not said */
	enum definition_type type;
	enum definition_ready ready;
	char *schedule_text;	   /* NULL: none */
	struct schedule *schedule; /* NULL: none */
	bool catch_up;

	/* what its machines go by: [restart], [stop] and the rest of [service],
	 * with `type`, too */
	struct machine_policy policy;

	/* [order]: names of services, instances with a colon */
	struct names requires, wants, after, before, part_of;

	/* [restart] */
	struct definition_success *success; /* NULL: 0 alone */
	char *on_limit; /* the service to start; NULL: fail only */
	enum definition_group policy_group;

	/* [health] */
	uint64_t watchdog_ms; /* 0: none */
	char *check;	      /* NULL: none */
	uint64_t interval_ms;
	uint64_t failures;

	/* [limits]: 0 not said, DEFINITION_NONE none */
	uint64_t memory_bytes, cpu_ms, cpu_percent, tasks, descriptors;
	uint64_t messages, output_rate_bytes, storage_bytes;

	/* [allow]: patterns; `!` before one denies, and wins */
	struct names call, bind, run, store;

	/* [log] */
	uint64_t log_keep, log_rotate_bytes, log_rotate_ms;
};

/* What is to be said of a text, in the order of its lines. */
struct definition_note {
	unsigned line; /* 0: of the whole */
	bool warning;  /* else an error */
	char text[DEFINITION_NOTE_BYTES];
};

struct definition_notes {
	struct definition_note items[DEFINITION_NOTES_MAX];
	size_t n;
	size_t errors, warnings; /* also those there was no room for */
};

/* What a definition speaks of and does not hold itself. */
struct definition_need {
	enum store_dir dir;
	const char *name;
	uint64_t version; /* 0: any */
	unsigned line;
};

/* Is it there? 1, 0, or -ENODATA when that cannot be known. */
struct definition_lookup {
	int (*has)(void *user, const struct definition_need *need);
	void *user;
};

struct definition_source {
	const char *name;     /* of the file, perhaps with `.service` */
	const char *instance; /* NULL: none */
	const char *text;     /* no NUL behind it is needed */
	size_t size;
	const struct definition_lookup *lookup; /* NULL: nothing is known */
	int64_t now_s; /* to tell a schedule that is past; 0: do not */
};

/* 0, -EINVAL when @ret_notes has an error, -ENOMEM. Warnings come with
 * either. */
int definition_parse(const struct definition_source *source,
		     struct definition **ret_definition,
		     struct definition_notes *ret_notes);
struct definition *definition_free(struct definition *d);

/* The first error, as `NAME:LINE: text`; "" without one. */
void definition_reason(const struct definition_notes *notes, const char *name,
		       char *ret, size_t size);

/* Does such an end count as a success? @signal 0: it exited with @code. */
bool definition_success(const struct definition *d, int code, int signal);

/* The keys there are, from 0 on; false behind the last. `env.NAME` and
 * `secret.NAME` stand for all of their kind. */
bool definition_key(size_t i, const char **ret_section, const char **ret_name);

/* --- names of services --------------------------------------------------- */

#define SERVICE_NAME_BYTES (2 * NAME_MAX_BYTES + 2)

/* `worker` or `worker:blue`; `.service` behind the name is taken away. */
struct service_ref {
	char name[NAME_MAX_BYTES + 1];
	char instance[NAME_MAX_BYTES + 1]; /* "" without one */
};

/* -EINVAL with the rule that was broken, a static string (NULL allowed). */
int service_ref_parse(const char *text, struct service_ref *ret_ref,
		      const char **ret_rule);
void service_ref_format(const char *name, const char *instance,
			char ret[SERVICE_NAME_BYTES]);
