/*
 * Callers of thox-storaged that write down what they did and what they were
 * told, while it is killed again and again; then: is there an order that
 * explains it all?
 *
 * usage: storage-history [--callers N] [--rounds N] [--ops N] [--quiet]
 *          [--kill | --dies] [--fails] [--seed N] STORE -- COMMAND... [-- COMMAND...]
 *
 * Each round is one life of the daemon, begun by the second COMMAND if there
 * is one; the last life, begun by the first, only reads. --kill: a round ends
 * by SIGKILL at a random time; --dies: by itself, or after all operations. All
 * writes are synced then. Without both: some are not, and rounds end in peace.
 * --ops: of all callers together, in one round. --fails: answers may be errors
 * of the disk; such a write was done, or was not, and at least one must be.
 *
 * The keys are pairs; pairs and counters are objects of linear.h, checked
 * round by round. Locks are checked by their times: nobody may have had one
 * while it was certainly another's.
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/status.h"
#include "storaged/database.h"
#include "storaged/play.h"
#include "tests/linear.h"

#define PROGRAM	    "history"
#define CALLERS_MAX 64U
#define OBJECTS	    6U /* the first ones are pairs, the others counters */
#define PAIRS	    4U
#define LOCKS	    2U
#define OPS_MAX	    20000U
#define NONE	    0	 /* instead of a value: values begin with 1 */
#define PEACE_OPS   200U /* then all wait, so that the pieces stay small */

enum what {
	GET,
	SET,
	CAS,
	DELETE,
	SET_BOTH,
	CAS_BOTH,
	LIST,
	INCREMENT,
	READ_COUNTER,
	LOCK,
	WHATS
};

static const char *const what_name[WHATS] = {
	"get",	       "set",  "set if",    "delete",	    "set both",
	"set both if", "list", "increment", "read counter", "lock"
};

struct op {
	enum what what;
	unsigned caller, object, key;
	int64_t value[2];    /* to be written; of a list: that were seen */
	int64_t expected[2]; /* of a condition */
	int64_t seen;	     /* value, sum; 1: was done, was there */
	uint64_t called, answered;
	bool was_answered;
};

/* What a caller knows of a key: enough for a condition. */
struct known {
	int64_t value;
	uint64_t version;
};

struct held {
	struct link link;
	uint64_t number; /* the link's */
	unsigned lock;
	bool shared;
	uint64_t since;
};

struct caller {
	struct link link;
	struct op *op; /* under way */
	uint32_t cid;
	bool shared; /* the lock that is asked for */
	struct known known[PAIRS][2];
	struct held held; /* .link.fd -1: nothing */
	struct held back; /* what was given back, and may be named again */
	unsigned keeps;	  /* operations until it lets go */
};

/* Somebody certainly had a lock. */
struct hold {
	unsigned lock;
	bool shared;
	uint64_t from, to;
};

static struct {
	unsigned callers, rounds, ops;
	bool kill, dies, fails, quiet;
	uint64_t seed;
	const char *store;
	const char *const *plain, *const *wrapped;
} options = { .callers = 16, .rounds = 10, .ops = 2000, .seed = 1 };

static struct play play;
static struct caller callers[CALLERS_MAX];
static struct op ops[OPS_MAX];
static unsigned n_ops, n_total, n_failed;
static struct hold holds[OPS_MAX];
static unsigned n_holds;
static struct linear_states states[OBJECTS];
static unsigned n_looked; /* objects, in this life */
static uint64_t now;	  /* a count of what happens */
static int64_t last_value;
static uint64_t random_state;

static _Noreturn void die(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
static _Noreturn void die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (play.pid > 0)
		kill(play.pid, SIGKILL);
	exit(1);
}

/* xorshift64*: the same for the same seed everywhere. */
static uint64_t random_below(uint64_t n)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dULL >> 33) % n;
}

/* --- an operation, as a step of its object ------------------------------------ */

