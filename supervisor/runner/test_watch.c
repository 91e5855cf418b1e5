/*
 * Waiting for one who was asked: in the receiving, while answers are quick.
 */

#include "runner/watch.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "runner/limits.h"
#include "runner/preempt.h"

#define PATIENCE_NS (20 * 1000000000ULL)

static struct watch asked, other;
static int asked_end, other_end; /* what is at the other side of each */
static unsigned n_answers, n_vain, n_waited, n_others;

static bool on_answer(struct watch *w)
{
	bool waits = watch_may_wait();
	char byte;

	if (recv(w->fd, &byte, 1, waits ? 0 : MSG_DONTWAIT) == 1) {
		watch_worked(false);
		n_answers++;
		n_waited += waits;
	} else {
		n_vain++;
	}
	return false;
}

static bool on_other(struct watch *w)
{
	char byte;

	n_others += recv(w->fd, &byte, 1, MSG_DONTWAIT) == 1;
	return false;
}

static void setup(void)
{
	int s[2], o[2];

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, o), 0);
	asked_end = s[1];
	other_end = o[1];
	CHECK_EQ(watch_add(&asked, s[0], on_answer), 0);
	CHECK_EQ(watch_add(&other, o[0], on_other), 0);
	watch_look(); /* they are new */
	n_others = n_vain = n_waited = 0;
}

static void teardown(void)
{
	int fds[] = { asked.fd, other.fd, asked_end, other_end };

	watch_remove(&asked);
	watch_remove(&other);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* A process that answers each byte some time later, until it is closed. */
static pid_t slow_answerer(void)
{
	const struct timespec later = { .tv_nsec = 3 * LIMIT_HOLD_NS };
	pid_t pid = fork();
	char byte;

	if (pid != 0)
		return pid;
	close(asked.fd);
	while (read(asked_end, &byte, 1) == 1) {
		nanosleep(&later, NULL);
		if (write(asked_end, &byte, 1) != 1)
			break;
	}
	_exit(0);
}

static void wait_for_answer(void)
{
	unsigned before = n_answers;

	watch_expect(&asked, true);
	while (n_answers == before)
		watch_sleep();
}

static void ask(int times)
{
	while (times-- > 0) {
		CHECK_EQ(write(asked.fd, "?", 1), 1);
		wait_for_answer();
	}
}

/* Verify that one who answers slowly is not looked at in vain each time, and
 * that another who comes meanwhile is heard. */
static void test_slow_answers(void)
{
	unsigned vain;
	pid_t pid;

	setup();
	pid = slow_answerer();
	ask(2 * LIMIT_RIGHT);
	vain = n_vain;
	n_waited = 0;
	ask(10);
	CHECK_EQ(n_vain, vain);
	CHECK_EQ(n_waited, 0);
	CHECK_EQ(write(other_end, "!", 1), 1);
	ask(1);
	CHECK_EQ(n_others, 1);
	teardown();
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

/* Verify that after slow answers quick ones are received without asking. */
static void test_quick_answers(void)
{
	uint64_t until_ns = clock_ns() + PATIENCE_NS;

	setup();
	while (n_waited == 0 && clock_ns() < until_ns) {
		CHECK_EQ(write(asked_end, "!", 1), 1);
		wait_for_answer();
	}
	CHECK(n_waited > 0);
	teardown();
}

int main(void)
{
	if (preempt_install() < 0)
		return 1;
	RUN(test_slow_answers);
	RUN(test_quick_answers);
	return tap_done();
}
