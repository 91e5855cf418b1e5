/*
 * Step 8, in thoxd: who prints where.
 *
 * What the keeper keeps of a stream is the message that thox-logd got, so a
 * stream that comes back is handed over as it is.
 */

#include "thoxd/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "rpc/logd.h"
#include "thoxd/server.h"

#define PIPE_BYTES    (256 << 10)
#define STREAMS_MAX   65536U
#define STREAMS_SHARE 3 /* of the descriptors: held, and on their way */
#define JOURNAL	      "/run/systemd/journal/socket"
#define RECORD_BYTES  1024U
#define AGAIN_S	      0.1
#define AGAIN_LATER_S 5.0 /* when it died soon after its start */

struct log_stream {
	struct list list;
	uint64_t number;
	int reader; /* owned */
	pid_t pid;  /* 0: not told */
	unsigned open_size;
	uint8_t open[]; /* its LOGD_OPEN */
};

static struct log_stream *find(struct logs *l, uint64_t number)
{
	struct log_stream *s, *after;

	list_each(s, after, &l->streams, list)
	{
		if (s->number == number)
			return s;
	}
	return NULL;
}

static struct log_stream *stream_alloc(uint64_t number, struct mp_bytes open)
{
	struct log_stream *s = calloc(1, sizeof(*s) + open.size);

	if (!s)
		return NULL;
	list_init(&s->list);
	s->number = number;
	s->reader = -1;
	s->open_size = (unsigned)open.size;
	memcpy(s->open, open.p, open.size);
	return s;
}

static struct log_stream *stream_free(struct log_stream *s)
{
	if (!s)
		return NULL;
	list_remove(&s->list);
	fd_close(s->reader);
	free(s);
	return NULL;
}

/* --- the keeper -------------------------------------------------------------
 */

static void write_name(uint64_t number, char ret[32])
{
	snprintf(ret, 32, LOGS_KEPT "%llu", (unsigned long long)number);
}

/* [pid, LOGD_OPEN as bytes] */
static void keep(struct logs *l, const struct log_stream *s)
{
	uint8_t buf[RECORD_BYTES + 64];
	struct mp_writer w;
	char name[32];

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, (uint64_t)s->pid);
	mp_write_bin(&w, s->open, s->open_size);
	write_name(s->number, name);
	parent_keep(&l->server->parent, name, w.data, w.used, 0, &s->reader, 1);
}

static void drop(struct logs *l, struct log_stream *s)
{
	char name[32];

	write_name(s->number, name);
	parent_drop(&l->server->parent, name);
	stream_free(s);
	l->n_streams--;
	server_check_end(l->server);
}

/* The number in a LOGD_OPEN, 0 when it is none. */
static uint64_t number_of(struct mp_bytes open)
{
	struct mp_reader r;
	uint64_t number;

	mp_reader_init(&r, open.p, open.size);
	if (mp_read_array(&r) != 3 || mp_read_uint(&r) != LOGD_OPEN)
		return 0;
	number = mp_read_uint(&r);
	return r.bad ? 0 : number;
}

void logs_take_kept(struct logs *l, const struct keeper_message *kept,
		    struct link_message *m)
{
	struct log_stream *s = NULL;
	struct mp_bytes open;
	struct mp_reader r;
	uint64_t pid;

	mp_reader_init(&r, kept->record.p, kept->record.size);
	(void)mp_read_array(&r);
	pid = mp_read_uint(&r);
	open = mp_read_str(&r);
	if (mp_end(&r) == 0 && m->n_fds == 1 && number_of(open))
		s = stream_alloc(number_of(open), open);
	if (!s) {
		log_warnx("the stream '%s' of an earlier thoxd is lost",
			  kept->name);
		parent_drop(&l->server->parent, kept->name);
		return;
	}
	s->pid = (pid_t)pid;
	s->reader = fd_set_aside(link_message_take_fd(m, 0));
	if (s->number > l->last_number)
		l->last_number = s->number;
	list_append(&l->streams, &s->list);
	l->n_streams++;
}

/* --- thox-logd --------------------------------------------------------------
 */

static void send_pid(struct logs *l, const struct log_stream *s)
{
	uint8_t buf[32];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, LOGD_PID);
	mp_write_uint(&w, s->number);
	mp_write_uint(&w, (uint64_t)s->pid);
	(void)peer_send(&l->peer, &w, NULL, 0);
}

static void hand_over(struct logs *l, const struct log_stream *s)
{
	struct mp_writer w = { .data = (uint8_t *)s->open,
			       .used = s->open_size,
			       .size = s->open_size };
	int r = peer_send(&l->peer, &w, &s->reader, 1);

	if (r < 0) {
		/* it is started again, and gets all of them then */
		log_warnx("thox-logd cannot be told of a stream: %s",
			  strerror(-r));
		(void)process_signal(&l->process, SIGKILL);
		return;
	}
	if (s->pid > 0)
		send_pid(l, s);
}

