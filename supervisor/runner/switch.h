#pragma once

/*
 * Going from one C stack to another, in a few instructions.
 *
 * Only what a C function must keep for its caller is kept: registers, not the
 * signal mask, nor the modes of floating point, which nothing here changes.
 */

#include <stddef.h>

/*
 * Make @stack (its lowest byte; @size bytes) ready to be gone to for the first
 * time, where it calls @entry, which does not return: what to go to.
 */
void *switch_prepare(void *stack, size_t size, void (*entry)(void));

/* Leave this stack in @save, go on at @to. */
void switch_stack(void **save, void *to);
