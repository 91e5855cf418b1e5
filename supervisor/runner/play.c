/*
 * For tests: thoxd's and the keeper's part of the dialogue.
 */

#include "runner/play.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/control.h"
#include "rpc/mp.h"
#include "rpc/status.h"

static _Noreturn void fatal(const char *what)
{
	perror(what);
	abort();
}

static void pair(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		fatal("socketpair");
}

/* --- the zygote -------------------------------------------------------------
 */

static void install_deny(const struct play_deny *deny)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)deny->nr, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)deny->arg, 0,
			 deny->arg < 0 ? 0 : 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };

	if (geteuid() != 0)
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		_exit(99);
}

static _Noreturn void exec_zygote(int fd, const struct play_deny *deny)
{
	const char *path = getenv("THOX_ZYGOTE");

	if (!path)
		path = "./thox-zygote";
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd == 3)
		fcntl(fd, F_SETFD, 0);
	else
		dup2(fd, 3);
	if (deny)
		install_deny(deny);
	execl(path, path, NULL);
	perror(path);
	_exit(127);
}

static void send_message(struct link *l, struct mp_writer *w, const int *fds,
			 unsigned n)
{
	if (mp_writer_end(w) < 0 ||
	    link_send_wait(l, w->data, w->used, fds, n) < 0)
		w->bad = true; /* the peer has gone: its end tells more */
	mp_writer_deinit(w);
}

static void send_setup(struct play_zygote *z, const char *runtime)
{
	struct mp_writer w;
	int fd = -1;

	if (runtime &&
	    fd_from_bytes("runtime", runtime, strlen(runtime), &fd) < 0)
		fatal("memfd");
	mp_writer_init_heap(&w);
	mp_write_array(&w, 2);
	mp_write_int(&w, CONTROL_SETUP);
	mp_write_map(&w, 2);
	mp_write_str(&w, "runtime");
	mp_write_str(&w, runtime ? "rt" : "native");
	mp_write_str(&w, "uid");
	mp_write_uint(&w, geteuid() == 0 ? PLAY_UID : 0);
	send_message(&z->link, &w, &fd, fd >= 0);
	fd_close(fd);
}

static void write_map(pid_t pid, const char *which)
{
	char path[64], text[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, which);
	snprintf(text, sizeof(text), "%u %u 1\n", PLAY_UID, PLAY_UID);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0)
		fatal(path);
	close(fd);
}

static void answer_map(struct play_zygote *z)
{
	struct mp_writer w;

	write_map(z->pid, "uid_map");
	write_map(z->pid, "gid_map");
	mp_writer_init_heap(&w);
	mp_write_array(&w, 1);
	mp_write_int(&w, CONTROL_MAPPED);
	send_message(&z->link, &w, NULL, 0);
}

/* The kind of the zygote's next message, and its text when it failed. */
static int64_t next_kind(struct play_zygote *z, char *message)
{
	struct link_message raw;
	struct mp_reader r;
	int64_t kind;
	int e;

	do
		e = link_receive(&z->link, true, &raw);
	while (e == 0);
	if (e < 0)
		return -1;
	mp_reader_init(&r, raw.data, raw.size);
	mp_read_array(&r);
	kind = mp_read_int(&r);
	if (kind == CONTROL_ZYGOTE_FAILED) {
		char what[32], text[200];

		mp_bytes_copy(mp_read_str(&r), what, sizeof(what));
		mp_bytes_copy(mp_read_str(&r), text, sizeof(text));
		snprintf(message, 256, "%s: %s", what, text);
	}
	link_message_deinit(&raw);
	return kind;
}

int play_open(struct play_zygote *z, const char *runtime,
	      const struct play_deny *deny, char *message)
{
	int fds[2];

	message[0] = '\0';
	pair(fds);
	z->pid = fork();
	if (z->pid < 0)
		fatal("fork");
	if (z->pid == 0)
		exec_zygote(fds[1], deny);
	close(fds[1]);
	link_init(&z->link, fds[0]);
	send_setup(z, runtime);
	for (;;) {
		int64_t kind = next_kind(z, message);

		if (kind == CONTROL_ZYGOTE_READY)
			return 0;
		if (kind != CONTROL_MAP)
			break;
		answer_map(z);
	}
	play_close(z);
	return -1;
}

void play_close(struct play_zygote *z)
{
	link_deinit(&z->link);
	waitpid(z->pid, NULL, 0);
}

/* --- runners ----------------------------------------------------------------
 */

