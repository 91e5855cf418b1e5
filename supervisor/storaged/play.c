/* A thoxd for thox-storaged, in tests: links, and nothing else. */

#include "storaged/play.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "rpc/storaged.h"

extern char **environ;

#define WAIT_MS 20000

/* --- links ------------------------------------------------------------------ */

static int make_pair(int ret[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) < 0
		       ? -errno
		       : 0;
}

static int say(struct play *p, const struct mp_writer *w, int fd)
{
	return link_send(&p->control, w->data, w->used, &fd, fd >= 0);
}

static int send_hello(struct link *l)
{
	uint8_t buf[64];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_hello(&w, LINK_MESSAGE_BYTES);
	return link_send(l, w.data, w.used, NULL, 0);
}

/* A link whose other end is the daemon's; @what writes what it is told. */
static int give(struct play *p, const struct mp_writer *w, struct link *ret)
{
	int pair[2], r = make_pair(pair);

	if (r < 0)
		return r;
	r = say(p, w, pair[1]);
	fd_close(pair[1]);
	link_init(ret, pair[0]);
	if (r == 0)
		r = send_hello(ret);
	if (r < 0)
		link_deinit(ret);
	return r;
}

static void begin_opened(struct play *p, struct mp_writer *w, uint32_t keys)
{
	mp_write_array(w, 3);
	mp_write_uint(w, CONTROL_OPENED);
	mp_write_uint(w, ++p->last_link);
	mp_write_map(w, keys + 2);
	mp_write_str(w, "pid");
	mp_write_uint(w, (uint64_t)getpid());
	mp_write_str(w, "program");
	mp_write_str(w, "play");
}

int play_open(struct play *p, const char *storage, struct link *ret_link)
{
	uint8_t buf[512];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	begin_opened(p, &w, storage ? 2 : 1);
	mp_write_str(&w, "name");
	mp_write_str(&w, "storage");
	if (storage) {
		mp_write_str(&w, "storage");
		mp_write_str(&w, storage);
	}
	return give(p, &w, ret_link);
}

int play_take(struct play *p, uint64_t number, struct link *ret_link)
{
	for (size_t i = 0; i < PLAY_ENDS_MAX; i++) {
		struct play_end *e = &p->ends[i];

		if (e->fd < 0 || e->number != number)
			continue;
		link_init(ret_link, steal_fd(&e->fd));
		return 0;
	}
	return -ENOENT;
}

static void keep_end(struct play *p, uint64_t number, int fd)
{
	for (size_t i = 0; i < PLAY_ENDS_MAX; i++)
		if (p->ends[i].fd < 0) {
			p->ends[i] = (struct play_end){ number, fd };
			return;
		}
	abort(); /* the test takes none of them */
}

/* --- what the daemon asks of thoxd ------------------------------------------- */

static int give_zero(struct play *p)
{
	uint8_t buf[64];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, CONTROL_HOLD);
	mp_write_uint(&w, ++p->last_link);
	mp_write_map(&w, 1);
	mp_write_str(&w, "zero");
	mp_write_bool(&w, true);
	return give(p, &w, &p->zero);
}

/* Its context is to be held by whoever is at the other end of a link. */
static int share(struct play *p, uint64_t id, uint64_t context)
{
	uint8_t buf[256];
	struct mp_writer w;
	struct link end;
	int r;

	mp_writer_init(&w, buf, sizeof(buf));
	begin_opened(p, &w, 1);
	mp_write_str(&w, "context");
	mp_write_uint(&w, context);
	r = give(p, &w, &end);
	if (r < 0)
		return r;
	keep_end(p, p->last_link, steal_fd(&end.fd));
	link_deinit(&end);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 4);
	mp_write_uint(&w, CONTROL_SHARED);
	mp_write_uint(&w, id);
	mp_write_int(&w, STATUS_OK);
	mp_write_uint(&w, p->last_link);
	return say(p, &w, -1);
}

static int on_control(struct play *p, const struct link_message *m)
{
	struct mp_reader r;
	uint64_t kind, id;

	mp_reader_init(&r, m->data, m->size);
	(void)mp_read_array(&r);
	kind = mp_read_uint(&r);
	if (kind == CONTROL_WANT_ZERO)
		return give_zero(p);
	if (kind != CONTROL_SHARE_OWN)
		return 0; /* a link or a context is closed; it is ready */
	id = mp_read_uint(&r);
	return share(p, id, mp_read_uint(&r));
}

/* `bind` is all that it calls. */
static int on_zero(struct play *p, const struct link_message *m)
{
	struct wire_message call;
	uint8_t buf[64];
	struct mp_writer w;

	if (wire_parse(m->data, m->size, &call) < 0 || call.kind != WIRE_CALL)
		return 0;
	p->bound = true;
	mp_writer_init(&w, buf, sizeof(buf));
	wire_begin_answer(&w, call.cid, STATUS_OK);
	mp_write_array(&w, 0);
	return link_send(&p->zero, w.data, w.used, NULL, 0);
}

