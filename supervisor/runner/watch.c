/*
 * Step 7, in a runner: who is ready.
 *
 * A few sockets are asked about with ppoll(), beside the descriptors that
 * tasks wait for; many are in an epoll, whose number the table of system calls
 * knows. It is made when it is needed, since one more costs a process that
 * ends soon more than all its waiting. Both are level-triggered: what is left
 * unread is told again.
 *
 * Asking costs as much as half a message. So who turns out to talk with one
 * other, time after time, waits in the receiving of its messages. An alarm
 * ends that each millisecond, and then all are asked about. When another turns
 * out to have waited meanwhile, it takes longer until that is done again. Where
 * answers take long, most of those waits would be ended so: there all are asked
 * about at once, until answers are quick again.
 */

#include "runner/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "runner/limits.h"
#include "runner/preempt.h"
#include "runner/report.h"
#include "runner/syscalls.h"
#include "runner/task.h"
#include "runner/timer.h"

#define NS_PER_S 1000000000ULL

static struct list watches = { &watches, &watches };
static struct list agains = { &agains, &agains };
static struct list fd_waiters = { &fd_waiters, &fd_waiters }; /* tasks */
static unsigned n_watches;
static bool uses_epoll;
static bool in_callback;

/* Of whom something is expected: who was named so since something came, or
 * else who said last that more is likely; how often in a row that was right. */
static struct watch *expected, *last, *calling;
static bool expected_first; /* and was not called since it was named */
static bool answers;	    /* it has been asked something */
static unsigned n_right, n_needed = LIMIT_RIGHT;
static unsigned n_worked;
static bool may_wait;
static bool doubtful; /* somebody may have more, and did not look */

/* Since when an answer is waited for, and how long the last ones took. */
static uint64_t asked_ns;
static uint64_t lasted_ns;

/* Those that are being called: a callback may remove any of them. */
static struct watch *batch[LIMIT_READY_WATCHES];
static unsigned n_batch;

/* Where no task can wait, the whole process does, for one descriptor. */
static struct {
	int fd;
	short events;
	bool ready;
} whole = { .fd = -1 };

/* --- the watches ------------------------------------------------------------
 */

int watch_init(void)
{
	/* Nothing else shall have the number. */
	return dup3(CONTROL_FD, EPOLL_FD, O_CLOEXEC) < 0 ? -errno : 0;
}

static int make_epoll(void)
{
	_cleanup_(fd_closep) int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0 || dup3(fd, EPOLL_FD, O_CLOEXEC) < 0)
		return -errno;
	return 0;
}

/* Have the epoll know what @w wants. One that wants nothing is in it, too: it
 * is told of the end of its socket. */
static int sync_epoll(struct watch *w)
{
	struct epoll_event e = { .data.ptr = w };
	int op = w->in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	e.events = (w->reading ? EPOLLIN : 0) | (w->writing ? EPOLLOUT : 0);
	if (epoll_ctl(EPOLL_FD, op, w->fd, &e) < 0)
		return -errno;
	w->in_epoll = true;
	return 0;
}

static int use_epoll(void)
{
	struct watch *w, *after;
	int r = make_epoll();

	list_each(w, after, &watches, list)
	{
		if (r == 0)
			r = sync_epoll(w);
	}
	uses_epoll = r == 0;
	return r;
}

int watch_add(struct watch *w, int fd, bool (*on_ready)(struct watch *w))
{
	int r = 0;

	*w = (struct watch){ .fd = fd, .on_ready = on_ready, .reading = true };
	list_init(&w->list);
	list_init(&w->again);
	list_append(&watches, &w->list);
	n_watches++;
	if (uses_epoll)
		r = sync_epoll(w);
	else if (n_watches > LIMIT_POLLED_WATCHES)
		r = use_epoll();
	if (r < 0) {
		watch_remove(w);
		return r;
	}
	/* What came before it was watched may have signalled nobody. */
	list_append(&agains, &w->again);
	if (!in_callback)
		preempt_soon();
	return 0;
}

void watch_remove(struct watch *w)
{
	if (w->fd < 0)
		return;
	for (unsigned i = 0; i < n_batch; i++)
		if (batch[i] == w)
			batch[i] = NULL;
	if (expected == w)
		expected = NULL;
	if (calling == w)
		calling = NULL;
	if (last == w)
		last = NULL;
	if (w->in_epoll)
		epoll_ctl(EPOLL_FD, EPOLL_CTL_DEL, w->fd, NULL);
	w->in_epoll = false;
	w->fd = -1;
	n_watches--;
	list_remove(&w->list);
	list_remove(&w->again);
}

void watch_set(struct watch *w, bool reading, bool writing)
{
	bool begins = reading && !w->reading;

	if (w->fd < 0)
		return;
	w->reading = reading;
	w->writing = writing;
	if (uses_epoll)
		(void)sync_epoll(w);
	if (!reading) {
		list_remove(&w->again);
	} else if (begins) { /* what came meanwhile has signalled already */
		list_append(&agains, &w->again);
		if (!in_callback)
			preempt_soon();
	}
}

