/*
 * Children: what a process may start, what that gets, and when it ends.
 */

#include "thoxd/child.h"

#include "base/tap.h"
#include "thoxd/test_runs.h"

/* --- a program that a user runs -------------------------------------------
 */

static struct starter user;
static char refused[400];
static bool over;

static void on_started(struct starter *st, const struct run *run)
{
	(void)st;
	(void)run;
}

static void on_refused(struct starter *st, int status, const char *message,
		       const char *hint)
{
	(void)st;
	(void)status;
	(void)hint;
	snprintf(refused, sizeof(refused), "%s", message);
	over = true;
}

static void on_ended(struct starter *st, const struct run *run,
		     const struct run_end *end)
{
	(void)st;
	(void)run;
	(void)end;
	over = true;
}

static const struct starter_ops ops = {
	.started = on_started,
	.refused = on_refused,
	.ended = on_ended,
};

/* Runs, and has asked for context 0. */
static struct played *run_by_user(const struct run_spec *spec)
{
	int fds[4] = { open("/dev/null", O_RDWR | O_CLOEXEC),
		       open("/dev/null", O_RDWR | O_CLOEXEC),
		       open("/dev/null", O_RDWR | O_CLOEXEC), -1 };
	struct played *p;

	refused[0] = '\0';
	over = false;
	user = (struct starter){ .ops = &ops };
	run_start(&server, spec, fds, &user);
	for (unsigned i = 0; i < 4; i++)
		fd_close(fds[i]);
	turn_all();
	p = newest();
	return p && actor_zero(&p->actor) ? p : NULL;
}

static struct mp_bytes bytes(const char *text)
{
	return (struct mp_bytes){ text, strlen(text) };
}

static struct played *run_plain(void)
{
	struct run_spec spec = { .name = bytes("parent") };

	return run_by_user(&spec);
}

/* --- process.run ----------------------------------------------------------
 */

static uint32_t last_cid;
static struct mp_writer *call;

/* The argument's table follows: @pairs beside the program. */
static void begin_run(const char *program, uint32_t pairs)
{
	call = begin_call(++last_cid, "process.run", 1);
	mp_write_map(call, 1 + pairs);
	mp_write_str(call, "program");
	mp_write_str(call, program);
}

static void key(const char *name)
{
	mp_write_str(call, name);
}

static void pair(const char *name, const char *value)
{
	mp_write_str(call, name);
	mp_write_str(call, value);
}

/* The child, or NULL: `answer` says why not. */
static const struct heard *answer;

static struct played *run_child_of(struct played *parent)
{
	struct played *before = newest(), *child;

	send_zero(&parent->actor, call);
	turn_all();
	answer = hear_zero(&parent->actor);
	child = newest();
	return child != before ? child : NULL;
}

static struct played *child_of(struct played *parent, const char *program)
{
	begin_run(program, 0);
	return run_child_of(parent);
}

static pid_t answered_pid(void)
{
	struct mp_reader r;

	mp_reader_init(&r, answer->m.args.p, answer->m.args.size);
	(void)mp_read_array(&r);
	return (pid_t)mp_read_int(&r);
}

static bool was_refused(int status, const char *about)
{
	return answer->there && answer->m.status == status &&
	       strstr(heard_text(answer), about);
}

/* [93, pid, code | nil, signal?] */
static bool hears_end(struct played *p, pid_t pid, int64_t code, int64_t signal)
{
	struct link_message m;
	struct mp_reader r;
	bool ok;

	if (link_receive(&p->actor.link, false, &m) != 1)
		return false;
	mp_reader_init(&r, m.data, m.size);
	ok = mp_read_array(&r) == (signal ? 4 : 3) &&
	     mp_read_uint(&r) == CONTROL_CHILD_ENDED && mp_read_int(&r) == pid;
	if (signal)
		mp_read_nil(&r);
	ok = ok && mp_read_int(&r) == (signal ? signal : code) &&
	     mp_end(&r) == 0;
	link_message_deinit(&m);
	return ok;
}

/* --- tests ----------------------------------------------------------------
 */

/* Verify that a child is started, its PID answered, and its end told. */
static void test_a_child(void)
{
	struct played *parent = run_plain(), *child;
	pid_t pid;

	CHECK(parent);
	child = child_of(parent, "child");
	CHECK(child);
	CHECK_EQ(answer->m.status, STATUS_OK);
	pid = child->pid;
	CHECK_EQ(answered_pid(), pid);
	end_played(child);
	CHECK(hears_end(parent, pid, 0, 0));
	child = child_of(parent, "child");
	pid = child->pid;
	kill(pid, SIGKILL);
	tell_exit(child);
	CHECK(hears_end(parent, pid, 0, SIGKILL));
	end_played(parent);
	CHECK(over);
}

