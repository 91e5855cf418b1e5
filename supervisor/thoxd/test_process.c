/*
 * The process table: whose exit it is, also when PIDs come round again and
 * exits come before births.
 */

#include "thoxd/process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "base/util.h"

static struct process_table table;
static struct process *told[8];
static int told_status[8];
static unsigned n_told;

static void exited(struct process *p, const struct process_exit *e)
{
	told[n_told] = p;
	told_status[n_told++] = e->status;
}

static void reset(void)
{
	memset(&table, 0, sizeof(table));
	n_told = 0;
}

static struct process_exit an_exit(pid_t pid, int status)
{
	return (struct process_exit){ .pid = pid, .status = status };
}

/* A pidfd of a child that lives until it is killed. */
static int living(pid_t *ret_pid)
{
	*ret_pid = fork();
	if (*ret_pid == 0) {
		pause();
		_exit(0);
	}
	return (int)syscall(SYS_pidfd_open, *ret_pid, 0);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Verify that an exit is told once and the process is out of the table. */
static void test_an_exit_is_told(void)
{
	struct process p = { 0 };
	struct process_exit e = an_exit(100, 7);

	reset();
	process_add(&table, &p, 100, -1, exited);
	CHECK_EQ(table.count, 1);
	CHECK(process_known(&table, 100));
	CHECK(process_exited(&table, &e));
	CHECK_EQ(n_told, 1);
	CHECK(told[0] == &p && told_status[0] == 7);
	CHECK_EQ(p.pid, 0);
	CHECK_EQ(table.count, 0);
	CHECK(!process_exited(&table, &e));
	CHECK_EQ(n_told, 1);
}

/* Verify that of two under one PID the older one gets the first exit. */
static void test_the_oldest_gets_the_exit(void)
{
	struct process old = { 0 }, young = { 0 };
	struct process_exit first = an_exit(100, 1), second = an_exit(100, 2);

	reset();
	process_add(&table, &old, 100, -1, exited);
	process_add(&table, &young, 100, -1, exited);
	CHECK(process_exited(&table, &first));
	CHECK(process_exited(&table, &second));
	CHECK(told[0] == &old && told_status[0] == 1);
	CHECK(told[1] == &young && told_status[1] == 2);
}

/* Verify that PIDs of one bucket do not take each other's exits. */
static void test_neighbours_in_a_bucket(void)
{
	struct process a = { 0 }, b = { 0 };
	struct process_exit e = an_exit(100 + PROCESS_BUCKETS, 3);

	reset();
	process_add(&table, &a, 100, -1, exited);
	process_add(&table, &b, 100 + PROCESS_BUCKETS, -1, exited);
	CHECK(process_exited(&table, &e));
	CHECK_EQ(n_told, 1);
	CHECK(told[0] == &b);
	CHECK_EQ(a.pid, 100);
}

/* Verify that an exit that comes before the birth waits for it. */
static void test_an_early_exit_is_remembered(void)
{
	struct process p = { 0 };
	struct process_exit e = an_exit(100, 9);

	reset();
	CHECK(!process_exited(&table, &e));
	process_add(&table, &p, 100, -1, exited);
	CHECK_EQ(n_told, 1);
	CHECK(told[0] == &p && told_status[0] == 9);
	CHECK_EQ(table.count, 0);
}

/* Verify that an early exit of another process of this PID is not taken by
 * one that lives. */
static void test_an_early_exit_of_another(void)
{
	struct process p = { 0 };
	struct process_exit e;
	pid_t pid;
	int fd;

	reset();
	fd = living(&pid);
	CHECK(fd >= 0);
	e = an_exit(pid, 9);
	CHECK(!process_exited(&table, &e));
	process_add(&table, &p, pid, fd, exited);
	CHECK_EQ(n_told, 0);
	CHECK_EQ(p.pid, pid);
	CHECK(process_lives(&table, pid));
	end(pid);
	CHECK(!process_lives(&table, pid));
	CHECK(process_exited(&table, &e));
	CHECK_EQ(n_told, 1);
}

/* Verify that exits of nobody do not grow without end. */
static void test_early_exits_are_bounded(void)
{
	struct process p = { 0 };
	struct process_exit e;

	reset();
	for (unsigned i = 1; i <= PROCESS_EARLY + 10; i++) {
		e = an_exit((pid_t)i, 0);
		CHECK(!process_exited(&table, &e));
	}
	process_add(&table, &p, 5, -1, exited);
	CHECK_EQ(n_told, 0); /* the oldest gave way */
	process_remove(&table, &p);
	process_add(&table, &p, PROCESS_EARLY + 10, -1, exited);
	CHECK_EQ(n_told, 1);
}

/* Verify that who was removed is told nothing. */
static void test_a_removed_one_is_not_told(void)
{
	struct process p = { 0 };
	struct process_exit e = an_exit(100, 0);

	reset();
	process_add(&table, &p, 100, -1, exited);
	process_remove(&table, &p);
	process_remove(&table, &p);
	CHECK(!process_exited(&table, &e));
	CHECK_EQ(n_told, 0);
	CHECK_EQ(table.count, 0);
}

/* Verify that a signal after the end reaches nobody, whoever has the PID. */
static void test_a_signal_goes_to_the_process(void)
{
	struct process p = { 0 };
	pid_t pid;
	int fd;

	reset();
	fd = living(&pid);
	process_add(&table, &p, pid, fd, exited);
	CHECK_EQ(process_signal(&p, 0), 0);
	end(pid);
	CHECK_EQ(process_signal(&p, SIGKILL), -ESRCH);
	process_remove(&table, &p);
	CHECK_EQ(process_signal(&p, SIGKILL), -ESRCH);
}

int main(void)
{
	RUN(test_an_exit_is_told);
	RUN(test_the_oldest_gets_the_exit);
	RUN(test_neighbours_in_a_bucket);
	RUN(test_an_early_exit_is_remembered);
	RUN(test_an_early_exit_of_another);
	RUN(test_early_exits_are_bounded);
	RUN(test_a_removed_one_is_not_told);
	RUN(test_a_signal_goes_to_the_process);
	return tap_done();
}
