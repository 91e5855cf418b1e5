#pragma once

/*
 * libc tells the kernel of a place for restartable sequences, and the kernel
 * writes there each time that the process goes on after it has waited: four
 * times in a call and its answer. Nothing here uses it.
 */

/* In the zygote: the kernel forgets it, for the runners, too. Where that
 * cannot be, all goes on, a little slower. */
void rseq_leave(void);