/* Verify that what cannot be run is said. */
static void test_no_such_program(void)
{
	struct played *parent = run_plain();

	CHECK(!child_of(parent, "chlid"));
	CHECK(was_refused(STATUS_NOT_FOUND, "did you mean 'child'?"));
	call = begin_call(++last_cid, "process.run", 1);
	mp_write_str(call, "child");
	CHECK(!run_child_of(parent));
	CHECK(was_refused(STATUS_INVALID, "a table is wanted"));
	end_played(parent);
}

/* Verify that a child's limits are its parent's, or less, never more. */
static void test_limits_never_widen(void)
{
	static const struct {
		const char *limit;
		const char *of_start; /* the start message's key */
		uint64_t parents;
		double more, less;
		uint64_t less_is;
	} rows[] = {
		{ "memory", "memory_bytes", 32 << 20, 1 << 30, 16 << 20,
		  16 << 20 },
		{ "cpu", "cpu_ms", 5000, 100, 0.5, 500 },
		{ "tasks", "tasks", 10, 100, 5, 5 },
		{ "descriptors", "descriptors", 100, 1000, 50, 50 },
	};
	struct run_spec spec = {
		.name = bytes("parent"),
		.memory_bytes = 32 << 20,
		.cpu_ms = 5000,
		.wall_ms = 60000,
		.tasks = 10,
		.descriptors = 100,
	};
	struct played *parent = run_by_user(&spec), *child;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		child = child_of(parent, "child");
		CHECK_EQ(start_number(child, rows[i].of_start),
			 rows[i].parents);
		end_played(child);
		for (unsigned less = 0; less < 2; less++) {
			begin_run("child", 1);
			key("limits");
			mp_write_map(call, 1);
			key(rows[i].limit);
			mp_write_double(call,
					less ? rows[i].less : rows[i].more);
			child = run_child_of(parent);
			CHECK_EQ(start_number(child, rows[i].of_start),
				 less ? rows[i].less_is : rows[i].parents);
			end_played(child);
		}
	}
	end_played(parent);
}

/* Verify that the wall time of a child is bounded likewise. */
static void test_wall_time(void)
{
	struct run_spec spec = { .name = bytes("parent"), .wall_ms = 60000 };
	struct played *parent = run_by_user(&spec), *child;
	struct run *run;

	begin_run("child", 1);
	key("limits");
	mp_write_map(call, 1);
	key("wall");
	mp_write_uint(call, 3600);
	child = run_child_of(parent);
	CHECK(child);
	run = run_of_principal(principal_find(&server, child->pid));
	CHECK_EQ(run->wall_ms, 60000);
	end_played(child);
	end_played(parent);
}

/* Verify that processes are counted with all that come of them. */
static void test_processes_are_counted(void)
{
	struct run_spec spec = { .name = bytes("parent"), .processes = 3 };
	struct played *parent = run_by_user(&spec), *child, *grandchild;

	child = child_of(parent, "child");
	CHECK(actor_zero(&child->actor));
	begin_run("child", 1);
	key("limits");
	mp_write_map(call, 1);
	key("processes");
	mp_write_uint(call, 1000);
	grandchild = run_child_of(child);
	CHECK(grandchild);
	CHECK(actor_zero(&grandchild->actor));
	CHECK(child_of(grandchild, "child"));
	CHECK(!child_of(grandchild, "child"));
	CHECK(was_refused(STATUS_TOO_LARGE, "may have 3 that come of it"));
	CHECK(!child_of(parent, "child"));
	CHECK(was_refused(STATUS_TOO_LARGE, "may have 3"));
	end_played(newest());
	CHECK(child_of(parent, "child"));
	while (newest() != parent)
		end_played(newest());
	end_played(parent);
}

/* Verify that children end with their parent: asked to, when it ended by
 * itself, and killed when it was. */