void play_ask(struct play_zygote *z, struct play_runner *ret)
{
	struct mp_writer w;
	int fds[2];

	pair(fds);
	mp_writer_init_heap(&w);
	mp_write_array(&w, 2);
	mp_write_int(&w, CONTROL_FORK);
	mp_write_int(&w, 1);
	send_message(&z->link, &w, &fds[1], 1);
	*ret = (struct play_runner){ .output = -1, .error = -1, .input = -1 };
	link_init(&ret->link, fds[0]);
	ret->their_end = fds[1];
}

int play_forked(struct play_zygote *z, struct play_runner *r)
{
	struct link_message raw;
	struct mp_reader reader;
	int64_t kind;

	if (link_receive(&z->link, true, &raw) <= 0)
		return -1;
	mp_reader_init(&reader, raw.data, raw.size);
	mp_read_array(&reader);
	kind = mp_read_int(&reader);
	mp_read_int(&reader);
	r->pid = (pid_t)mp_read_int(&reader);
	fcntl(r->their_end, F_SETOWN, r->pid); /* as thoxd does */
	r->their_end = fd_close(r->their_end);
	link_message_deinit(&raw);
	return kind == CONTROL_FORKED ? 0 : -1;
}

int play_fork(struct play_zygote *z, struct play_runner *ret)
{
	play_ask(z, ret);
	return play_forked(z, ret);
}

static void write_start(struct mp_writer *w, const struct play_start *s)
{
	uint32_t n = 0;

	mp_write_array(w, 2);
	mp_write_int(w, CONTROL_START);
	mp_write_map(w, 10);
	mp_write_str(w, "name");
	mp_write_str(w, s->name ? s->name : "test");
	mp_write_str(w, "memory_bytes");
	mp_write_uint(w, s->memory_bytes ? s->memory_bytes : 64U << 20);
	mp_write_str(w, "tasks");
	mp_write_uint(w, s->tasks);
	mp_write_str(w, "args");
	while (s->args && s->args[n])
		n++;
	mp_write_array(w, n);
	for (uint32_t i = 0; i < n; i++)
		mp_write_str(w, s->args[i]);
	mp_write_str(w, "env");
	for (n = 0; s->env && s->env[n]; n++)
		;
	mp_write_map(w, n / 2);
	for (uint32_t i = 0; i < n; i++)
		mp_write_str(w, s->env[i]);
	mp_write_str(w, "columns");
	mp_write_uint(w, s->columns);
	mp_write_str(w, "rows");
	mp_write_uint(w, s->rows);
	mp_write_str(w, "expression");
	mp_write_bool(w, s->expression);
	mp_write_str(w, "interactive");
	mp_write_bool(w, s->interactive);
	mp_write_str(w, "demand_stdin");
	mp_write_bool(w, s->demand_stdin);
}

static void make_stdio(struct play_runner *r, const struct play_start *s,
		       int fds[3])
{
	int p[2];

	if (s->keep_stdio) {
		for (int i = 0; i < 3; i++)
			fds[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
		return;
	}
	if (s->demand_stdin)
		pair(p);
	else if (pipe2(p, O_CLOEXEC) < 0)
		fatal("pipe2");
	fds[0] = p[0];
	r->input = p[1];
	for (int i = 1; i < 3; i++) {
		if (pipe2(p, O_CLOEXEC) < 0)
			fatal("pipe2");
		fds[i] = p[1];
		*(i == 1 ? &r->output : &r->error) = p[0];
	}
}

int play_start(struct play_runner *r, const struct play_start *s)
{
	size_t size = s->text_size;
	struct mp_writer w;
	int fds[4];

	make_stdio(r, s, fds);
	if (s->text && size == 0)
		size = strlen(s->text);
	if (fd_from_bytes("text", s->text ? s->text : "", size, &fds[3]) < 0)
		fatal("memfd");
	mp_writer_init_heap(&w);
	write_start(&w, s);
	send_message(&r->link, &w, fds, s->interactive ? 3 : 4);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	return 0;
}

void play_event(struct play_runner *r, const char *event, unsigned rows,
		unsigned columns)
{
	struct mp_writer w;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 4);
	mp_write_int(&w, CONTROL_EVENT);
	mp_write_str(&w, event);
	mp_write_uint(&w, rows);
	mp_write_uint(&w, columns);
	send_message(&r->link, &w, NULL, 0);
}

void play_evaluate(struct play_runner *r, const char *text)
{
	struct mp_writer w;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 2);
	mp_write_int(&w, CONTROL_EVALUATE);
	mp_write_str(&w, text);
	send_message(&r->link, &w, NULL, 0);
}

