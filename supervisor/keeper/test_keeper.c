/*
 * The keeper's parts: what thoxd asks, what is kept, how a process begins,
 * who is a child.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "keeper/children.h"
#include "keeper/kept.h"
#include "keeper/message.h"
#include "keeper/spawn.h"
#include "rpc/mp.h"

static uint8_t bytes[4096];
static struct mp_writer w;

static int parse(unsigned n_fds, struct keeper_request *q)
{
	return keeper_request_parse(bytes, w.used, n_fds, q);
}

static void write_spawn(uint64_t number)
{
	mp_writer_init(&w, bytes, sizeof(bytes));
	mp_write_array(&w, 6);
	mp_write_uint(&w, KEEPER_SPAWN);
	mp_write_uint(&w, 1);
	mp_write_str(&w, "zygote");
	mp_write_array(&w, 2);
	mp_write_str(&w, "-o");
	mp_write_str(&w, "");
	mp_write_array(&w, 1);
	mp_write_uint(&w, number);
	mp_write_map(&w, 1);
	mp_write_str(&w, "NAME");
	mp_write_str(&w, "a=b");
}

/* Verify that a spawn's lists come out whole and ended. */
static void test_a_spawn(void)
{
	struct keeper_request q;

	write_spawn(3);
	CHECK_EQ(parse(1, &q), 0);
	CHECK_STR(q.role, "zygote");
	CHECK(!q.args[0]);
	CHECK_STR(q.args[1], "-o");
	CHECK_STR(q.args[2], "");
	CHECK(!q.args[3]);
	CHECK_STR(q.env[0], "NAME=a=b");
	CHECK(!q.env[1]);
	CHECK_EQ(q.numbers[0], 3);
	keeper_request_deinit(&q);
}

/* Verify that a spawn with descriptors at wrong places is none. */
static void test_a_spawn_with_wrong_numbers(void)
{
	struct keeper_request q;

	write_spawn(3);
	CHECK_EQ(parse(0, &q), -EBADMSG);
	CHECK_EQ(parse(2, &q), -EBADMSG);
	write_spawn(2);
	CHECK_EQ(parse(1, &q), -EBADMSG);
	write_spawn(64);
	CHECK_EQ(parse(1, &q), -EBADMSG);
	write_spawn(1ULL << 32);
	CHECK_EQ(parse(1, &q), -EBADMSG);
}

/* Verify that a cut message, and one with a NUL in a string, is none. */
static void test_what_is_no_request(void)
{
	struct keeper_request q;
	size_t whole;

	write_spawn(3);
	whole = w.used;
	for (w.used = 0; w.used < whole; w.used++)
		CHECK_EQ(parse(1, &q), -EBADMSG);
	write_spawn(3);
	memcpy(memmem(bytes, w.used, "-o", 2), "-", 2);
	CHECK_EQ(parse(1, &q), -EBADMSG);
	mp_writer_init(&w, bytes, sizeof(bytes));
	mp_write_array(&w, 1);
	mp_write_uint(&w, KEEPER_EXITED);
	CHECK_EQ(parse(0, &q), -EBADMSG);
}

/* Verify that lists over their limits are refused. */
static void test_too_many_arguments(void)
{
	struct keeper_request q;

	mp_writer_init(&w, bytes, sizeof(bytes));
	mp_write_array(&w, 6);
	mp_write_uint(&w, KEEPER_SPAWN);
	mp_write_uint(&w, 1);
	mp_write_str(&w, "zygote");
	mp_write_array(&w, KEEPER_ARGS_MAX + 1);
	for (unsigned i = 0; i <= KEEPER_ARGS_MAX; i++)
		mp_write_str(&w, "x");
	mp_write_array(&w, 0);
	mp_write_map(&w, 0);
	CHECK_EQ(parse(0, &q), -E2BIG);
}

static int count_fds(const struct kept_entry *e, void *user)
{
	for (unsigned i = 0; i < e->n_fds; i++)
		*(int *)user += e->fds[i] >= 0;
	return 0;
}

/* Verify that names are kept once, replaced and dropped. */
static void test_kept(void)
{
	struct kept k = { 0 };
	int fds[2] = { dup(0), dup(0) }, other[2] = { dup(0), -1 };
	int a = fds[0], b = fds[1], c = other[0], n = 0;

	CHECK_EQ(kept_add(&k, "fuse", NULL, 0, 0, fds, 2), 0);
	CHECK_EQ(fds[0], -1);
	CHECK_EQ(kept_add(&k, "fuse", "record", 6, 0, other, 1), 0);
	CHECK(fcntl(a, F_GETFD) < 0 && fcntl(b, F_GETFD) < 0);
	CHECK_EQ(k.count, 1);
	other[0] = dup(0);
	other[1] = dup(0);
	CHECK_EQ(kept_add(&k, "other", NULL, 0, 0, other, 2), 0);
	kept_each(&k, count_fds, &n);
	CHECK_EQ(n, 3);
	kept_remove(&k, "fuse");
	kept_remove(&k, "fuse");
	CHECK(fcntl(c, F_GETFD) < 0);
	kept_deinit(&k);
	CHECK_EQ(k.count, 0);
}