static bool step_pair(const struct op *o, struct linear_state *s)
{
	int64_t *v = &s->v[o->key];

	switch (o->what) {
	case GET:
		return *v == o->seen;
	case SET:
		*v = o->value[0];
		return true;
	case CAS:
		if (!o->was_answered || o->seen) {
			bool same = *v == o->expected[0];

			*v = same ? o->value[0] : *v;
			return same || !o->was_answered;
		}
		return *v != o->expected[0];
	case DELETE:
		if (o->was_answered && o->seen != (*v != NONE))
			return false;
		*v = NONE;
		return true;
	case SET_BOTH:
		memcpy(s->v, o->value, sizeof(s->v));
		return true;
	case CAS_BOTH: {
		bool same = memcmp(s->v, o->expected, sizeof(s->v)) == 0;

		if (same && (!o->was_answered || o->seen))
			memcpy(s->v, o->value, sizeof(s->v));
		return !o->was_answered || same == (o->seen != 0);
	}
	case LIST:
		return memcmp(s->v, o->value, sizeof(s->v)) == 0;
	default:
		return false;
	}
}

static bool step(const void *what, struct linear_state *s)
{
	const struct op *o = what;

	switch (o->what) {
	case INCREMENT:
		s->v[0]++;
		return !o->was_answered || s->v[0] == o->seen;
	case READ_COUNTER:
		return s->v[0] == o->seen;
	default:
		return step_pair(o, s);
	}
}

static bool writes(const struct op *o)
{
	return o->what != GET && o->what != LIST && o->what != READ_COUNTER &&
	       o->what != LOCK;
}

/* --- calls ---------------------------------------------------------------------- */

static const char *key_name(unsigned object, unsigned key, char buf[16])
{
	snprintf(buf, 16, "%u/%c", object, 'a' + (int)key);
	return buf;
}

static void write_options(struct mp_writer *w, const uint64_t *version)
{
	bool sync = options.kill || options.dies || options.fails ||
		    random_below(2) == 0;

	mp_write_map(w, version ? 2 : 1);
	mp_write_str(w, "sync");
	mp_write_bool(w, sync);
	if (!version)
		return;
	mp_write_str(w, "if_version");
	mp_write_uint(w, *version);
}

static void write_set_both(struct caller *c, struct mp_writer *w,
			   const struct op *o)
{
	bool conditional = o->what == CAS_BOTH;
	char name[16];

	mp_write_array(w, 2 + (conditional ? 4 : 0) + 8);
	write_options(w, NULL);
	mp_write_uint(w, conditional ? 2 : 0);
	for (unsigned i = 0; conditional && i < 2; i++) {
		mp_write_str(w, key_name(o->object, i, name));
		mp_write_uint(w, c->known[o->object][i].version);
	}
	for (unsigned i = 0; i < 2; i++) {
		mp_write_str(w, "set");
		mp_write_str(w, key_name(o->object, i, name));
		mp_write_int(w, o->value[i]);
		mp_write_nil(w);
	}
}

/* Its name, and its arguments into @w. */
static const char *write_call(struct caller *c, struct mp_writer *w,
			      const struct op *o)
{
	char name[16];

	key_name(o->object, o->key, name);
	switch (o->what) {
	case GET:
	case READ_COUNTER:
		mp_write_array(w, 1);
		mp_write_str(w, name);
		return "storage.keys.get";
	case SET:
	case CAS:
		mp_write_array(w, 3);
		mp_write_str(w, name);
		mp_write_int(w, o->value[0]);
		write_options(w, o->what == CAS
					 ? &c->known[o->object][o->key].version
					 : NULL);
		return "storage.keys.set";
	case DELETE:
		mp_write_array(w, 2);
		mp_write_str(w, name);
		write_options(w, NULL);
		return "storage.keys.delete";
	case INCREMENT:
		mp_write_array(w, 3);
		mp_write_str(w, name);
		mp_write_int(w, 1);
		write_options(w, NULL);
		return "storage.keys.increment";
	case LIST:
		snprintf(name, sizeof(name), "%u/", o->object);
		mp_write_array(w, 1);
		mp_write_str(w, name);
		return "storage.keys.list";
	case LOCK:
		snprintf(name, sizeof(name), "%u", o->object);
		mp_write_array(w, 2);
		mp_write_str(w, name);
		mp_write_map(w, 2);
		mp_write_str(w, "timeout");
		mp_write_double(w, (double)random_below(10) / 1000);
		mp_write_str(w, "shared");
		mp_write_bool(w, c->shared);
		return "storage.lock";
	default:
		write_set_both(c, w, o);
		return "storage.keys.transaction";
	}
}

