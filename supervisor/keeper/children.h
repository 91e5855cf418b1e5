#pragma once

/*
 * The processes that the kernel calls this one's children: those it started
 * and those that a zygote made for it (CLONE_PARENT).
 */

#include <stdbool.h>
#include <sys/types.h>

/* Send SIGKILL to every child for which @chosen answers true: how many, or
 * negative errno when the list cannot be read. */
typedef bool (*children_chosen_fn)(pid_t pid, void *user);
int children_kill(children_chosen_fn chosen, void *user);