static int find_exit(const struct kept_entry *e, void *user)
{
	if (e->exited)
		*(int *)user = e->status;
	return 0;
}

/* Verify that a kept process is known until its exit, which stays until its
 * name is dropped, also when the PID comes round again. */
static void test_kept_process(void)
{
	const struct rusage usage = { 0 };
	struct kept k = { 0 };
	int status = -1;

	CHECK_EQ(kept_add(&k, "a", "x", 1, 70, NULL, 0), 0);
	CHECK_EQ(kept_add(&k, "b", "y", 1, 70 + KEPT_BUCKETS, NULL, 0), 0);
	CHECK(kept_lives(&k, 70) && !kept_lives(&k, 71));
	kept_exited(&k, 70, 256, &usage);
	kept_exited(&k, 71, 512, &usage);
	CHECK(!kept_lives(&k, 70) && kept_lives(&k, 70 + KEPT_BUCKETS));
	/* a new record for the same process forgets nothing */
	CHECK_EQ(kept_add(&k, "a", "z", 1, 70, NULL, 0), 0);
	CHECK(!kept_lives(&k, 70));
	kept_each(&k, find_exit, &status);
	CHECK_EQ(status, 256);
	/* another process of the same number */
	CHECK_EQ(kept_add(&k, "c", NULL, 0, 70, NULL, 0), 0);
	CHECK(kept_lives(&k, 70));
	kept_remove(&k, "a");
	CHECK(kept_lives(&k, 70));
	kept_remove(&k, "c");
	CHECK(!kept_lives(&k, 70));
	kept_deinit(&k);
	CHECK_EQ(k.count, 0);
}

static int run(const char *script, const int *fds, const int *numbers,
	       unsigned n_fds)
{
	char *args[] = { (char *)"/bin/sh", (char *)"-c", (char *)script,
			 NULL };
	char *env[] = { (char *)"ONLY=1", NULL };
	struct spawn s = { .path = "/bin/sh",
			   .args = args,
			   .env = env,
			   .fds = fds,
			   .numbers = numbers,
			   .n_fds = n_fds };
	pid_t pid;
	int status = -1;

	if (spawn(&s, &pid) < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return status;
}

/* Verify that descriptors are at their numbers, also when these are taken by
 * each other. */
static void test_descriptors_are_in_place(void)
{
	static const int numbers[] = { 4, 3 };
	char three[] = "/tmp/thox-a.XXXXXX", four[] = "/tmp/thox-b.XXXXXX";
	int fds[2], status;

	fds[0] = mkostemp(four, O_CLOEXEC);
	fds[1] = mkostemp(three, O_CLOEXEC);
	CHECK(fds[0] >= 0 && fds[1] >= 0);
	status = run("echo 3 >&3; echo 44 >&4; test $ONLY = 1 || exit 5; "
		     "for f in /proc/$$/fd/6? /proc/$$/fd/7?; do "
		     "test -e $f && exit 6; done; exit 7",
		     fds, numbers, 2);
	unlink(three);
	unlink(four);
	CHECK_EQ(status, 7 << 8);
	CHECK_EQ(lseek(fds[1], 0, SEEK_END), 2);
	CHECK_EQ(lseek(fds[0], 0, SEEK_END), 3);
	close(fds[0]);
	close(fds[1]);
}

/* Verify that no signal is blocked or ignored in the child. */
static void test_signals_are_the_defaults(void)
{
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGTERM, SIG_IGN);
	CHECK_EQ(run("kill -TERM $$; exit 0", NULL, NULL, 0), SIGTERM);
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* Verify that an executable that is not there is an error of the spawn. */
static void test_no_such_executable(void)
{
	char *args[] = { (char *)"x", NULL };
	struct spawn s = { .path = "/nonexistent/x",
			   .args = args,
			   .env = args };
	pid_t pid;

	CHECK_EQ(spawn(&s, &pid), -ENOENT);
	CHECK(waitpid(-1, NULL, 0) > 0); /* its child is left to reap */
}

static bool is_it(pid_t pid, void *user)
{
	return pid == *(pid_t *)user;
}

/* Verify that children are found, and only the chosen one is killed. */
static void test_children(void)
{
	pid_t one = fork(), two;
	int status;

	if (one == 0)
		pause();
	two = fork();
	if (two == 0)
		pause();
	CHECK_EQ(children_kill(is_it, &one), 1);
	CHECK_EQ(waitpid(one, &status, 0), one);
	CHECK_EQ(status, SIGKILL);
	CHECK_EQ(waitpid(two, &status, WNOHANG), 0);
	CHECK_EQ(children_kill(is_it, &two), 1);
	CHECK_EQ(waitpid(two, &status, 0), two);
	CHECK_EQ(children_kill(is_it, &two), 0);
}

int main(void)
{
	RUN(test_a_spawn);
	RUN(test_a_spawn_with_wrong_numbers);
	RUN(test_what_is_no_request);
	RUN(test_too_many_arguments);
	RUN(test_kept);
	RUN(test_kept_process);
	RUN(test_descriptors_are_in_place);
	RUN(test_signals_are_the_defaults);
	RUN(test_no_such_executable);
	RUN(test_children);
	return tap_done();
}
