/*
 * The table of system calls: every row, and each row's neighbours.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif

#include "base/tap.h"
#include "base/util.h"
#include "runner/rseq.h"
#include "runner/syscalls.h"
#include "runner/try_syscall.h"

/* No architecture here has more. */
#define LAST_SYSCALL 470

/* uretprobe and uprobe: the kernel itself (Linux 6.14) lets them past every
 * filter, and refuses them anywhere but in its own trampoline. */
#define FIRST_UNFILTERED 335
#define LAST_UNFILTERED	 336

static struct syscall_filter runner_filter, zygote_filter;

static enum try_result try_as(unsigned who, long nr, const uint64_t args[6],
			      int64_t *ret_number)
{
	return try_syscall(&zygote_filter,
			   who == WHO_RUNNER ? &runner_filter : NULL, nr, args,
			   ret_number);
}

/* Arguments that a row admits: zero where it asks for nothing. */
static void fitting(const struct syscall_row *row, uint64_t args[6])
{
	memset(args, 0, 6 * sizeof(args[0]));
	for (unsigned i = 0; i < row->n_args; i++) {
		const struct scmp_arg_cmp *a = &row->args[i];

		args[a->arg] =
			a->op == SCMP_CMP_MASKED_EQ ? a->datum_b : a->datum_a;
	}
}

/* Arguments that a row does not admit, differing in condition @i only. */
static void neighbouring(const struct syscall_row *row, unsigned i,
			 uint64_t args[6])
{
	const struct scmp_arg_cmp *a = &row->args[i];

	fitting(row, args);
	args[a->arg] = args[a->arg] + 1;
}

/* Does another row of the same call admit these? */
static bool is_admitted(int nr, unsigned who, const uint64_t args[6])
{
	for (size_t k = 0; k < n_syscall_rows; k++) {
		const struct syscall_row *row = &syscall_rows[k];
		bool holds = row->nr == nr && (row->who & who);

		for (unsigned i = 0; holds && i < row->n_args; i++) {
			const struct scmp_arg_cmp *a = &row->args[i];
			uint64_t value = args[a->arg];

			if (a->op == SCMP_CMP_EQ)
				holds = value == a->datum_a;
			else if (a->op == SCMP_CMP_LE)
				holds = value <= a->datum_a;
			else
				holds = (value & a->datum_a) == a->datum_b;
		}
		if (holds)
			return true;
	}
	return false;
}

static bool has_row(int nr, unsigned who)
{
	for (size_t i = 0; i < n_syscall_rows; i++)
		if (syscall_rows[i].nr == nr &&
		    (who ? (syscall_rows[i].who & who) != 0
			 : syscall_rows[i].who == 0))
			return true;
	return false;
}

/* Verify that every row has a reason, and that a runner's are a zygote's. */
static void test_rows_are_complete(void)
{
	for (size_t i = 0; i < n_syscall_rows; i++) {
		const struct syscall_row *row = &syscall_rows[i];

		CHECK(row->reason && strlen(row->reason) > 3);
		CHECK(row->n_args <= SYSCALL_ARGS_MAX);
		CHECK(!(row->who & WHO_RUNNER) || (row->who & WHO_ZYGOTE));
	}
}

static void check_rows(unsigned who)
{
	for (size_t i = 0; i < n_syscall_rows; i++) {
		const struct syscall_row *row = &syscall_rows[i];
		uint64_t args[6];
		int64_t number;

		if (!(row->who & who) || row->nr == SYS_rt_sigreturn)
			continue; /* that one needs a signal's frame */
		fitting(row, args);
		CHECK_EQ(try_as(who, row->nr, args, &number), TRY_ALLOWED);
		for (unsigned k = 0; k < row->n_args; k++) {
			neighbouring(row, k, args);
			if (is_admitted(row->nr, who, args))
				continue;
			CHECK_EQ(try_as(who, row->nr, args, &number),
				 TRY_TRAPPED);
			CHECK_EQ(number, row->nr);
		}
	}
}

/* Verify that each row admits what it says, and that the same call with one
 * argument beside it is trapped and reported by its number. */
static void test_runner_rows_and_neighbours(void)
{
	check_rows(WHO_RUNNER);
}

static void test_zygote_rows_and_neighbours(void)
{
	check_rows(WHO_ZYGOTE);
}

/* Verify that every other system call is trapped or kills. */
static void test_everything_else_is_refused(void)
{
	static const uint64_t none[6];

	for (int nr = 0; nr <= LAST_SYSCALL; nr++) {
		int64_t number;
		enum try_result t;

		if (has_row(nr, WHO_RUNNER) ||
		    (nr >= FIRST_UNFILTERED && nr <= LAST_UNFILTERED))
			continue;
		t = try_as(WHO_RUNNER, nr, none, &number);
		if (t != (has_row(nr, 0) ? TRY_KILLED : TRY_TRAPPED))
			printf("# system call %d\n", nr);
		CHECK_EQ(t, has_row(nr, 0) ? TRY_KILLED : TRY_TRAPPED);
		if (t == TRY_TRAPPED)
			CHECK_EQ(number, nr);
	}
}