void watch_expect(struct watch *w, bool answer)
{
	expected = w->fd >= 0 ? w : NULL;
	answers = answer;
	expected_first = expected;
}

static struct watch *foreseen(void)
{
	return expected ? expected : last;
}

void watch_worked(bool likely)
{
	n_worked++;
	calling->talks = true;
	if (likely)
		last = calling;
	expected = NULL;
}

void watch_doubt(void)
{
	doubtful = true;
}

bool watch_may_wait(void)
{
	bool may = may_wait;

	may_wait = false;
	return may;
}

bool watch_in_callback(void)
{
	return in_callback;
}

bool watch_must_look(void)
{
	return !list_empty(&fd_waiters) || !list_empty(&agains) || doubtful;
}

bool watch_are_links(void)
{
	return n_watches > 1;
}

/* --- calling ----------------------------------------------------------------
 */

static void call(struct watch *w)
{
	bool more;

	list_remove(&w->again); /* it is its turn, whatever called it */
	in_callback = true;
	calling = w;
	more = w->on_ready(w);
	calling = NULL;
	in_callback = false;
	/* Is it the same, still? One that removed itself says false. */
	if (more && list_empty(&w->again))
		list_append(&agains, &w->again);
}

static void call_batch(void)
{
	for (unsigned i = 0; i < n_batch; i++)
		if (batch[i])
			call(batch[i]);
	n_batch = 0;
}

static void add_to_batch(struct watch *w)
{
	if (n_batch < LIMIT_READY_WATCHES)
		batch[n_batch++] = w;
}

/* Those who said that there is more: true when there were any. */
static bool call_agains(void)
{
	while (!list_empty(&agains) && n_batch < LIMIT_READY_WATCHES) {
		struct watch *w = list_first(&agains, struct watch, again);

		list_remove(&w->again);
		add_to_batch(w);
	}
	if (n_batch == 0)
		return false;
	call_batch();
	return true;
}

bool watch_call_timers(void)
{
	uint64_t due_ns = timer_earliest(), now_ns;

	if (due_ns == TIMER_NEVER)
		return false;
	now_ns = clock_ns();
	if (due_ns > now_ns)
		return false;
	in_callback = true;
	timer_run(now_ns);
	in_callback = false;
	return true;
}

/* --- asking the kernel ------------------------------------------------------
 */

/* NULL: as long as it takes. */
static const struct timespec *time_left(bool wait, struct timespec *t)
{
	uint64_t due_ns = wait ? timer_earliest() : 0, now_ns;

	if (due_ns == TIMER_NEVER)
		return NULL;
	now_ns = wait ? clock_ns() : 0;
	due_ns = due_ns > now_ns ? due_ns - now_ns : 0;
	t->tv_sec = (time_t)(due_ns / NS_PER_S);
	t->tv_nsec = (long)(due_ns % NS_PER_S);
	return t;
}

/* Those of the epoll that are ready. */
static void ask_epoll(const struct timespec *t)
{
	struct epoll_event events[LIMIT_READY_WATCHES];
	int n = (int)syscall(SYS_epoll_pwait2, EPOLL_FD, events,
			     LIMIT_READY_WATCHES, t, NULL, 0);

	for (int i = 0; i < n; i++)
		add_to_batch(events[i].data.ptr);
}

struct polled {
	struct pollfd fds[POLL_FDS_MAX];
	struct task *tasks[POLL_FDS_MAX]; /* who waits for it, or … */
	struct watch *watches[POLL_FDS_MAX];
	unsigned n;
};

static void add_polled(struct polled *p, int fd, short events)
{
	p->fds[p->n] = (struct pollfd){ .fd = fd, .events = events };
	p->tasks[p->n] = NULL;
	p->watches[p->n] = NULL;
	p->n++;
}

static void gather(struct polled *p)
{
	struct task *t, *t_after;
	struct watch *w, *w_after;

	p->n = 0;
	if (whole.fd >= 0)
		add_polled(p, whole.fd, whole.events);
	list_each(t, t_after, &fd_waiters, place)
	{
		if (p->n + LIMIT_POLLED_WATCHES + 1 >= POLL_FDS_MAX)
			break;
		add_polled(p, t->fd, t->fd_events);
		p->tasks[p->n - 1] = t;
	}
	if (uses_epoll) {
		add_polled(p, EPOLL_FD, POLLIN);
		return;
	}
	list_each(w, w_after, &watches, list)
	{
		add_polled(p, w->fd,
			   (short)((w->reading ? POLLIN : 0) |
				   (w->writing ? POLLOUT : 0)));
		p->watches[p->n - 1] = w;
	}
}

static void ask_poll(const struct timespec *t)
{
	const struct timespec none = { 0 };
	struct polled p;

	gather(&p);
	if (ppoll(p.fds, p.n, t, NULL) <= 0)
		return;
	for (unsigned i = 0; i < p.n; i++) {
		if (!p.fds[i].revents)
			continue;
		if (p.tasks[i]) {
			p.tasks[i]->fd = -1; /* it is what it waited for */
			task_wake(p.tasks[i]);
		} else if (p.watches[i]) {
			add_to_batch(p.watches[i]);
		} else if (whole.fd >= 0 && i == 0) {
			whole.ready = true;
		} else {
			ask_epoll(&none);
		}
	}
}