/* A life begins with a look at everything, so that few states are left. */
static bool look_first(struct op *o)
{
	if (n_looked == OBJECTS)
		return false;
	o->object = n_looked++;
	o->what = o->object < PAIRS ? LIST : READ_COUNTER;
	o->key = 0;
	return true;
}

static void choose(struct caller *c, struct op *o)
{
	*o = (struct op){ .caller = (unsigned)(c - callers),
			  .what = random_below(WHATS) };
	if (look_first(o))
		return;
	o->object = (unsigned)random_below(PAIRS);
	o->key = (unsigned)random_below(2);
	if (o->what == LOCK) {
		o->object = (unsigned)random_below(LOCKS);
		c->shared = random_below(3) > 0;
		if (c->held.link.fd >= 0)
			o->what = INCREMENT; /* one at a time */
	}
	if (o->what == INCREMENT || o->what == READ_COUNTER) {
		o->object = PAIRS + (unsigned)random_below(OBJECTS - PAIRS);
		o->key = 0;
		return;
	}
	if (o->what == LIST || o->what == SET_BOTH || o->what == CAS_BOTH)
		o->key = 0;
	o->value[0] = ++last_value;
	o->value[1] = ++last_value;
	if (o->what == LOCK)
		return;
	for (unsigned i = 0; i < 2; i++)
		o->expected[i] =
			c->known[o->object][o->what == CAS ? o->key : i].value;
}

/* False: its link is closed. */
static bool begin(struct caller *c)
{
	struct op *o = &ops[n_ops];
	struct mp_writer w;
	const char *name;
	int r;

	choose(c, o);
	mp_writer_init_heap(&w);
	name = write_call(c, &w, o);
	o->called = ++now;
	r = play_send(&c->link, ++c->cid, name,
		      (struct mp_bytes){ (const char *)w.data, w.used });
	mp_writer_deinit(&w);
	/* A call that did not get away was not made. */
	if (r < 0)
		return false;
	n_ops++;
	c->op = o;
	return true;
}

/* --- answers -------------------------------------------------------------------- */

static unsigned n_again; /* locks by a link that was given back */

static bool give_back(struct link *l)
{
	uint8_t buf[8];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_return(&w);
	return link_send(l, w.data, w.used, NULL, 0) == 0;
}

static void let_go(struct caller *c)
{
	struct held *h = &c->held;

	if (h->link.fd < 0)
		return;
	holds[n_holds++] = (struct hold){ h->lock, h->shared, h->since, ++now };
	if (c->back.link.fd < 0 && random_below(4) > 0 && give_back(&h->link))
		c->back = *h;
	else
		link_deinit(&h->link);
	h->link.fd = -1;
}

static void take_lock(struct caller *c, const struct op *o, struct mp_reader *r)
{
	uint64_t number = wire_read_context(r);

	if (c->back.link.fd >= 0 && c->back.number == number) {
		c->held.link = c->back.link;
		c->back.link.fd = -1;
		n_again++;
	} else if (play_take(&play, number, &c->held.link) < 0) {
		die("a lock was answered without its context");
	}
	c->held.number = number;
	c->held.lock = o->object;
	c->held.shared = c->shared;
	c->held.since = now;
	c->keeps = 1 + (unsigned)random_below(8);
}

static int64_t read_value(struct mp_reader *r)
{
	if (mp_peek(r) != MP_NIL)
		return mp_read_int(r);
	mp_read_nil(r);
	return NONE;
}