static void note_problem(struct logs *l, struct mp_bytes service,
			 struct mp_bytes message)
{
	if (message.size == 0) {
		if (mp_bytes_equal(service, l->problem_of))
			l->problem[0] = '\0';
		return;
	}
	if (mp_bytes_copy(service, l->problem_of, sizeof(l->problem_of)) < 0)
		return;
	snprintf(l->problem, sizeof(l->problem),
		 "the log of '%.*s' cannot be written: %.*s",
		 (int)(service.size < 128 ? service.size : 128), service.p,
		 (int)(message.size < 64 ? message.size : 64), message.p);
}

static int on_message(struct peer *p, struct link_message *m)
{
	struct logs *l = container_of(p, struct logs, peer);
	struct mp_bytes service = { 0 }, message = { 0 };
	struct log_stream *s;
	struct mp_reader r;
	uint64_t kind, number = 0;

	mp_reader_init(&r, m->data, m->size);
	(void)mp_read_array(&r);
	kind = mp_read_uint(&r);
	if (kind == LOGD_PROBLEM) {
		service = mp_read_str(&r);
		message = mp_read_str(&r);
	} else {
		number = mp_read_uint(&r);
	}
	if (mp_end(&r) < 0 || m->n_fds > 0)
		return -EBADMSG;
	if (kind == LOGD_PROBLEM) {
		note_problem(l, service, message);
	} else if (kind == LOGD_ENDED) {
		s = find(l, number);
		if (s)
			drop(l, s);
	} else if (kind == LOGD_SYNCED) {
		logs_sync_answered(l, number);
	}
	return 0;
}

static void on_gone(struct peer *p, int error)
{
	struct logs *l = container_of(p, struct logs, peer);

	if (error != -ECONNRESET && error != -EPIPE)
		log_warnx("thox-logd sent what is no message; it is ended");
	l->linked = false;
	(void)process_signal(&l->process, SIGKILL);
}

static void on_process_exit(struct process *p, const struct process_exit *exit)
{
	struct logs *l = container_of(p, struct logs, process);
	struct server *s = l->server;
	bool soon = ev_now(s->loop) - l->started < 1;

	peer_close(&l->peer);
	l->linked = l->running = false;
	logs_sync_lost(l);
	if (s->ended)
		return;
	log_warnx("thox-logd pid=%d ended (wait status 0x%x)%s", (int)exit->pid,
		  (unsigned)exit->status,
		  l->n_streams ? "; it is started again" : "");
	if (l->n_streams == 0)
		return;
	ev_timer_set(&l->again, soon ? AGAIN_LATER_S : AGAIN_S, 0.);
	ev_timer_start(s->loop, &l->again);
}

static void on_spawned(void *user, pid_t pid, int pidfd, int error)
{
	struct log_stream *s, *after;
	struct logs *l = user;

	if (error < 0) {
		log_warnx("thox-logd cannot be started: %s", strerror(-error));
		peer_close(&l->peer);
		l->running = false;
		ev_timer_set(&l->again, AGAIN_LATER_S, 0.);
		ev_timer_start(l->server->loop, &l->again);
		return;
	}
	process_add(&l->server->processes, &l->process, pid, pidfd,
		    on_process_exit);
	if (l->process.pid == 0)
		return; /* it has ended already */
	l->linked = true;
	list_each(s, after, &l->streams, list) hand_over(l, s);
	logs_sync_ask(l);
}

static int start(struct logs *l)
{
	_cleanup_(fd_closep) int theirs = -1;
	static const int number = LOGD_LINK_FD;
	const struct server *s = l->server;
	char path[PATH_MAX + 8];
	const char *args[] = { path, s->config.journal ? JOURNAL : NULL, NULL };
	struct parent_spawn spawn = { .role = "logd",
				      .args = args,
				      .fds = &theirs,
				      .numbers = &number,
				      .n_fds = 1 };
	int pair[2], r;

	snprintf(path, sizeof(path), "%s/logs", s->instance->state);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	theirs = pair[1];
	peer_open(&l->peer, s->loop, pair[0], on_message, on_gone);
	l->peer.link.queue_limit_bytes = 64U << 20;
	r = parent_spawn(&l->server->parent, &spawn, on_spawned, l);
	if (r < 0) {
		peer_close(&l->peer);
		return r;
	}
	l->running = true;
	l->started = ev_now(s->loop);
	return 0;
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct logs *l = container_of(timer, struct logs, again);
	int r = l->running ? 0 : start(l);

	(void)events;
	if (r == 0)
		return;
	log_warnx("thox-logd cannot be started: %s", strerror(-r));
	ev_timer_set(timer, AGAIN_LATER_S, 0.);
	ev_timer_start(loop, timer);
}