/* Is anybody ready, besides, who might wait? */
static bool others_talk(const struct watch *w)
{
	for (unsigned i = 0; i < n_batch; i++)
		if (batch[i] != w && batch[i]->talks)
			return true;
	return false;
}

/* Is who is ready who was foreseen? */
static void judge(void)
{
	const struct watch *w = foreseen();

	if (n_batch == 0)
		return;
	if (n_batch == 1 && batch[0] == w) {
		n_right++;
		return;
	}
	if (w && n_right >= n_needed && n_needed < LIMIT_RIGHT_MOST &&
	    others_talk(w))
		n_needed *= 4;
	n_right = 0;
}

/* A short wait after long ones may be the exception. */
static void answer_took(uint64_t ns)
{
	lasted_ns = ns > lasted_ns / 2 ? ns : lasted_ns / 2;
	asked_ns = 0;
}

static bool answer_is_due(void)
{
	return expected && answers;
}

static bool takes_long(void)
{
	return answer_is_due() && lasted_ns > LIMIT_QUICK_NS;
}

static void ask(bool wait)
{
	struct timespec buf;
	const struct timespec *t = time_left(wait, &buf);

	if (wait && answer_is_due() && !asked_ns)
		asked_ns = clock_ns();
	preempt_ask_all();
	doubtful = false;
	if (wait) {
		preempt_hold(answer_is_due() ? lasted_ns * LIMIT_HOLD_WAITS
					     : 0);
		preempt_sleep_begin(watch_are_links());
	}
	if (uses_epoll && list_empty(&fd_waiters) && whole.fd < 0)
		ask_epoll(t);
	else
		ask_poll(t);
	if (wait)
		preempt_sleep_end();
	if (asked_ns && n_batch > 0)
		answer_took(clock_ns() - asked_ns);
	judge();
	call_batch();
}

/* --- looking and sleeping ---------------------------------------------------
 */

void watch_look(void)
{
	if (in_callback)
		return;
	preempt_signalled(true);
	doubtful = false; /* also where nobody is left to have more */
	watch_call_timers();
	/* To receive is cheaper than to ask whether one could. */
	if (n_watches > 1 || !list_empty(&fd_waiters)) {
		call_agains();
		ask(false);
	} else if (!call_agains() && n_watches == 1) {
		add_to_batch(list_first(&watches, struct watch, list));
		call_batch();
	}
}

/* Is @w the only one that is worth waiting for? */
static bool is_only(const struct watch *w)
{
	bool others = !list_empty(&fd_waiters) || whole.fd >= 0;

	if (!list_empty(&agains))
		others |= agains.next != &w->again || agains.prev != &w->again;
	return w->reading && !w->writing && !others;
}

/* Call the one that was foreseen, which waits for what it reads: false when it
 * is time to ask about all. */
static bool wait_for(struct watch *w)
{
	unsigned worked = n_worked;

	if (n_right < n_needed || !is_only(w) || !preempt_wait_begin())
		return false;
	may_wait = true;
	call(w);
	may_wait = false;
	if (n_worked != worked)
		n_right++;
	else if (!preempt_all_due()) /* it is one that cannot wait */
		n_right = 0;
	else if (w == expected && answer_is_due())
		answer_took(LIMIT_HOLD_NS);
	preempt_wait_end();
	return true;
}

/* To receive is cheaper than to ask whether one could, if it is there. */
static void call_expected(void)
{
	unsigned worked = n_worked;

	expected_first = false;
	call(expected);
	if (n_worked != worked)
		n_right++;
}

void watch_sleep(void)
{
	struct watch *w = foreseen();

	if (in_callback)
		return;
	preempt_signalled(true);
	if (takes_long())
		list_remove(&expected->again); /* asking tells of it, too */
	else if (w && wait_for(w))
		return;
	if (expected && expected_first && !takes_long() && !preempt_all_due())
		call_expected();
	else if (!watch_call_timers() && !call_agains())
		ask(true);
}

/* --- one descriptor ---------------------------------------------------------
 */

bool watch_fd_ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	const struct timespec none = { 0 };

	return ppoll(&p, 1, &none, NULL) == 1;
}

/* As a task would, but for the tasks: what comes is handled. */
static bool wait_whole(int fd, short events)
{
	if (in_callback || whole.fd >= 0)
		return false; /* it came while something was handled */
	whole.fd = fd;
	whole.events = events;
	whole.ready = false;
	while (!whole.ready)
		watch_sleep();
	whole.fd = -1;
	return true;
}

bool watch_wait_fd(int fd, short events, const char *what)
{
	struct task *t = task_current();

	if (!task_can_wait())
		return wait_whole(fd, events);
	t->fd = fd;
	t->fd_events = events;
	while (t->fd >= 0)
		task_wait_at(NULL, &fd_waiters, what, TASK_NO_DEADLINE);
	return true;
}