/* Verify that a runner has none of what its zygote's filter allows beside its
 * own rows, with the very arguments that the zygote may use. */
static void test_the_zygotes_calls_are_refused(void)
{
	unsigned tried = 0;

	for (size_t i = 0; i < n_syscall_rows; i++) {
		const struct syscall_row *row = &syscall_rows[i];
		uint64_t args[6];
		int64_t number;

		fitting(row, args);
		if (row->who != WHO_ZYGOTE ||
		    is_admitted(row->nr, WHO_RUNNER, args))
			continue;
		tried++;
		CHECK_EQ(try_as(WHO_RUNNER, row->nr, args, &number),
			 has_row(row->nr, 0) ? TRY_KILLED : TRY_TRAPPED);
	}
	CHECK(tried >= 7); /* sanitizers ask for some of them, too */
}

/* Verify that the attacks one would think of meet their answer. */
static void test_attacks(void)
{
	static const struct {
		long nr;
		uint64_t args[6];
		enum try_result result;
	} attacks[] = {
		/* executable memory */
		{ SYS_mmap, { 0, 4096, 7, 0x22, -1 }, TRY_TRAPPED },
#ifndef THOX_SANITIZED /* which has rows of its own */
		{ SYS_mmap, { 0x10000, 4096, 3, 0x32, -1 }, TRY_TRAPPED },
		{ SYS_mmap, { 0, 4096, 3, 0x02, 0 }, TRY_TRAPPED },
		{ SYS_mmap, { 0, 4096, 3, 0x01, 4 }, TRY_TRAPPED },
		{ SYS_madvise,
		  { 0x10000, 4096, 4 /* DONTNEED */ },
		  TRY_TRAPPED },
		{ SYS_madvise,
		  { 0x10000, 4096, 12 /* MERGEABLE */ },
		  TRY_TRAPPED },
		{ SYS_openat, { -100, 0, 0 }, TRY_TRAPPED },
#endif
		{ SYS_mprotect, { 0x10000, 4096, 5 }, TRY_TRAPPED },
		/* signals to others: directly, and by a socket's owner */
		{ SYS_kill, { 1, 9 }, TRY_TRAPPED },
		{ SYS_tgkill, { 1, 1, 9 }, TRY_TRAPPED },
		{ SYS_fcntl, { 3, 8 /* F_SETOWN */, 1 }, TRY_TRAPPED },
		{ SYS_fcntl, { 3, 10 /* F_SETSIG */, 9 }, TRY_TRAPPED },
		{ SYS_fcntl, { 1, 4 /* F_SETFL */, 0x2002 }, TRY_TRAPPED },
		/* a socket of one's own in the control link's place */
		{ SYS_fcntl,
		  { 0, 1030 /* F_DUPFD_CLOEXEC */, 3 },
		  TRY_TRAPPED },
		{ SYS_ioctl, { 1, 0x5412 /* TIOCSTI */, 0 }, TRY_TRAPPED },
		/* another's clock, another socket */
		{ SYS_clock_gettime, { -2 & 0xffffffff, 0 }, TRY_TRAPPED },
		{ SYS_sendmsg, { 1, 0, 0 }, TRY_TRAPPED },
		{ SYS_recvmsg, { 4, 0, 0 }, TRY_TRAPPED },
		{ SYS_sendto, { 4, 0, 0, 0, 1, 16 }, TRY_TRAPPED },
		{ SYS_recvfrom, { 4, 0, 0, 0, 1, 0 }, TRY_TRAPPED },
		{ SYS_socket, { 1, 5, 0 }, TRY_TRAPPED },
		/* what files know besides bytes at a place */
		{ SYS_ftruncate, { 4, 0 }, TRY_TRAPPED },
		{ SYS_fallocate, { 4, 0, 0, 4096 }, TRY_TRAPPED },
		{ SYS_pwritev, { 4, 0, 0, 0 }, TRY_TRAPPED },
		{ SYS_pwritev2, { 4, 0, 0, 0, 0, 0 }, TRY_TRAPPED },
		{ SYS_preadv2, { 4, 0, 0, 0, 0, 0 }, TRY_TRAPPED },
		{ SYS_copy_file_range, { 4, 0, 4, 0, 1, 0 }, TRY_TRAPPED },
		{ SYS_sendfile, { 4, 4, 0, 1 }, TRY_TRAPPED },
		{ SYS_fchmod, { 4, 04777 }, TRY_TRAPPED },
		{ SYS_fchown, { 4, 0, 0 }, TRY_TRAPPED },
		{ SYS_fsetxattr, { 4, 0, 0, 0, 0 }, TRY_TRAPPED },
		{ SYS_flock, { 4, 2 }, TRY_TRAPPED },
		{ SYS_fsync, { 4 }, TRY_TRAPPED },
		{ SYS_linkat, { 4, 0, -100, 0, 0x1000 }, TRY_TRAPPED },
		{ SYS_fcntl, { 4, 1024 /* F_SETLEASE */, 1 }, TRY_TRAPPED },
		{ SYS_fcntl, { 4, 37 /* F_OFD_SETLK */, 0 }, TRY_TRAPPED },
		{ SYS_writev, { 4, 0, 0 }, TRY_TRAPPED },
		/* new processes and programs */
		{ SYS_clone, { 17, 0, 0 }, TRY_KILLED },
		{ SYS_clone, { 0x9000, 0, 0 }, TRY_KILLED }, /* a zygote's */
		{ SYS_execve, { 0, 0, 0 }, TRY_KILLED },
		{ SYS_ptrace, { 0, 0, 0 }, TRY_KILLED },
		{ SYS_bpf, { 0, 0, 0 }, TRY_KILLED },
		{ SYS_process_vm_readv, { 1, 0, 0 }, TRY_KILLED },
		/* the x32 numbers of the same calls */
		{ 0x40000000 | SYS_getpid, { 0 }, TRY_KILLED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
		int64_t number;

		printf("# attack %zu: system call %ld\n", i, attacks[i].nr);
		CHECK_EQ(try_as(WHO_RUNNER, attacks[i].nr, attacks[i].args,
				&number),
			 attacks[i].result);
	}
}

/* Verify that a zygote makes runners only: no other clone, no other program. */
static void test_zygote_clones_runners_only(void)
{
	static const uint64_t runner[6] = { 0x9000 };
	static const uint64_t thread[6] = { 0x9100 };
	static const uint64_t plain[6] = { 17 };
	static const uint64_t none[6];
	int64_t number;

	CHECK_EQ(try_as(WHO_ZYGOTE, SYS_clone, runner, &number), TRY_ALLOWED);
	CHECK_EQ(try_as(WHO_ZYGOTE, SYS_clone, thread, &number), TRY_TRAPPED);
	CHECK_EQ(try_as(WHO_ZYGOTE, SYS_clone, plain, &number), TRY_TRAPPED);
	CHECK_EQ(try_as(WHO_ZYGOTE, SYS_clone3, none, &number), TRY_KILLED);
	CHECK_EQ(try_as(WHO_ZYGOTE, SYS_execve, none, &number), TRY_KILLED);
}

/* Verify that a zygote cannot have strangers signalled. */
static void test_zygote_owns_no_signal(void)
{
	static const uint64_t owner[6] = { 3, 8 /* F_SETOWN */, 1 };
	static const uint64_t which[6] = { 3, 10 /* F_SETSIG */, 9 };
	int64_t number;

	CHECK_EQ(try_as(WHO_ZYGOTE, SYS_fcntl, owner, &number), TRY_TRAPPED);
	CHECK_EQ(try_as(WHO_ZYGOTE, SYS_fcntl, which, &number), TRY_TRAPPED);
}

/* Verify that the kernel has no place of the zygote's left that it would write
 * to: it takes the one that libc had again. */
static void test_rseq_is_left(void)
{
#ifdef RSEQ_SIG
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size > 0)
		CHECK_EQ(syscall(SYS_rseq, area, 32, 0, RSEQ_SIG), -1);
	rseq_leave();
	if (__rseq_size > 0)
		CHECK_EQ(syscall(SYS_rseq, area, 32, 0, RSEQ_SIG), 0);
#endif
	rseq_leave();
	rseq_leave(); /* nothing there any more: nothing happens */
	CHECK(true);
}

int main(void)
{
	if (syscall_filter_build(WHO_RUNNER, &runner_filter) < 0 ||
	    syscall_filter_build(WHO_ZYGOTE, &zygote_filter) < 0)
		return 1;
	RUN(test_rows_are_complete);
	RUN(test_runner_rows_and_neighbours);
	RUN(test_zygote_rows_and_neighbours);
	RUN(test_everything_else_is_refused);
	RUN(test_the_zygotes_calls_are_refused);
	RUN(test_attacks);
	RUN(test_zygote_clones_runners_only);
	RUN(test_zygote_owns_no_signal);
	RUN(test_rseq_is_left);
	syscall_filter_deinit(&runner_filter);
	syscall_filter_deinit(&zygote_filter);
	return tap_done();
}
