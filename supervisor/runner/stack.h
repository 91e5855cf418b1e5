#pragma once

/*
 * C stacks of tasks: reserved whole, touched as far as used, with a page below
 * that nobody may touch.
 *
 * What is touched counts as the program's memory: a first part at once, the
 * rest by what is found when the stack is left. A few that have ended are kept
 * for the next task.
 */

#include <stddef.h>

struct stack;

/* NULL: no memory, or none that the program may have. */
struct stack *stack_new(void);
void stack_free(struct stack *s);

/* Ready to be gone to, from its top. */
void *stack_prepare(struct stack *s, void (*entry)(void));

/*
 * Go from one stack to another (NULL: the process's own). When it is come back
 * to: as if switch_stack() had returned. @gone: nobody comes back to @from.
 */
void stack_switch(struct stack *from, void **save, struct stack *to,
		  void *to_sp, int gone);
/* The first thing that the entry of a stack does. */
void stack_entered(void);
