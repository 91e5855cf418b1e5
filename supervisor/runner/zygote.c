/*
 * Step 3, in the zygote: set up once, then fork.
 *
 * Acquire (the time zone, the filters, the runtime's text), drop (layers.c),
 * sandbox (its filter, before the first line of a runtime is read), loop.
 */

#include "runner/zygote.h"

#include <errno.h>
#include <lua.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/control.h"
#include "rpc/mp.h"
#include "runner/heap.h"
#include "runner/layers.h"
#include "runner/limits.h"
#include "runner/message.h"
#include "runner/preempt.h"
#include "runner/report.h"
#include "runner/rseq.h"
#include "runner/runner.h"
#include "runner/syscalls.h"
#include "runner/trap.h"

struct zygote {
	struct link *link;
	struct layers layers;
	struct syscall_filter own, runners;
	pid_t parent; /* the keeper, which is the runners' parent, too */
};

static int send_message(struct zygote *z, const struct mp_writer *w,
			const int *fds, unsigned n_fds)
{
	int r = mp_writer_end(w);

	return r < 0 ? r
		     : link_send_wait(z->link, w->data, w->used, fds, n_fds);
}

/* The next message of this kind: 0, or negative errno. */
static int receive(struct zygote *z, int64_t kind, struct link_message *ret_raw,
		   struct message *ret_message)
{
	int r;

	do
		r = link_receive(z->link, true, ret_raw);
	while (r == 0);
	if (r > 0)
		r = message_parse(ret_raw->data, ret_raw->size, ret_message);
	if (r == 0 && ret_message->kind != kind)
		r = -EBADMSG;
	return r;
}

/* --- set up -----------------------------------------------------------------
 */

/* For layers.c: thoxd writes the maps of the user namespace. */
static int on_map(void *context)
{
	struct zygote *z = context;
	struct link_message raw;
	struct message m;
	struct mp_writer w;
	uint8_t buf[16];
	int r;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 1);
	mp_write_int(&w, CONTROL_MAP);
	r = send_message(z, &w, NULL, 0);
	if (r == 0)
		r = receive(z, CONTROL_MAPPED, &raw, &m);
	if (r == 0)
		link_message_deinit(&raw);
	return r;
}

static int fail_layer(const char *layer, int r)
{
	char message[128];

	snprintf(message, sizeof(message), "%s: %s", layer, strerror(-r));
	report_zygote_failed("layer", message);
	return r;
}

static int confine(struct zygote *z, uid_t uid)
{
	const char *layer;
	int r;

	z->layers = (struct layers){ .uid = uid, .map = on_map, .context = z };
	r = layers_apply(&z->layers, &layer);
	if (r < 0)
		return fail_layer(layer, r);
	layer = "seccomp";
	r = trap_install();
	if (r == 0)
		r = preempt_install();
	if (r == 0)
		r = syscall_filter_build(WHO_ZYGOTE, &z->own);
	if (r == 0)
		r = syscall_filter_build(WHO_RUNNER, &z->runners);
	if (r == 0)
		r = syscall_filter_load(&z->own);
	syscall_filter_deinit(&z->own);
	return r < 0 ? fail_layer(layer, r) : 0;
}

static int load(struct zygote *z, const struct message_setup *setup, int fd)
{
	char name[RUNNER_NAME_BYTES], message[1024] = "";
	size_t memory_bytes = setup->memory_bytes;
	int r;

	(void)z;
	r = mp_bytes_copy(setup->runtime, name, sizeof(name));
	if (r == 0)
		r = runner_load(name, fd,
				memory_bytes ? memory_bytes
					     : LIMIT_RUNTIME_BYTES,
				message, sizeof(message));
	if (r < 0)
		report_zygote_failed("runtime",
				     message[0] ? message : strerror(-r));
	return r;
}

