#pragma once

/*
 * For tests: principals without processes. An actor has both ends of its
 * control link in one process; what it says is served when the loop turns,
 * and what it is told is read one message at a time.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/control.h"
#include "rpc/link.h"
#include "rpc/status.h"
#include "rpc/wire.h"
#include "thoxd/bus.h"
#include "thoxd/holding.h"
#include "thoxd/message.h"
#include "thoxd/policy.h"
#include "thoxd/principal.h"
#include "thoxd/server.h"
#include "thoxd/zero.h"

static struct server server;
static const struct instance instance_of_tests = { .mode = INSTANCE_USER };

struct actor {
	struct principal principal;
	struct peer peer; /* thoxd's end */
	struct link link; /* its own */
	struct link zero; /* its context 0, when it has asked for it */
	uint64_t zero_number;
	bool gone; /* thoxd has closed it */
};

static int on_actor_message(struct peer *p, struct link_message *m)
{
	struct actor *a = container_of(p, struct actor, peer);

	return principal_takes(m) ? principal_message(&a->principal, m)
				  : -EPROTO;
}

static void on_actor_gone(struct peer *p, int error)
{
	(void)error;
	container_of(p, struct actor, peer)->gone = true;
}

/* Everything that is there is served. */
static inline void turn(void)
{
	for (int i = 0; i < 8; i++)
		ev_run(server.loop, EVRUN_NOWAIT);
}

static inline void begin_server(void)
{
	static bool begun;

	if (!begun) {
		server_init(&server, &instance_of_tests);
		server.parent.peer.closed = true; /* there is no keeper */
		server.services.ending = true;	  /* nor are there services */
	}
	begun = true;
}