static void test_children_end_with_their_parent(void)
{
	struct played *parent = run_plain(), *child, *grandchild;

	child = child_of(parent, "child");
	CHECK(actor_zero(&child->actor));
	grandchild = child_of(child, "child");
	child->woken = false; /* read what it is told */
	end_played(parent);
	turn_all();
	CHECK(child->notified && !has_ended(child, 0));
	CHECK(!child_of(child, "child"));
	CHECK(was_refused(STATUS_DENIED, "about to end"));
	grandchild->woken = false;
	end_played(child);
	turn_all();
	CHECK(dies(grandchild));
	tell_exit(grandchild);

	parent = run_plain();
	child = child_of(parent, "child");
	kill(parent->pid, SIGKILL);
	tell_exit(parent);
	turn_all();
	CHECK(dies(child));
	tell_exit(child);
	CHECK_EQ(server.n_runs, 0);
}

/* Verify that a child of which nobody would know the PID is not left. */
static void test_a_cancelled_call_leaves_nothing(void)
{
	struct played *parent = run_plain(), *child;
	unsigned before = server.n_runs;
	struct mp_writer w;

	begin_run("child", 0);
	(void)link_send(&parent->actor.zero, call->data, call->used, NULL, 0);
	mp_writer_init(&w, said, sizeof(said));
	wire_write_cancel(&w, last_cid);
	(void)link_send(&parent->actor.zero, w.data, w.used, NULL, 0);
	turn_all();
	child = newest();
	if (child != parent) {
		CHECK(dies(child));
		tell_exit(child);
	}
	CHECK_EQ(server.n_runs, before);
	end_played(parent);
}

/* Verify that a child's policy is its parent's, and narrower if wanted. */
static void test_policy_never_widens(void)
{
	_cleanup_(policy_unrefp) struct policy *policy = NULL;
	struct run_spec spec = { .name = bytes("parent") };
	struct played *parent, *child, *grandchild;

	CHECK_EQ(policy_new(NULL, "the user", &policy), 0);
	CHECK_EQ(policy_parse_list(policy, POLICY_BIND, true, "a.**"), 0);
	CHECK_EQ(policy_parse_list(policy, POLICY_RUN, true, "child"), 0);
	spec.policy = policy;
	parent = run_by_user(&spec);
	begin_run("child", 1);
	key("policy");
	mp_write_map(call, 1);
	key("allow");
	mp_write_map(call, 1);
	key("bind");
	mp_write_array(call, 2);
	mp_write_str(call, "a.b");
	mp_write_str(call, "c");
	child = run_child_of(parent);
	CHECK(child && actor_zero(&child->actor));
	CHECK_EQ(call_name(&child->actor, 900, "bind", "a.b")->m.status,
		 STATUS_OK);
	CHECK_EQ(call_name(&child->actor, 901, "bind", "c")->m.status,
		 STATUS_DENIED);
	CHECK_EQ(call_name(&child->actor, 902, "bind", "a.c")->m.status,
		 STATUS_DENIED);
	grandchild = child_of(child, "child");
	CHECK(grandchild && actor_zero(&grandchild->actor));
	CHECK_EQ(call_name(&grandchild->actor, 903, "bind", "a.c")->m.status,
		 STATUS_DENIED);
	CHECK(!child_of(parent, "parent"));
	CHECK(was_refused(STATUS_DENIED, "parent"));
	while (newest() != parent)
		end_played(newest());
	end_played(parent);
}

/* Verify that a text is nobody's program, whatever it is called. */
static void test_a_text_has_no_identity(void)
{
	struct played *parent = run_plain(), *child;
	struct principal *p;

	call = begin_call(++last_cid, "process.run", 1);
	mp_write_map(call, 2);
	pair("code", "return 1");
	pair("name", "child");
	child = run_child_of(parent);
	CHECK(child);
	p = principal_find(&server, child->pid);
	CHECK_STR(p->program, "");
	CHECK_STR(run_of_principal(p)->name, "child");
	end_played(child);
	child = child_of(parent, "child");
	CHECK_STR(principal_find(&server, child->pid)->program, "child");
	end_played(child);
	end_played(parent);
}