static void take_list(struct op *o, struct mp_reader *r, uint32_t n)
{
	memset(o->value, 0, sizeof(o->value));
	for (mp_skip(r); n >= 5; n -= 4) {
		struct mp_bytes key = mp_read_str(r);
		int64_t value = mp_read_int(r);

		mp_skip(r);
		mp_skip(r);
		if (key.size == 3)
			o->value[key.p[2] - 'a'] = value;
	}
}

/* What was written is known with its version, if the answer says it. */
static void take_written(struct caller *c, struct op *o, struct mp_reader *r)
{
	struct known *k = c->known[o->object];

	o->seen = mp_peek(r) == MP_INT;
	if (!o->seen) {
		/* Some other time with what is there now. */
		return;
	}
	if (o->what == SET || o->what == CAS) {
		k[o->key] = (struct known){ o->value[0], mp_read_uint(r) };
		return;
	}
	/* The version is the second key's; the first one's is before it. */
	k[1] = (struct known){ o->value[1], mp_read_uint(r) };
	k[0] = (struct known){ o->value[0], k[1].version - 1 };
}

static void take_answer(struct caller *c, const struct wire_message *m)
{
	struct op *o = steal(&c->op);
	struct mp_reader r;
	uint32_t n;

	o->answered = ++now;
	o->was_answered = true;
	mp_reader_init(&r, m->args.p, m->args.size);
	n = mp_read_array(&r);
	if (m->status != STATUS_OK) {
		struct mp_bytes why = mp_read_str(&r);

		if (o->what == LOCK && m->status == STATUS_TIMEOUT)
			return;
		if (options.fails && m->status == STATUS_ERROR) {
			o->was_answered = false;
			n_failed++;
			return;
		}
		die("%s was answered with status %d: %.*s", what_name[o->what],
		    (int)m->status, (int)why.size, why.p);
	}
	switch (o->what) {
	case GET:
		o->seen = read_value(&r);
		c->known[o->object][o->key].value = o->seen;
		c->known[o->object][o->key].version = mp_read_uint(&r);
		break;
	case READ_COUNTER:
	case INCREMENT:
		o->seen = read_value(&r);
		break;
	case DELETE:
		o->seen = mp_read_bool(&r);
		c->known[o->object][o->key] = (struct known){ NONE, 0 };
		break;
	case LIST:
		take_list(o, &r, n);
		break;
	case LOCK:
		take_lock(c, o, &r);
		break;
	default:
		take_written(c, o, &r);
	}
	if (r.bad)
		die("%s was answered with something else", what_name[o->what]);
	if (c->held.link.fd >= 0 && c->keeps-- == 0)
		let_go(c);
}

/* --- a life of the daemon --------------------------------------------------------- */

static void connect_all(void)
{
	for (unsigned i = 0; i < options.callers; i++) {
		struct caller *c = &callers[i];

		if (play_open(&play, PROGRAM, &c->link) < 0)
			die("no link to be had");
		c->op = NULL;
		c->held.link.fd = c->back.link.fd = -1;
	}
}

static void disconnect_all(void)
{
	for (unsigned i = 0; i < options.callers; i++) {
		struct caller *c = &callers[i];

		/* What was not answered was done by now, or never. */
		if (c->op)
			c->op->answered = now;
		c->op = NULL;
		let_go(c);
		if (c->back.link.fd >= 0)
			link_deinit(&c->back.link);
		link_deinit(&c->link);
	}
}

static bool wait_for_something(uint64_t until_ns)
{
	struct pollfd fds[CALLERS_MAX + 2];
	unsigned n = 0;
	uint64_t t = clock_ns();
	int timeout_ms = -1;

	fds[n++] = (struct pollfd){ play.control.fd, POLLIN, 0 };
	fds[n++] = (struct pollfd){ play.zero.fd, POLLIN, 0 };
	for (unsigned i = 0; i < options.callers; i++)
		fds[n++] = (struct pollfd){ callers[i].link.fd, POLLIN, 0 };
	if (until_ns)
		timeout_ms = t < until_ns ? (int)((until_ns - t) / 1000000) : 0;
	if (timeout_ms < 0)
		timeout_ms = 20000;
	if (poll(fds, n, timeout_ms) == 0 && !until_ns)
		die("there is no answer");
	return !until_ns || clock_ns() < until_ns;
}

