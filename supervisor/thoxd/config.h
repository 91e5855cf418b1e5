#pragma once

/*
 * thoxd.conf: INI, read once at the start. man/thoxd.8 documents the keys.
 *
 * A file that is not there is an empty one. An unknown key or a value that
 * is none is warned of, with its line, and passed over: a typing error must
 * not take the instance down.
 */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/instance.h"
#include "thoxd/policy.h"

struct config {
	/* [thoxd] */
	char *log_level;
	char *label; /* NULL: the host's name */
	uint64_t max_connections;
	uint64_t max_processes;
	uint64_t grace_ms;
	/* [mount] */
	bool mount;
	bool allow_other;
	char *mount_point; /* NULL: the instance's default */
	char *mount_options;
	/* [store] */
	uint64_t keep_versions;
	uint64_t file_limit_bytes;
	uint64_t quota_bytes;
	uint64_t absence_ms; /* of a name that is another program then */
	/* [limits]: of a run that says nothing else; 0: none */
	uint64_t memory_bytes;
	uint64_t cpu_ms;
	uint64_t wall_ms;
	uint64_t tasks;
	uint64_t descriptors; /* contexts and ends of pipes */
	uint64_t processes;   /* that come of one, at a time */
	/* [log] */
	bool journal;
	/* [exec]: patterns of each kind; NULL: not said */
	char *exec_allow[POLICY_KIND_COUNT];
	char *exec_deny[POLICY_KIND_COUNT];
	/* [zygote] */
	uint64_t pool;
	uint64_t zygote_starts;
	uint64_t zygote_age_ms;
	uint64_t zygote_answer_ms;
	uint64_t zygote_idle_ms;
	uint64_t zygote_memory_bytes;
	uid_t uid_first, uid_last;
};

void config_init(struct config *c, const struct instance *instance);
void config_deinit(struct config *c);

/* Complains through @warn (with @user), a line each. 0, or the error of
 * reading the file. */
typedef void (*config_warn_fn)(const char *file, int line, const char *message,
			       void *user);
int config_read(struct config *c, const char *path, config_warn_fn warn,
		void *user);

/* "256M", "1.5 GiB", "10min", "1h": 0, or -EINVAL. */
int config_parse_bytes(const char *text, uint64_t *ret);
int config_parse_ms(const char *text, uint64_t *ret);

/* What a program may that a user runs by hand: [exec], and what goes without
 * saying. 0, -ENOMEM, or -E2BIG: too many patterns. */
int config_exec_policy(const struct config *c, struct policy **ret_policy);