/* Verify that a runtime by a process serves those who may no more than it. */
static void test_runtimes_by_processes(void)
{
	_cleanup_(policy_unrefp) struct policy *narrow = NULL, *other = NULL;
	struct run_spec spec = { .name = bytes("parent"),
				 .runtime = bytes("theirs") };
	char digest[POLICY_DIGEST_BYTES];
	struct played *p;

	CHECK_EQ(policy_new(NULL, "a", &narrow), 0);
	CHECK_EQ(policy_parse_list(narrow, POLICY_CALL, true, "a"), 0);
	policy_digest(narrow, digest);
	put_text(DIR_RUNTIMES, "theirs", "-- 1", digest);
	CHECK(!run_by_user(&spec));
	CHECK(strstr(refused, "may less"));
	CHECK_EQ(policy_new(NULL, "b", &other), 0);
	CHECK_EQ(policy_parse_list(other, POLICY_CALL, true, "b"), 0);
	spec.policy = other;
	CHECK(!run_by_user(&spec));
	CHECK(strstr(refused, "may less"));
	spec.policy = narrow;
	p = run_by_user(&spec);
	CHECK(p);
	CHECK_STR(principal_find(&server, p->pid)->program, "");
	end_played(p);
}

/* Verify that an end of a pipe moves to the child, and is closed here. */
static void test_pipes_move(void)
{
	struct played *parent = run_plain(), *child;
	struct link_message m;
	struct mp_reader r;
	uint64_t number;
	int reader, writer;
	char byte = 0;

	SAY(&parent->actor, CONTROL_WANT_PIPE, 7);
	CHECK_EQ(link_receive(&parent->actor.link, false, &m), 1);
	mp_reader_init(&r, m.data, m.size);
	CHECK_EQ(mp_read_array(&r), 4);
	CHECK_EQ(mp_read_uint(&r), CONTROL_PIPE);
	CHECK_EQ(mp_read_uint(&r), 7);
	CHECK_EQ(mp_read_int(&r), STATUS_OK);
	number = mp_read_uint(&r);
	reader = link_message_take_fd(&m, 0);
	writer = link_message_take_fd(&m, 1);
	link_message_deinit(&m);

	begin_run("child", 1);
	key("stdout");
	mp_write_map(call, 2);
	key("pipe");
	mp_write_uint(call, number);
	pair("end", "writer");
	child = run_child_of(parent);
	CHECK(child);
	fd_close(writer); /* as its runner does, since it has moved */
	CHECK_EQ(write(child->fds[1], "x", 1), 1);
	CHECK_EQ(read(reader, &byte, 1), 1);
	CHECK_EQ(byte, 'x');
	begin_run("child", 1);
	key("stdout");
	mp_write_map(call, 2);
	key("pipe");
	mp_write_uint(call, number);
	pair("end", "writer");
	CHECK(!run_child_of(parent));
	CHECK(was_refused(STATUS_INVALID, "no such end"));
	child->fds[1] = fd_close(child->fds[1]);
	end_played(child);
	CHECK_EQ(read(reader, &byte, 1), 0); /* nobody has it any more */
	fd_close(reader);
	end_played(parent);
}

/* Verify that another's pipe cannot be named. */
static void test_pipes_of_others(void)
{
	struct played *parent = run_plain(), *child = child_of(parent, "child");
	struct told t;

	CHECK(actor_zero(&child->actor));
	SAY(&parent->actor, CONTROL_WANT_PIPE, 1);
	t = hear(&parent->actor);
	fd_close(t.fd);
	begin_run("child", 1);
	key("stdin");
	mp_write_map(call, 1);
	key("pipe");
	mp_write_uint(call, server.last_pipe);
	CHECK(!run_child_of(child));
	CHECK(was_refused(STATUS_INVALID, "no such end"));
	end_played(child);
	end_played(parent);
}

/* Verify that what a child inherits is its parent's, until that closes it. */
static void test_streams_are_inherited(void)
{
	struct run_spec spec = { .name = bytes("parent") };
	int pair_fds[2], fds[4] = { -1, -1, -1, -1 };
	struct played *parent, *child;
	char byte;

	CHECK_EQ(pipe2(pair_fds, O_CLOEXEC), 0);
	fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[1] = pair_fds[1];
	fds[2] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	user = (struct starter){ .ops = &ops };
	run_start(&server, &spec, fds, &user);
	turn_all();
	parent = newest();
	CHECK(actor_zero(&parent->actor));
	child = child_of(parent, "child");
	CHECK_EQ(write(child->fds[1], "x", 1), 1);
	CHECK_EQ(read(pair_fds[0], &byte, 1), 1);
	end_played(child);
	child->fds[1] = fd_close(child->fds[1]);

	SAY(&parent->actor, CONTROL_STREAM_CLOSED, 1);
	parent->fds[1] = fd_close(parent->fds[1]);
	CHECK_EQ(read(pair_fds[0], &byte, 1), 0); /* thoxd has none either */
	child = child_of(parent, "child");
	CHECK_EQ(write(child->fds[1], "x", 1), 1);
	CHECK_EQ(read(pair_fds[0], &byte, 1), 0);
	end_played(child);
	end_played(parent);
	fd_close(pair_fds[0]);
}