static unsigned n_busy(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < options.callers; i++)
		n += callers[i].op != NULL;
	return n;
}

/* False: the daemon is gone. */
static bool serve_callers(unsigned most)
{
	struct wire_message m;
	int r;

	if (play_turn(&play) < 0)
		return false;
	for (unsigned i = 0; i < options.callers; i++) {
		struct caller *c = &callers[i];

		while ((r = play_receive(&c->link, &m)) > 0)
			if (c->op && m.cid == c->cid)
				take_answer(c, &m);
		if (r < 0)
			return false;
		if (!c->op && n_ops < most && !begin(c))
			return false;
	}
	return true;
}

/* May it be killed from now on? Where many states are possible, since lives
 * ended before they had seen anything, this one sees first. */
static bool may_be_killed(void)
{
	if (n_looked < OBJECTS)
		return false;
	for (unsigned i = 0; i < OBJECTS; i++) /* the looks came first */
		if (!ops[i].was_answered &&
		    states[ops[i].object].count > LINEAR_STATES_MAX / 8)
			return false;
	return true;
}

/* How many operations may have been begun: in peace all wait now and then. */
static void check_round(void);

static void run_life(void)
{
	uint64_t until_ns = 0;
	unsigned done = 0;

	n_looked = 0;
	while (done + n_ops < options.ops || n_busy() > 0) {
		unsigned most = options.ops - done;

		if (!options.kill && !options.dies && most > PEACE_OPS)
			most = PEACE_OPS;
		if (!serve_callers(most))
			break;
		if (n_busy() == 0 && n_ops >= most) {
			if (options.kill || options.dies)
				break;
			done += n_ops;
			check_round();
			continue;
		}
		if (options.kill && !until_ns && may_be_killed())
			until_ns = clock_ns() + random_below(20000000);
		if (!wait_for_something(until_ns))
			break;
	}
}

/* No database may need more than SQLite's own recovery. */
static void check_database(void)
{
	struct database *db = NULL;
	char path[4096];
	int r;

	snprintf(path, sizeof(path), "%s/.storage/keys/" PROGRAM ".db",
		 options.store);
	r = database_open(path, PROGRAM, false, &db);
	if (r == 0)
		r = database_verify(db);
	if (r < 0 && r != -ENOENT)
		die("the database is not whole: %s", database_reason());
	database_close(db);
}

/* --- checking ----------------------------------------------------------------------- */

static void print_ops(unsigned object)
{
	for (unsigned i = 0; i < n_ops; i++) {
		const struct op *o = &ops[i];

		if (o->object != object || o->what == LOCK)
			continue;
		fprintf(stderr,
			"%6" PRIu64 " %6" PRIu64 " caller %2u %-12s %c "
			"value %" PRId64 ",%" PRId64 " expected %" PRId64
			",%" PRId64 " seen %" PRId64 "%s\n",
			o->called, o->answered, o->caller, what_name[o->what],
			'a' + (int)o->key, o->value[0], o->value[1],
			o->expected[0], o->expected[1], o->seen,
			o->was_answered ? "" : " (not answered)");
	}
}

static void check_object(unsigned object)
{
	static struct linear_op list[LINEAR_OPS_MAX];
	size_t n = 0;
	int r;

	for (unsigned i = 0; i < n_ops; i++) {
		const struct op *o = &ops[i];

		if (o->object != object || o->what == LOCK ||
		    (!o->was_answered && !writes(o)))
			continue;
		if (n == LINEAR_OPS_MAX)
			die("too many operations in one round");
		list[n++] = (struct linear_op){ o->called, o->answered,
						!o->was_answered, o };
	}
	r = linear_check(list, n, step, &states[object]);
	if (r < 0)
		die("object %u: %zu operations and %zu states cannot be "
		    "checked: %s",
		    object, n, states[object].count, strerror(-r));
	if (states[object].count == 0) {
		print_ops(object);
		die("object %u: no order explains this history", object);
	}
}

