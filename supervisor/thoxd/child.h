#pragma once

/*
 * Children: runs that a process has started.
 *
 * A child has no more than its parent: not of memory, time, tasks,
 * descriptors and processes, not of policy; what it is given beyond that are
 * contexts and ends of pipes that its parent has. It ends with its parent:
 * when that ended by itself, the child is asked to, too, and is killed with
 * it otherwise.
 */

#include <stdbool.h>

struct native_call;
struct principal;

/* Answers process.run: a STATUS_…, or NATIVE_LATER. */
int child_run(struct native_call *c);

/* @parent ends: so do its children, at once where @hard. Again: nothing
 * happens. */
void child_parent_gone(struct principal *parent, bool hard);