static inline struct actor *actor_new(const char *program, pid_t pid)
{
	struct actor *a = calloc(1, sizeof(*a));
	int pair[2];

	if (!a ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	peer_open(&a->peer, server.loop, pair[0], on_actor_message,
		  on_actor_gone);
	link_init(&a->link, pair[1]);
	link_init(&a->zero, -1);
	principal_init(&a->principal, &server, NULL, 0, 0);
	a->principal.program = program;
	principal_begin(&a->principal, &a->peer, pid, NULL);
	return a;
}

static inline void actor_end(struct actor *a)
{
	principal_end(&a->principal);
	peer_close(&a->peer);
	link_deinit(&a->link);
	link_deinit(&a->zero);
	turn();
	free(a);
}

/* --- what it says ---------------------------------------------------------
 */

static uint8_t said[4096];

/* [kind, numbers…] */
static inline void say(struct actor *a, unsigned kind, unsigned n,
		       const uint64_t *numbers)
{
	struct mp_writer w;

	mp_writer_init(&w, said, sizeof(said));
	mp_write_array(&w, 1 + n);
	mp_write_uint(&w, kind);
	for (unsigned i = 0; i < n; i++)
		mp_write_uint(&w, numbers[i]);
	(void)link_send(&a->link, w.data, w.used, NULL, 0);
	turn();
}
#define SAY(a, kind, ...)                                                      \
	say(a, kind, ARRAY_SIZE(((uint64_t[]){ __VA_ARGS__ })),                \
	    (uint64_t[]){ __VA_ARGS__ })

/* --- what it is told ------------------------------------------------------
 */

struct told {
	unsigned kind; /* 0: nothing */
	uint64_t id;   /* or the link's number */
	uint64_t status;
	uint64_t number;
	uint64_t numbers[64];
	unsigned n_numbers;
	char text[320];
	/* of HOLD and OPENED */
	int fd; /* the caller's; -1: none */
	bool zero, resolves, has_grants;
	uint64_t pid, context, over, answers;
	char name[132], program[64], service[64];
	char grants[512];
	size_t grants_size;
};

static inline void read_told_map(struct mp_reader *r, struct told *t)
{
	uint32_t n = mp_read_map(r);

	while (n-- > 0 && !r->bad) {
		struct mp_bytes key = mp_read_str(r);

		if (mp_bytes_equal(key, "zero"))
			t->zero = mp_read_bool(r);
		else if (mp_bytes_equal(key, "resolves"))
			t->resolves = mp_read_bool(r);
		else if (mp_bytes_equal(key, "pid"))
			t->pid = mp_read_uint(r);
		else if (mp_bytes_equal(key, "context"))
			t->context = mp_read_uint(r);
		else if (mp_bytes_equal(key, "over"))
			t->over = mp_read_uint(r);
		else if (mp_bytes_equal(key, "answers"))
			t->answers = mp_read_uint(r);
		else if (mp_bytes_equal(key, "name"))
			mp_bytes_copy(mp_read_str(r), t->name, sizeof(t->name));
		else if (mp_bytes_equal(key, "program"))
			mp_bytes_copy(mp_read_str(r), t->program,
				      sizeof(t->program));
		else if (mp_bytes_equal(key, "service"))
			mp_bytes_copy(mp_read_str(r), t->service,
				      sizeof(t->service));
		else if (mp_bytes_equal(key, "grants")) {
			struct mp_bytes raw = mp_read_raw(r);

			t->has_grants = true;
			t->grants_size = raw.size;
			if (raw.size <= sizeof(t->grants))
				memcpy(t->grants, raw.p, raw.size);
		} else
			r->bad = true; /* a key that no test knows */
	}
}

static inline void read_told(struct mp_reader *r, struct told *t)
{
	(void)mp_read_array(r);
	t->kind = (unsigned)mp_read_uint(r);
	switch (t->kind) {
	case CONTROL_HOLD:
	case CONTROL_OPENED:
		t->id = mp_read_uint(r);
		read_told_map(r, t);
		break;
	case CONTROL_SHARED:
		t->id = mp_read_uint(r);
		t->status = mp_read_uint(r);
		if (t->status == STATUS_OK)
			t->number = mp_read_uint(r);
		else
			mp_bytes_copy(mp_read_str(r), t->text, sizeof(t->text));
		break;
	case CONTROL_REVOKED:
		t->id = mp_read_uint(r);
		t->status = mp_read_uint(r);
		t->n_numbers = mp_read_array(r);
		for (unsigned i = 0; i < t->n_numbers; i++)
			t->numbers[i] = mp_read_uint(r);
		break;
	case CONTROL_FORGET:
	case CONTROL_MOVE:
		mp_bytes_copy(mp_read_str(r), t->name, sizeof(t->name));
		break;
	}
}

static inline struct told hear(struct actor *a)
{
	struct told t = { .fd = -1 };
	struct link_message m;
	struct mp_reader r;

	if (link_receive(&a->link, false, &m) != 1)
		return t;
	mp_reader_init(&r, m.data, m.size);
	read_told(&r, &t);
	t.fd = link_message_take_fd(&m, 0);
	if (mp_end(&r) < 0)
		t.kind = 9999;
	link_message_deinit(&m);
	return t;
}

/* Is what is sent at one end read at the other? */
static inline bool connected(int a, int b)
{
	char c = 0;

	return send(a, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 &&
	       recv(b, &c, 1, MSG_DONTWAIT) == 1 && c == 'x';
}

static inline bool ended(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

/* --- over context 0 -------------------------------------------------------
 */

static inline bool actor_zero(struct actor *a)
{
	struct link_message m;
	struct told t;
	struct mp_writer w;

	SAY(a, CONTROL_WANT_ZERO);
	t = hear(a);
	if (t.kind != CONTROL_HOLD || !t.zero || !t.resolves || t.fd < 0)
		return false;
	link_deinit(&a->zero);
	link_init(&a->zero, t.fd);
	a->zero_number = t.id;
	if (link_receive(&a->zero, false, &m) != 1)
		return false; /* its hello */
	link_message_deinit(&m);
	mp_writer_init(&w, said, sizeof(said));
	wire_write_hello(&w, 1 << 20);
	(void)link_send(&a->zero, w.data, w.used, NULL, 0);
	turn();
	return true;
}

/* What comes over context 0. */
struct heard {
	struct wire_message m;
	uint8_t bytes[4096];
	bool there;
	struct wire_context contexts[WIRE_ROUTES_MAX];
	int n_contexts;
};

static inline const struct heard *hear_zero(struct actor *a)
{
	static struct heard h;
	struct link_message m;

	memset(&h, 0, sizeof(h));
	if (link_receive(&a->zero, false, &m) != 1)
		return &h;
	if (m.size <= sizeof(h.bytes)) {
		memcpy(h.bytes, m.data, m.size);
		h.there = wire_parse(h.bytes, m.size, &h.m) == 0;
		h.n_contexts = wire_find_contexts(h.m.args, h.contexts,
						  WIRE_ROUTES_MAX);
	}
	link_message_deinit(&m);
	return &h;
}

/* The first of the arguments as text; "": it is none. */
static inline const char *heard_text(const struct heard *h)
{
	static char text[400];
	struct mp_reader r;

	text[0] = '\0';
	mp_reader_init(&r, h->m.args.p, h->m.args.size);
	if (mp_read_array(&r) > 0 && mp_peek(&r) == MP_STR)
		mp_bytes_copy(mp_read_str(&r), text, sizeof(text));
	return text;
}

static inline struct mp_writer *begin_call(uint32_t cid, const char *name,
					   uint32_t n_args)
{
	static struct mp_writer w;

	mp_writer_init(&w, said, sizeof(said));
	wire_begin_call(&w, cid, name, strlen(name), 0);
	mp_write_array(&w, n_args);
	return &w;
}

static inline void send_zero(struct actor *a, const struct mp_writer *w)
{
	(void)link_send(&a->zero, w->data, w->used, NULL, 0);
	turn();
}

static inline const struct heard *call_name(struct actor *a, uint32_t cid,
					    const char *name, const char *arg)
{
	struct mp_writer *w = begin_call(cid, name, arg ? 1 : 0);

	if (arg)
		mp_write_str(w, arg);
	send_zero(a, w);
	return hear_zero(a);
}

static inline const struct heard *ask(struct actor *a, uint32_t cid,
				      const char *name)
{
	struct mp_writer w;

	mp_writer_init(&w, said, sizeof(said));
	wire_write_resolve(&w, cid, name, strlen(name));
	send_zero(a, &w);
	return hear_zero(a);
}

static inline void listen_to(struct actor *a, const char *name, bool on)
{
	struct mp_writer w;

	mp_writer_init(&w, said, sizeof(said));
	wire_write_listen(&w, name, strlen(name), on);
	send_zero(a, &w);
}

static inline void push_text(struct actor *a, const char *name,
			     const char *text)
{
	struct mp_writer w;

	mp_writer_init(&w, said, sizeof(said));
	wire_begin_push(&w, name, strlen(name), false);
	mp_write_array(&w, 1);
	mp_write_str(&w, text);
	send_zero(a, &w);
}
