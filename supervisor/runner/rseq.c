/*
 * Step 3, in the zygote: nothing that the kernel would have to keep up to date.
 */

#include "runner/rseq.h"

#include <sys/syscall.h>
#include <unistd.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h> /* glibc 2.35 */
#endif

#define AREA_BYTES 32 /* that libc registers, as the first kernels had it */

void rseq_leave(void)
{
#ifdef RSEQ_SIG
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size > 0)
		syscall(SYS_rseq, area, AREA_BYTES, RSEQ_FLAG_UNREGISTER,
			RSEQ_SIG);
#endif
}