static int drain(struct play *p, struct link *l,
		 int (*fn)(struct play *p, const struct link_message *m))
{
	struct link_message m;
	int r = 0;

	while (l->fd >= 0 && (r = link_receive(l, false, &m)) > 0) {
		r = fn(p, &m);
		link_message_deinit(&m);
		if (r < 0)
			return r;
	}
	return l->fd >= 0 ? r : 0;
}

int play_turn(struct play *p)
{
	int r = drain(p, &p->control, on_control);

	if (r == 0)
		r = drain(p, &p->zero, on_zero);
	return r;
}

/* --- its life ----------------------------------------------------------------- */

static int spawn(struct play *p, const char *const *command, const char *store,
		 int fd)
{
	const char *argv[32];
	posix_spawn_file_actions_t actions;
	size_t n = 0;
	int error;

	while (command[n] && n < ARRAY_SIZE(argv) - 2) {
		argv[n] = command[n];
		n++;
	}
	argv[n++] = store;
	argv[n] = NULL;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, STORAGED_LINK_FD);
	error = posix_spawnp(&p->pid, argv[0], &actions, NULL,
			     (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

static void wait_for(struct link *a, struct link *b, struct link *c)
{
	struct pollfd fds[] = { { a->fd, POLLIN, 0 },
				{ b->fd, POLLIN, 0 },
				{ c ? c->fd : -1, POLLIN, 0 } };

	(void)poll(fds, 3, WAIT_MS);
}

static void forget(struct play *p)
{
	link_deinit(&p->control);
	link_deinit(&p->zero);
	for (size_t i = 0; i < PLAY_ENDS_MAX; i++)
		p->ends[i].fd = fd_close(p->ends[i].fd);
}

int play_start(struct play *p, const char *const *command, const char *store)
{
	int pair[2], r;

	memset(p, 0, sizeof(*p));
	link_init(&p->control, -1);
	link_init(&p->zero, -1);
	for (size_t i = 0; i < PLAY_ENDS_MAX; i++)
		p->ends[i].fd = -1;
	r = make_pair(pair);
	if (r < 0)
		return r;
	/* dup2() of a descriptor to itself would leave it close-on-exec. */
	if (pair[1] == STORAGED_LINK_FD) {
		int other = dup(pair[1]);

		close(pair[1]);
		pair[1] = other;
	}
	r = spawn(p, command, store, pair[1]);
	fd_close(pair[1]);
	link_init(&p->control, pair[0]);
	if (r < 0) {
		forget(p);
		return r;
	}
	while (!p->bound && (r = play_turn(p)) == 0)
		if (!p->bound)
			wait_for(&p->control, &p->zero, NULL);
	if (r < 0) {
		(void)play_stop(p); /* it is about to end, or has ended */
		return -ECHILD;
	}
	return 0;
}

void play_kill(struct play *p)
{
	kill(p->pid, SIGKILL);
	(void)waitpid(p->pid, NULL, 0);
	p->pid = 0;
	forget(p);
}

int play_stop(struct play *p)
{
	int status = -1;

	forget(p);
	(void)waitpid(p->pid, &status, 0);
	p->pid = 0;
	return status;
}

/* --- calls -------------------------------------------------------------------- */

int play_send(struct link *l, uint32_t cid, const char *name,
	      struct mp_bytes args)
{
	struct mp_writer w;
	int r;

	mp_writer_init_heap(&w);
	wire_begin_call(&w, cid, name, strlen(name), 0);
	mp_write_raw(&w, args.p, args.size);
	r = mp_writer_end(&w);
	if (r == 0)
		r = link_send_wait(l, w.data, w.used, NULL, 0);
	mp_writer_deinit(&w);
	return r;
}

int play_receive(struct link *l, struct wire_message *ret_answer)
{
	static struct link_message last;
	int r;

	do {
		link_message_deinit(&last);
		memset(&last, 0, sizeof(last));
		r = link_receive(l, false, &last);
		if (r > 0 && wire_parse(last.data, last.size, ret_answer) < 0)
			r = -EBADMSG;
	} while (r > 0 && ret_answer->kind != WIRE_ANSWER);
	return r;
}

int play_call(struct play *p, struct link *l, const char *name,
	      struct mp_bytes args, struct wire_message *ret_answer)
{
	static uint32_t last_cid;
	int r = play_send(l, ++last_cid, name, args);

	while (r == 0) {
		r = play_turn(p);
		if (r == 0)
			r = play_receive(l, ret_answer);
		if (r == 0)
			wait_for(&p->control, &p->zero, l);
		else if (r > 0 && ret_answer->cid != last_cid)
			r = 0;
	}
	return r < 0 ? r : (int)ret_answer->status;
}