/* --- streams ----------------------------------------------------------------
 */

static void write_open(struct mp_writer *w, uint64_t number,
		       const char *service, const char *instance, bool error,
		       const struct log_options *o)
{
	bool has_instance = instance && instance[0];
	bool has_keep = o->keep && o->keep != LOGD_KEEP;
	bool has_bytes =
		o->rotate_bytes && o->rotate_bytes != LOGD_ROTATE_BYTES;

	mp_write_array(w, 3);
	mp_write_uint(w, LOGD_OPEN);
	mp_write_uint(w, number);
	mp_write_map(w, 1U + has_instance + error + has_keep + has_bytes +
				(o->rotate_ms > 0) + (o->rate_bytes > 0));
	mp_write_str(w, "service");
	mp_write_str(w, service);
	if (has_instance) {
		mp_write_str(w, "instance");
		mp_write_str(w, instance);
	}
	/* what is not said is as usual: this is kept for each stream */
	if (error) {
		mp_write_str(w, "error");
		mp_write_bool(w, true);
	}
	if (has_keep) {
		mp_write_str(w, "keep");
		mp_write_uint(w, o->keep);
	}
	if (has_bytes) {
		mp_write_str(w, "rotate_bytes");
		mp_write_uint(w, o->rotate_bytes);
	}
	if (o->rotate_ms > 0) {
		mp_write_str(w, "rotate_ms");
		mp_write_uint(w, o->rotate_ms);
	}
	if (o->rate_bytes > 0) {
		mp_write_str(w, "rate_bytes");
		mp_write_uint(w, o->rate_bytes);
	}
}

static struct log_stream *stream_new(uint64_t number, const char *service,
				     const char *instance, bool error,
				     const struct log_options *o)
{
	uint8_t buf[RECORD_BYTES];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	write_open(&w, number, service, instance, error, o);
	if (mp_writer_end(&w) < 0)
		return NULL;
	return stream_alloc(number,
			    (struct mp_bytes){ (const char *)buf, w.used });
}

int logs_open(struct logs *l, const char *service, const char *instance,
	      bool error, const struct log_options *options,
	      uint64_t *ret_number, int *ret_writer)
{
	static const struct log_options none;
	struct log_stream *s;
	int fds[2];

	if (l->n_streams >= l->most)
		return -ENOBUFS;
	s = stream_new(l->last_number + 1, service, instance, error,
		       options ? options : &none);
	if (!s)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC) < 0) {
		int r = -errno;

		stream_free(s);
		return r;
	}
	/* a user may have had too many large ones: a small one does */
	(void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
	s->reader = fd_set_aside(fds[0]);
	l->last_number++;
	list_append(&l->streams, &s->list);
	l->n_streams++;
	keep(l, s);
	if (l->linked)
		hand_over(l, s);
	else if (!l->running && !ev_is_active(&l->again))
		on_again(l->server->loop, &l->again, 0);
	*ret_number = s->number;
	*ret_writer = fd_set_aside(fds[1]);
	return 0;
}

void logs_pid(struct logs *l, uint64_t number, pid_t pid)
{
	struct log_stream *s = find(l, number);

	if (!s || s->pid == pid)
		return;
	s->pid = pid;
	keep(l, s);
	if (l->linked)
		send_pid(l, s);
}

/* --- life -------------------------------------------------------------------
 */

/* Where thox-logd does not keep up, streams of the dead wait for it: the others
 * need descriptors too, and so does the keeper, which holds the same. */
static unsigned streams_most(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
	    limit.rlim_cur / STREAMS_SHARE > STREAMS_MAX)
		return STREAMS_MAX;
	return (unsigned)(limit.rlim_cur / STREAMS_SHARE);
}

void logs_init(struct logs *l, struct server *s)
{
	*l = (struct logs){ .server = s, .most = streams_most() };
	list_init(&l->streams);
	list_init(&l->syncs);
	ev_timer_init(&l->again, on_again, AGAIN_S, 0.);
	l->process.pidfd = -1;
}

/* A stream whose process was never told may have been printed to all the same:
 * it is read, as of nobody. */
void logs_begin(struct logs *l)
{
	struct log_stream *s, *after;

	list_each(s, after, &l->streams, list)
	{
		if (s->pid == 0)
			s->pid = 1;
	}
	if (l->n_streams > 0)
		on_again(l->server->loop, &l->again, 0);
}

bool logs_settled(const struct logs *l)
{
	return l->n_streams == 0;
}

void logs_end(struct logs *l)
{
	ev_timer_stop(l->server->loop, &l->again);
}
