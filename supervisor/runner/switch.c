/*
 * Step 7, in a runner: the switch of C stacks.
 *
 * A stack that was left has the registers on its top, and below them where it
 * goes on. Elsewhere than on x86-64 and aarch64 the C library does it, with
 * two system calls.
 */

#include "runner/switch.h"

#include <stdint.h>
#include <stdlib.h>

#if defined(__x86_64__) && !defined(__ILP32__)

__asm__(".text\n"
	".p2align 4\n"
	".globl switch_stack\n"
	".hidden switch_stack\n"
	".type switch_stack, @function\n"
	"switch_stack:\n"
	"	.cfi_startproc\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size switch_stack, . - switch_stack\n");

void *switch_prepare(void *stack, size_t size, void (*entry)(void))
{
	uintptr_t top = ((uintptr_t)stack + size) & ~(uintptr_t)15;
	void **sp = (void **)top;

	/* As after a call: the stack's alignment is 16 and a return address. */
	*--sp = NULL;
	*--sp = (void *)entry;
	for (int i = 0; i < 6; i++)
		*--sp = NULL;
	return sp;
}

#elif defined(__aarch64__)

#define SAVED_BYTES 160

__asm__(".text\n"
	".p2align 4\n"
	".globl switch_stack\n"
	".hidden switch_stack\n"
	".type switch_stack, %function\n"
	"switch_stack:\n"
	"	stp x29, x30, [sp, #-160]!\n"
	"	stp x19, x20, [sp, #16]\n"
	"	stp x21, x22, [sp, #32]\n"
	"	stp x23, x24, [sp, #48]\n"
	"	stp x25, x26, [sp, #64]\n"
	"	stp x27, x28, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #16]\n"
	"	ldp x21, x22, [sp, #32]\n"
	"	ldp x23, x24, [sp, #48]\n"
	"	ldp x25, x26, [sp, #64]\n"
	"	ldp x27, x28, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	ldp x29, x30, [sp], #160\n"
	"	ret\n"
	".size switch_stack, . - switch_stack\n");

void *switch_prepare(void *stack, size_t size, void (*entry)(void))
{
	uintptr_t top = ((uintptr_t)stack + size) & ~(uintptr_t)15;
	void **sp = (void **)(top - SAVED_BYTES);

	for (size_t i = 0; i < SAVED_BYTES / sizeof(*sp); i++)
		sp[i] = NULL;
	sp[1] = (void *)entry; /* x30, where it returns to */
	return sp;
}

#else

#include <ucontext.h>

/* On the stack that it is of, at its lowest end or where it was left. */
void *switch_prepare(void *stack, size_t size, void (*entry)(void))
{
	ucontext_t *context = stack;

	getcontext(context);
	context->uc_stack.ss_sp = context + 1;
	context->uc_stack.ss_size = size - sizeof(*context);
	context->uc_link = NULL;
	makecontext(context, entry, 0);
	return context;
}

void switch_stack(void **save, void *to)
{
	ucontext_t here;

	*save = &here;
	swapcontext(&here, to);
}

#endif
