#pragma once

/*
 * thoxctl: its commands, and what they share.
 */

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "base/instance.h"

#define CTL_OPTIONS_MAX 16

/* An option of one command; the common ones are in ctl.c. */
struct ctl_option {
	const char *name;
	char letter;	      /* 0: none */
	const char *argument; /* what it is called; NULL: it takes none */
	const char *help;
};

/* What the command line said. */
struct ctl {
	struct instance in;
	bool json;
	const struct command *command;
	int argc; /* of what follows the command's name */
	char **argv;
	const char *values[CTL_OPTIONS_MAX]; /* of the command's options */
};

/* Does the command start an instance that does not run? */
enum command_start {
	START_NEVER,   /* exit code 3 instead */
	START_IF_DOWN, /* unless THOX_NO_AUTOSTART */
	START_UNNEEDED,
};

/*
 * One row for each command: help, the man page's test and the completions'
 * test read this table.
 */
struct command {
	const char *name; /* `ps`, `store ls` */
	const char *operands;
	const char *summary; /* one line, no full stop */
	const char *help;    /* whole sentences */
	int min_operands, max_operands;
	enum command_start start;
	int (*fn)(struct ctl *ctl); /* returns the exit code */
	/* behind the command's name; ended by a NULL name; or NULL */
	const struct ctl_option *options;
	/* the operands are for somebody else: from the first on, nothing is an
	 * option, and all but the first may be empty */
	bool passes_on;
};

/* What was given with an option of the command (the last time): NULL when it
 * was not; "" for one without an argument. */
const char *ctl_option(const struct ctl *ctl, const char *name);

extern const struct command ctl_commands[];
extern const size_t ctl_n_commands;

/* ctl_bus.c: as a process among the others */
int ctl_call(struct ctl *ctl);
int ctl_push(struct ctl *ctl);
int ctl_listen(struct ctl *ctl);
int ctl_bus(struct ctl *ctl);

/* ctl_events.c */
int ctl_events(struct ctl *ctl);

/* ctl_graph.c */
int ctl_graph(struct ctl *ctl);

/* ctl_top.c */
int ctl_top(struct ctl *ctl);

/* ctl_trace.c */
int ctl_trace(struct ctl *ctl);

/* ctl_control.c: what thoxd is asked */
int ctl_ps(struct ctl *ctl);
int ctl_status(struct ctl *ctl);
int ctl_signal(struct ctl *ctl); /* kill, terminate, pause, resume */
int ctl_mount(struct ctl *ctl);	 /* mount, unmount */
int ctl_daemon_reexec(struct ctl *ctl);
int ctl_shutdown(struct ctl *ctl);
/*
 * Ask thoxd, starting an instance where the command says so; takes
 * @arguments. CTL_OK and the value, or the exit code: all has been said.
 */
int ctl_request(struct ctl *ctl, const char *verb, json_t *arguments,
		json_t **ret_value);

/* What a command says of a PID or a program's name: {pid} or {name}; NULL for
 * what is neither. */
json_t *ctl_process_arguments(const char *text);

/* ctl_logs.c: what services have printed */
int ctl_logs(struct ctl *ctl);

/* ctl_machine.c: what this machine is, and what belongs to what on it */
int ctl_label(struct ctl *ctl);

/* ctl_tree.c */
int ctl_tree(struct ctl *ctl);

/* ctl_read.c: what the store holds; no thoxd needed */
int ctl_store_ls(struct ctl *ctl);
int ctl_store_cat(struct ctl *ctl);
int ctl_store_log(struct ctl *ctl);
int ctl_store_verify(struct ctl *ctl);

/* ctl_write.c */
int ctl_store_put(struct ctl *ctl);
int ctl_store_rollback(struct ctl *ctl);
int ctl_store_rm(struct ctl *ctl);

/* ctl_diff.c */
int ctl_store_diff(struct ctl *ctl);

/* ctl_storage_look.c: what programs keep */
int ctl_storage_ls(struct ctl *ctl);
int ctl_storage_stat(struct ctl *ctl);
int ctl_storage_rm(struct ctl *ctl);
int ctl_storage_adopt(struct ctl *ctl);
int ctl_storage_compact(struct ctl *ctl);
int ctl_locks(struct ctl *ctl);
int ctl_data_cat(struct ctl *ctl);
int ctl_data_put(struct ctl *ctl);

/* ctl_storage_export.c */
int ctl_storage_export(struct ctl *ctl);
int ctl_storage_import(struct ctl *ctl);

/* ctl_backup.c, ctl_restore.c: all of an instance; no thoxd needed */
int ctl_backup(struct ctl *ctl);
int ctl_restore(struct ctl *ctl);

/* ctl_kv.c: their keys */
int ctl_kv_get(struct ctl *ctl);
int ctl_kv_set(struct ctl *ctl);
int ctl_kv_del(struct ctl *ctl);
int ctl_kv_list(struct ctl *ctl);
int ctl_kv_dump(struct ctl *ctl);
int ctl_kv_watch(struct ctl *ctl);

/* ctl_service.c: orders for services */
int ctl_service_order(struct ctl *ctl);	 /* start, stop, restart, … */
int ctl_service_enable(struct ctl *ctl); /* enable, disable */
int ctl_daemon_reload(struct ctl *ctl);

/* ctl_service_look.c */
int ctl_service_list(struct ctl *ctl);
int ctl_service_status(struct ctl *ctl);
int ctl_service_show(struct ctl *ctl);
int ctl_service_question(struct ctl *ctl); /* is-active, … */
int ctl_service_tree(struct ctl *ctl);

/* ctl_service_text.c: their definitions and programs; no thoxd needed */
int ctl_service_cat(struct ctl *ctl);
int ctl_service_edit(struct ctl *ctl);
int ctl_service_rollback(struct ctl *ctl);
int ctl_who_can(struct ctl *ctl);

/* ctl_verify.c: a service definition in a file */
int ctl_verify(struct ctl *ctl);

/* Says `cannot …: strerror` and gives the exit code for it. */
int ctl_fail(const char *what, int r);

/* Is @file standard input, or output? */
static inline bool ctl_is_dash(const char *file)
{
	return strcmp(file, "-") == 0;
}