/* Verify that a process knows and ends what came of it, and no others. */
static void test_whom_it_may_end(void)
{
	_cleanup_(policy_unrefp) struct policy *policy = NULL;
	struct run_spec spec = { .name = bytes("parent") };
	struct played *parent, *child, *stranger;
	struct mp_writer *w;

	CHECK_EQ(policy_new(NULL, "the user", &policy), 0);
	CHECK_EQ(policy_parse_list(policy, POLICY_RUN, true, "child"), 0);
	stranger = run_plain();
	spec.policy = policy;
	parent = run_by_user(&spec);
	child = child_of(parent, "child");
	CHECK(actor_zero(&child->actor));
	w = begin_call(++last_cid, "process.kill", 1);
	mp_write_int(w, stranger->pid);
	send_zero(&parent->actor, w);
	answer = hear_zero(&parent->actor);
	CHECK(was_refused(STATUS_NOT_FOUND, "has no process"));
	w = begin_call(++last_cid, "process.kill", 1);
	mp_write_int(w, parent->pid);
	send_zero(&child->actor, w);
	answer = hear_zero(&child->actor);
	CHECK(was_refused(STATUS_NOT_FOUND, "has no process"));
	w = begin_call(++last_cid, "process.kill", 1);
	mp_write_int(w, child->pid);
	send_zero(&parent->actor, w);
	answer = hear_zero(&parent->actor);
	CHECK_EQ(answer->m.status, STATUS_OK);
	CHECK(dies(child));
	tell_exit(child);
	end_played(parent);
	end_played(stranger);
}

/* --- contexts -------------------------------------------------------------
 */

/* For an argument: the number that names it. */
static uint64_t share(struct played *p, uint64_t context)
{
	struct told t;

	SAY(&p->actor, CONTROL_SHARE_OWN, 5, context, p->actor.zero_number);
	t = hear(&p->actor);
	return t.kind == CONTROL_SHARED && t.status == STATUS_OK ? t.number : 0;
}

static struct played *child_on(struct played *parent, uint64_t right)
{
	begin_run("child", 1);
	key("context");
	wire_write_context(call, right);
	return run_child_of(parent);
}

/* Verify that a child's context 0 is what its parent says, and that the
 * parent gets what stands for the child. */
static void test_another_context_zero(void)
{
	struct played *parent = run_plain(), *child;
	struct told up, opened, zero;
	struct mp_writer *w;

	child = child_on(parent, share(parent, 1));
	CHECK(child);
	CHECK_EQ(answer->m.status, STATUS_OK);
	CHECK_EQ(answered_pid(), child->pid);
	CHECK_EQ(answer->n_contexts, 1);
	up = hear(&parent->actor);
	CHECK_EQ(up.kind, CONTROL_HOLD);
	CHECK_EQ(up.id, answer->contexts[0].number);
	CHECK(up.resolves && !up.zero);

	SAY(&child->actor, CONTROL_WANT_ZERO);
	zero = hear(&child->actor);
	CHECK_EQ(zero.kind, CONTROL_HOLD);
	CHECK(zero.zero && !zero.resolves);
	CHECK_EQ(zero.pid, parent->pid);
	opened = hear(&parent->actor);
	CHECK_EQ(opened.kind, CONTROL_OPENED);
	CHECK_EQ(opened.context, 1);
	CHECK_EQ(opened.pid, child->pid);
	CHECK_STR(opened.program, "child");
	CHECK(connected(zero.fd, opened.fd));

	/* over `up`, a name is the child's to bind */
	link_deinit(&parent->actor.zero);
	link_init(&parent->actor.zero, up.fd);
	w = begin_call(1, "x", 0);
	mp_writer_init(w, said, sizeof(said));
	wire_write_hello(w, 1 << 20);
	send_zero(&parent->actor, w);
	while (hear_zero(&parent->actor)->there)
		; /* its hello */
	CHECK_EQ(call_name(&parent->actor, 2, "bind", "of.child")->m.status,
		 STATUS_OK);
	CHECK(!list_empty(&principal_find(&server, child->pid)->providers));
	CHECK(list_empty(&principal_find(&server, parent->pid)->providers));
	fd_close(zero.fd);
	fd_close(opened.fd);
	end_played(child);
	end_played(parent);
}