static int send_ready(struct zygote *z)
{
	uint8_t buf[1024];
	struct mp_writer w;
	uint32_t n = 0;

	while (layers_name(&z->layers, n))
		n++;
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_int(&w, CONTROL_ZYGOTE_READY);
	mp_write_map(&w, 4);
	mp_write_str(&w, "lua");
	mp_write_str(&w, LUA_RELEASE);
	mp_write_str(&w, "landlock_abi");
	mp_write_int(&w, z->layers.landlock_abi);
	mp_write_str(&w, "mdwe");
	mp_write_bool(&w, z->layers.mdwe);
	mp_write_str(&w, "layers");
	mp_write_array(&w, n + 1);
	for (uint32_t i = 0; i < n; i++)
		mp_write_str(&w, layers_name(&z->layers, i));
	mp_write_str(&w, "seccomp");
	return send_message(z, &w, NULL, 0);
}

static int set_up(struct zygote *z)
{
	struct link_message raw;
	struct message m;
	int r;

	r = receive(z, CONTROL_SETUP, &raw, &m);
	if (r < 0)
		return r;
	/* The maps come over the same link and its one buffer. */
	char runtime[RUNNER_NAME_BYTES];

	r = mp_bytes_copy(m.setup.runtime, runtime, sizeof(runtime));
	if (r == 0)
		r = confine(z, (uid_t)m.setup.uid);
	if (r == 0) {
		m.setup.runtime = (struct mp_bytes){ runtime, strlen(runtime) };
		r = load(z, &m.setup, raw.n_fds > 0 ? raw.fds[0] : -1);
	}
	link_message_deinit(&raw);
	return r < 0 ? r : send_ready(z);
}

/* --- the loop ---------------------------------------------------------------
 */

#define FLIGHT_TRIES 5000 /* a millisecond each */

/*
 * The kernel counts descriptors in flight for the whole user, and an ordinary
 * user may have many on the way to thoxd: it takes them out in a moment.
 */
static int send_forked(struct zygote *z, int64_t token, pid_t pid, int pidfd)
{
	const struct timespec pause = { .tv_nsec = 1000 * 1000 };
	uint8_t buf[64];
	struct mp_writer w;
	int r;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_int(&w, CONTROL_FORKED);
	mp_write_int(&w, token);
	mp_write_int(&w, pid);
	for (int i = 0; i < FLIGHT_TRIES; i++) {
		r = send_message(z, &w, &pidfd, 1);
		if (r != -ETOOMANYREFS)
			break;
		ppoll(NULL, 0, &pause, NULL);
	}
	return r;
}

static int send_fork_failed(struct zygote *z, int64_t token, int error)
{
	uint8_t buf[64];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_int(&w, CONTROL_FORK_FAILED);
	mp_write_int(&w, token);
	mp_write_int(&w, error);
	return send_message(z, &w, NULL, 0);
}

/*
 * The child is the keeper's, not ours. The old system call, because a filter
 * cannot look into clone3()'s structure; the exit signal is the keeper's
 * affair with CLONE_PARENT.
 */
static int make_runner(struct zygote *z, int64_t token, int control_fd)
{
	_cleanup_(fd_closep) int pidfd = -1;
	long pid;

	pid = syscall(SYS_clone, CLONE_PARENT | CLONE_PIDFD, NULL, &pidfd, NULL,
		      0);
	if (pid < 0)
		return send_fork_failed(z, token, errno);
	if (pid == 0)
		runner_main(control_fd, z->parent, &z->runners);
	return send_forked(z, token, (pid_t)pid, pidfd);
}

static int serve_one(struct zygote *z)
{
	struct link_message raw;
	struct message m;
	int r;

	r = receive(z, CONTROL_FORK, &raw, &m);
	if (r < 0)
		return r;
	r = raw.n_fds == 1 ? make_runner(z, m.token, raw.fds[0]) : -EBADMSG;
	link_message_deinit(&raw);
	return r;
}

int zygote_main(struct link *link)
{
	struct zygote z = { .link = link, .parent = getppid() };
	int r;

	heap_init();
	rseq_leave();
	/* The zone's file is out of reach later. Named by TZ it is read once;
	 * the default is looked at again each time. */
	setenv("TZ", ":/etc/localtime", 0);
	tzset();
	r = set_up(&z);
	while (r == 0)
		r = serve_one(&z);
	syscall_filter_deinit(&z.runners);
	return r == -ECONNRESET ? 0 : r;
}