static void check_locks(void)
{
	for (unsigned i = 0; i < n_holds; i++)
		for (unsigned j = i + 1; j < n_holds; j++) {
			const struct hold *a = &holds[i], *b = &holds[j];

			if (a->lock == b->lock && !(a->shared && b->shared) &&
			    a->from < b->to && b->from < a->to)
				die("lock %u was held by two from %" PRIu64
				    " and from %" PRIu64,
				    a->lock, a->from, b->from);
		}
	n_holds = 0;
}

static void check_round(void)
{
	for (unsigned i = 0; i < OBJECTS; i++)
		check_object(i);
	if (n_busy() == 0 || options.kill || options.dies)
		check_locks();
	n_total += n_ops;
	n_ops = 0;
}

static void live(const char *const *command, bool kills)
{
	int status, r;

	r = play_start(&play, command, options.store);
	if (r == -ECHILD && options.dies)
		return; /* at its start */
	if (r < 0)
		die("it does not start: %s", strerror(-r));
	connect_all();
	run_life();
	if (kills)
		play_kill(&play);
	disconnect_all();
	if (!kills) {
		status = play_stop(&play);
		if (status != 0 && !options.dies)
			die("it ended with status 0x%x", (unsigned)status);
	}
	check_database();
	check_round();
}

/* --- --------------------------------------------------------------------------------- */

static void parse(int argc, char **argv)
{
	static const struct option known[] = {
		{ "callers", required_argument, NULL, 'c' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "ops", required_argument, NULL, 'o' },
		{ "seed", required_argument, NULL, 's' },
		{ "kill", no_argument, NULL, 'k' },
		{ "dies", no_argument, NULL, 'd' },
		{ "fails", no_argument, NULL, 'f' },
		{ "quiet", no_argument, NULL, 'q' },
		{ 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "+", known, NULL)) != -1)
		switch (o) {
		case 'c':
			options.callers = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			options.rounds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'o':
			options.ops = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 's':
			options.seed = strtoull(optarg, NULL, 10);
			break;
		case 'k':
			options.kill = true;
			break;
		case 'd':
			options.dies = true;
			break;
		case 'f':
			options.fails = true;
			break;
		case 'q':
			options.quiet = true;
			break;
		default:
			exit(2);
		}
	if (argc - optind < 3 || strcmp(argv[optind + 1], "--") != 0 ||
	    options.callers == 0 || options.callers > CALLERS_MAX ||
	    options.ops > OPS_MAX || options.seed == 0)
		die("usage: see the head of tests/storage-history.c");
	options.store = argv[optind];
	options.plain = options.wrapped =
		(const char *const *)argv + optind + 2;
	for (int i = optind + 2; i < argc; i++)
		if (strcmp(argv[i], "--") == 0) {
			argv[i] = NULL;
			options.wrapped = (const char *const *)argv + i + 1;
		}
	random_state = options.seed;
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	if (database_init() < 0)
		die("no SQLite");
	for (unsigned i = 0; i < OBJECTS; i++)
		states[i].count = 1; /* nothing is there */
	for (unsigned i = 0; i < options.rounds; i++) {
		live(options.wrapped, options.kill);
		/* After a crash nobody knows what he knew. */
		memset(callers, 0, sizeof(callers));
	}
	options.dies = options.kill = false;
	options.ops = options.ops < 200 ? options.ops : 200;
	live(options.plain, false);
	if (options.fails && n_failed == 0)
		die("nothing has failed");
	if (!options.quiet)
		printf("%u lives, %u operations, in order, %u locks by a "
		       "context that was given back\n",
		       options.rounds + 1, n_total, n_again);
	return 0;
}