static void answer_library(struct play_runner *r, struct mp_reader *m,
			   play_library_fn library)
{
	uint64_t id = mp_read_uint(m);
	const char *text = NULL;
	struct mp_writer w;
	char name[200];
	int fd = -1;

	if (mp_bytes_copy(mp_read_str(m), name, sizeof(name)) == 0 && library)
		text = library(name);
	if (text)
		fd_from_bytes("library", text, strlen(text), &fd);
	mp_writer_init_heap(&w);
	mp_write_array(&w, 4);
	mp_write_int(&w, CONTROL_LIBRARY);
	mp_write_uint(&w, id);
	mp_write_int(&w, text ? STATUS_OK : STATUS_NOT_FOUND);
	mp_write_str(&w, text ? name : "no such library");
	send_message(&r->link, &w, &fd, text ? 1 : 0);
	fd_close(fd);
}

/* One message: its kind, 0 for none, -1 when the runner has gone. */
static int64_t take_message(struct play_runner *r, play_library_fn library,
			    struct play_result *ret, bool *ret_flag)
{
	struct link_message raw;
	struct mp_reader m;
	int64_t kind;
	int e;

	e = link_receive(&r->link, false, &raw);
	if (e <= 0)
		return e < 0 ? -1 : 0;
	mp_reader_init(&m, raw.data, raw.size);
	mp_read_array(&m);
	kind = mp_read_int(&m);
	if (kind == CONTROL_REPORT) {
		mp_bytes_copy(mp_read_str(&m), ret->report,
			      sizeof(ret->report));
		if (mp_peek(&m) == MP_INT)
			ret->detail = mp_read_int(&m);
	} else if (kind == CONTROL_WANT_LIBRARY) {
		answer_library(r, &m, library);
	} else if (kind == CONTROL_EVALUATE_DONE && ret_flag) {
		*ret_flag = mp_read_bool(&m);
	}
	link_message_deinit(&raw);
	return kind;
}

/* Append what @fd has; closes it at its end. */
static void gather(int *fd, char *to, size_t size)
{
	size_t used = strlen(to);
	char spill[4096];
	bool full = used + 1 >= size;
	ssize_t n;

	n = full ? read(*fd, spill, sizeof(spill))
		 : read(*fd, to + used, size - used - 1);
	if (n <= 0)
		*fd = fd_close(*fd);
	else if (!full)
		to[used + (size_t)n] = '\0';
}

/* Wait for any of the three, and take it: false when all have ended. */
static bool step(struct play_runner *r, play_library_fn library,
		 struct play_result *ret, int64_t *ret_kind, bool *ret_flag)
{
	struct pollfd fds[] = {
		{ .fd = r->output, .events = POLLIN },
		{ .fd = r->error, .events = POLLIN },
		{ .fd = r->link.fd, .events = POLLIN },
	};

	*ret_kind = 0;
	if (r->output < 0 && r->error < 0 && r->link.fd < 0)
		return false;
	if (poll(fds, 3, -1) < 0)
		fatal("poll");
	if (fds[0].revents)
		gather(&r->output, ret->output, sizeof(ret->output));
	if (fds[1].revents)
		gather(&r->error, ret->error, sizeof(ret->error));
	if (fds[2].revents) {
		*ret_kind = take_message(r, library, ret, ret_flag);
		if (*ret_kind < 0)
			r->link.fd = fd_close(r->link.fd);
	}
	return true;
}

void play_wait(struct play_runner *r, play_library_fn library,
	       struct play_result *ret)
{
	int64_t kind;

	while (step(r, library, ret, &kind, NULL))
		;
	r->input = fd_close(r->input);
	waitpid(r->pid, &ret->status, 0);
	link_deinit(&r->link);
}

bool play_wait_output(struct play_runner *r, const char *text,
		      struct play_result *ret)
{
	int64_t kind;

	while (!strstr(ret->output, text))
		if (!step(r, NULL, ret, &kind, NULL))
			return false;
	return true;
}

int play_wait_evaluated(struct play_runner *r)
{
	static struct play_result ignored;
	struct pollfd p = { .fd = r->link.fd, .events = POLLIN };
	bool flag = false;
	int64_t kind;

	do {
		poll(&p, 1, -1);
		kind = take_message(r, NULL, &ignored, &flag);
	} while (kind >= 0 && kind != CONTROL_EVALUATE_DONE);
	return kind < 0 ? -1 : flag;
}

void play_run(struct play_zygote *z, const struct play_start *s,
	      struct play_result *ret)
{
	struct play_runner r;

	memset(ret, 0, sizeof(*ret));
	if (play_fork(z, &r) < 0)
		fatal("fork by the zygote");
	play_start(&r, s);
	if (!s->interactive)
		r.input = fd_close(r.input);
	play_wait(&r, NULL, ret);
}