/* Verify that whoever was given another context 0 cannot give its own
 * children thoxd's. */
static void test_the_way_out_is_closed(void)
{
	struct played *parent = run_plain(), *child, *grandchild;
	struct told up, opened, zero;
	struct mp_writer *w;

	child = child_on(parent, share(parent, 1));
	CHECK(child);
	up = hear(&parent->actor);
	/* the parent forwards what the child would ask for */
	link_init(&child->actor.zero, up.fd);
	child->actor.zero_number = up.id;
	w = begin_call(1, "x", 0);
	mp_writer_init(w, said, sizeof(said));
	wire_write_hello(w, 1 << 20);
	send_zero(&child->actor, w);
	while (hear_zero(&child->actor)->there)
		; /* its hello */
	grandchild = child_of(child, "child");
	CHECK(grandchild);
	SAY(&grandchild->actor, CONTROL_WANT_ZERO);
	zero = hear(&grandchild->actor);
	CHECK_EQ(zero.kind, CONTROL_HOLD);
	CHECK(zero.zero && !zero.resolves);
	CHECK_EQ(zero.pid, parent->pid);
	opened = hear(&parent->actor);
	CHECK_EQ(opened.kind, CONTROL_OPENED);
	CHECK_EQ(opened.pid, grandchild->pid);
	fd_close(zero.fd);
	fd_close(opened.fd);
	end_played(grandchild);
	end_played(child);
	end_played(parent);
}

/* Verify that a context among the arguments is there before they are. */
static void test_contexts_in_arguments(void)
{
	struct played *parent = run_plain(), *child;
	struct told held, opened;
	uint64_t right = share(parent, 3);
	struct mp_bytes args;
	struct mp_reader r;

	begin_run("child", 1);
	key("args");
	mp_write_array(call, 3);
	mp_write_str(call, "a");
	wire_write_context(call, right);
	wire_write_context(call, right);
	child = run_child_of(parent);
	CHECK(child);
	CHECK_EQ(child->held.kind, CONTROL_HOLD);
	CHECK_EQ(child->held.id, right);
	args = start_value(child, "args");
	mp_reader_init(&r, args.p, args.size);
	CHECK_EQ(mp_read_array(&r), 3);
	CHECK(mp_bytes_equal(mp_read_str(&r), "a"));
	CHECK_EQ(wire_read_context(&r), right);
	held = child->held;
	opened = hear(&parent->actor);
	CHECK_EQ(opened.kind, CONTROL_OPENED);
	CHECK_EQ(opened.context, 3);
	CHECK_EQ(opened.pid, child->pid);
	CHECK(connected(held.fd, opened.fd));
	fd_close(held.fd);
	fd_close(opened.fd);
	end_played(child);
	end_played(parent);
}

/* Verify that contexts of others, or none, cannot be named. */
static void test_contexts_of_others(void)
{
	struct played *parent = run_plain(), *other = run_plain();
	uint64_t right = share(parent, 1);

	CHECK(!child_on(other, right));
	CHECK_EQ(answer->m.status, STATUS_INVALID);
	CHECK(!child_on(other, 987654));
	CHECK_EQ(answer->m.status, STATUS_INVALID);
	/* what was used for one child is not there for another */
	CHECK(child_on(parent, right));
	(void)hear(&parent->actor);
	CHECK(!child_on(parent, right));
	CHECK_EQ(answer->m.status, STATUS_INVALID);
	while (newest() != other)
		end_played(newest());
	end_played(other);
	end_played(parent);
}

int main(void)
{
	begin_runs();
	put_text(DIR_PROGRAMS, "parent", "", "");
	put_text(DIR_PROGRAMS, "child", "", "");
	RUN(test_a_child);
	RUN(test_no_such_program);
	RUN(test_limits_never_widen);
	RUN(test_wall_time);
	RUN(test_processes_are_counted);
	RUN(test_children_end_with_their_parent);
	RUN(test_a_cancelled_call_leaves_nothing);
	RUN(test_policy_never_widens);
	RUN(test_a_text_has_no_identity);
	RUN(test_runtimes_by_processes);
	RUN(test_pipes_move);
	RUN(test_pipes_of_others);
	RUN(test_streams_are_inherited);
	RUN(test_whom_it_may_end);
	RUN(test_another_context_zero);
	RUN(test_the_way_out_is_closed);
	RUN(test_contexts_in_arguments);
	RUN(test_contexts_of_others);
	end_runs();
	return tap_done();
}
