#pragma once

/*
 * Calls about processes, for the table of native.c.
 *
 *	run({…})	start a child (child.h): its PID, and a context that
 *			stands for it where it has another context 0
 *	list()		those that this process may know of
 *	info([pid])	one of them; without a PID: itself
 *	kill(pid), terminate(pid)
 *
 * A process may know of, and end, itself and all that came of it, and what
 * its policy lets it run.
 */

struct native_call;

int native_process_info(struct native_call *c);
int native_process_kill(struct native_call *c);
int native_process_list(struct native_call *c);
int native_process_run(struct native_call *c);
int native_process_terminate(struct native_call *c);
