/* Tests of storage as its callers see it: calls, answers, pushes. */

#include "storaged/storage.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "base/util.h"
#include "rpc/status.h"
#include "storaged/limits.h"
#include "storaged/pin.h"
#include "storaged/test_text.h"
#include "storaged/worker.h"

static char root[64];
static struct ev_loop *loop;
static struct storage *storage;
static char reported[1024];
static unsigned n_open; /* requests that are not answered */

/* --- a front that writes everything down ----------------------------------- */

struct front {
	struct storage_caller *caller;
	bool answered;
	uint32_t cid;
	int status;
	struct text answer;
	struct storage_object *object; /* handed out last */
	bool closed;		       /* the end of it was told */
	char file[160];
	bool file_write;
	uint64_t file_inode, file_limit;
	bool denied;
};

/* A request is its front and the number of the call. */
struct request {
	struct front *front;
	uint32_t cid;
	bool answered;
};

static struct front *answered(struct request *q)
{
	struct front *f = q->front;

	if (q->answered)
		abort();
	q->answered = true;
	n_open--;
	f->answered = true;
	f->cid = q->cid;
	free(q);
	return f;
}

static void on_answer(void *request, int status, struct mp_bytes args)
{
	struct front *f = answered(request);

	f->status = status;
	text_of(&f->answer, args.p, args.size);
}

static void on_hand(void *front, void *request, struct storage_object *object,
		    const struct storage_file *file)
{
	struct front *f = answered(request);

	(void)front;
	f->status = STATUS_OK;
	strcpy(f->answer.p, "context");
	f->object = object;
	storage_object_set(object, f);
	f->closed = false;
	if (!file)
		return;
	snprintf(f->file, sizeof(f->file), "%s", file->program);
	f->file_write = file->write;
	f->file_inode = file->inode;
	f->file_limit = file->limit_bytes;
}

static void on_close(struct storage_object *object)
{
	struct front *f = storage_object_get(object);

	f->closed = true;
	f->object = NULL;
	storage_object_free(object);
}

static int may_open(void *front, void *user, const char *program)
{
	struct front *f = user;

	(void)front;
	(void)program;
	return f->denied ? -EPERM : 0;
}

static void on_report(const char *text)
{
	snprintf(reported, sizeof(reported), "%s", text);
}

static const struct storage_ops ops = { .answer = on_answer,
					.hand = on_hand,
					.close = on_close,
					.may_open = may_open };

/* --- a storage of the test's own ------------------------------------------- */

static void remove_root(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	if (root[0] && system(command) != 0)
		abort();
}

static void begin(void)
{
	struct storage_options options = { .store_path = root,
					   .ops = &ops,
					   .report = on_report };

	loop = ev_loop_new(0);
	options.loop = loop;
	if (!loop || storage_open(&options, &storage) < 0)
		abort();
}

static void fresh(void)
{
	remove_root();
	strcpy(root, "/tmp/thox-test-storage-XXXXXX");
	if (!mkdtemp(root))
		abort();
	reported[0] = '\0';
	begin();
}

/* Whatever became of the callers, every call was answered. */
static void end(void)
{
	storage = storage_close(storage);
	ev_loop_destroy(loop);
	if (n_open > 0)
		abort();
}

static struct front *enter(struct front *f, const char *program)
{
	memset(f, 0, sizeof(*f));
	if (storage_caller_new(storage, program, f, &f->caller) < 0)
		abort();
	return f;
}

static void leave(struct front *f)
{
	f->caller = storage_caller_free(f->caller);
}

static uint32_t last_cid;
static struct request *last_request;

/* @args as text; what was answered at once is in the front. */
static void send_call(struct front *f, const char *name, const char *args)
{
	struct request *q = malloc(sizeof(*q));
	struct mp_writer w;

	if (!q)
		abort();
	*q = (struct request){ .front = f, .cid = ++last_cid };
	last_request = q;
	n_open++;
	f->answered = false;
	f->answer.p[0] = '\0';
	mp_writer_init_heap(&w);
	text_write(&w, args);
	storage_call(f->caller, q, (struct mp_bytes){ name, strlen(name) },
		     (struct mp_bytes){ (const char *)w.data, w.used }, 0);
	mp_writer_deinit(&w);
}

static void await(struct front *f)
{
	while (!f->answered)
		ev_run(loop, EVRUN_ONCE);
}

/* The answer as text; of a failure `status: message`. */
static const char *call(struct front *f, const char *name, const char *args)
{
	static char failure[TEXT_BYTES + 16];

	send_call(f, name, args);
	await(f);
	if (f->cid != last_cid)
		return "answered another call";
	if (f->status == STATUS_OK)
		return f->answer.p;
	snprintf(failure, sizeof(failure), "%d: %s", f->status, f->answer.p);
	return failure;
}

/* Hold what was handed to @f last. */
static struct front *hold(struct front *on, struct front *f)
{
	memset(on, 0, sizeof(*on));
	if (storage_caller_on(storage, f->object, on, &on->caller) < 0)
		abort();
	return on;
}

/* Give it up. */
static void drop(struct front *f)
{
	storage_object_free(f->object);
	f->object = NULL;
}

/* --- keys ------------------------------------------------------------------- */

/* Verify what get, set and delete answer. */
static void test_keys(void)
{
	struct front f;

	fresh();
	enter(&f, "hello");
	CHECK_STR(call(&f, "storage.keys.get", "[\"a\"]"), "[nil,0,nil]");
	CHECK_STR(call(&f, "storage.keys.set", "[\"a\",{\"x\":[1,2.5]}]"),
		  "[1]");
	CHECK_STR(call(&f, "storage.keys.get", "[\"a\"]"),
		  "[{\"x\":[1,2.5]},1,nil]");
	CHECK_STR(call(&f, "storage.keys.delete", "[\"a\"]"), "[true]");
	CHECK_STR(call(&f, "storage.keys.delete", "[\"a\"]"), "[false]");
	CHECK_STR(call(&f, "storage.keys.increment", "[\"n\",5]"), "[5,3]");
	CHECK_STR(call(&f, "storage.keys.increment", "[\"n\",0.5]"), "[5.5,4]");
	leave(&f);
	end();
}

/* Verify that programs do not see each other's keys. */
static void test_programs_apart(void)
{
	struct front a, b, again;

	fresh();
	enter(&a, "one");
	enter(&b, "two");
	CHECK_STR(call(&a, "storage.keys.set", "[\"k\",1]"), "[1]");
	CHECK_STR(call(&b, "storage.keys.get", "[\"k\"]"), "[nil,0,nil]");
	enter(&again, "one");
	CHECK_STR(call(&again, "storage.keys.get", "[\"k\"]"), "[1,1,nil]");
	leave(&a);
	leave(&b);
	leave(&again);
	end();
}

/* Verify that a failed condition says what is so, and changes nothing. */
static void test_conditions(void)
{
	struct front f;

	fresh();
	enter(&f, "hello");
	CHECK_STR(call(&f, "storage.keys.set", "[\"a\",1,{\"if_version\":3}]"),
		  "[false,0]");
	CHECK_STR(call(&f, "storage.keys.set", "[\"a\",1,{\"if_version\":0}]"),
		  "[1]");
	CHECK_STR(call(&f, "storage.keys.set", "[\"a\",2,{\"if_version\":0}]"),
		  "[false,1]");
	CHECK_STR(call(&f, "storage.keys.delete", "[\"a\",{\"if_version\":9}]"),
		  "[nil,1]");
	CHECK_STR(call(&f, "storage.keys.delete", "[\"a\",{\"if_version\":1}]"),
		  "[true]");
	leave(&f);
	end();
}

/* Verify that a transaction writes all or names the key that was changed. */
static void test_transaction(void)
{
	struct front f;

	fresh();
	enter(&f, "hello");
	CHECK_STR(call(&f, "storage.keys.transaction",
		       "[{\"sync\":true},1,\"a\",0,\"set\",\"a\",1,nil,"
		       "\"set\",\"b\",2,60]"),
		  "[2]");
	CHECK_STR(call(&f, "storage.keys.transaction",
		       "[nil,2,\"b\",2,\"a\",7,\"delete\",\"b\"]"),
		  "[false,\"a\",1]");
	CHECK(strncmp(call(&f, "storage.keys.get", "[\"b\"]"), "[2,2,5", 6) ==
	      0);
	CHECK_STR(call(&f, "storage.keys.transaction",
		       "[nil,2,\"b\",2,\"a\",1,\"delete\",\"b\"]"),
		  "[3]");
	CHECK_STR(call(&f, "storage.keys.transaction", "[nil,1,\"b\",0]"),
		  "[0]");
	leave(&f);
	end();
}

/* Verify that a listing goes page by page to the end. */
static void test_list(void)
{
	struct front f;

	fresh();
	enter(&f, "hello");
	for (int i = 0; i < 5; i++) {
		char args[32];

		snprintf(args, sizeof(args), "[\"k%d\",%d]", i, i);
		(void)call(&f, "storage.keys.set", args);
	}
	CHECK_STR(call(&f, "storage.keys.list", "[\"k\",{\"limit\":2}]"),
		  "[\"k2\",\"k0\",0,1,nil,\"k1\",1,2,nil]");
	CHECK_STR(call(&f, "storage.keys.list",
		       "[\"k\",{\"limit\":2,\"from\":\"k2\"}]"),
		  "[\"k4\",\"k2\",2,3,nil,\"k3\",3,4,nil]");
	CHECK_STR(call(&f, "storage.keys.list",
		       "[\"k\",{\"limit\":2,\"from\":\"k4\",\"keys\":true}]"),
		  "[nil,\"k4\",nil,5,nil]");
	CHECK_STR(call(&f, "storage.keys.list", "[\"x\"]"), "[nil]");
	leave(&f);
	end();
}

/* Verify that every wrong argument is refused by name. */
static void test_wrong_arguments(void)
{
	static const char *const wrong[][3] = {
		{ "storage.keys.get", "[]", "the key is missing" },
		{ "storage.keys.get", "[5]", "the key must be a string" },
		{ "storage.keys.get", "[nil]", "the key must be a string" },
		{ "storage.keys.set", "[\"a\"]", "the value is missing" },
		{ "storage.keys.set", "[\"a\",<]",
		  "a context cannot be stored" },
		{ "storage.keys.set", "[\"a\",[1,{\"k\":<}]]",
		  "a context cannot be stored" },
		{ "storage.keys.set", "[\"a\",1,5]",
		  "the options must be a table" },
		{ "storage.keys.set", "[\"a\",1,{\"tll\":5}]",
		  "there is no option `tll`" },
		{ "storage.keys.set", "[\"a\",1,{\"ttl\":0}]",
		  "ttl must be more than 0" },
		{ "storage.keys.set", "[\"a\",1,{\"ttl\":-1}]",
		  "ttl must be between 0 and 3162240000 seconds" },
		{ "storage.keys.set", "[\"a\",1,{\"ttl\":\"x\"}]",
		  "ttl must be a number of seconds" },
		{ "storage.keys.set", "[\"a\",1,{\"sync\":1}]",
		  "sync must be true or false" },
		{ "storage.keys.set", "[\"a\",1,{\"if_version\":-1}]",
		  "if_version must not be negative" },
		{ "storage.keys.set", "[\"a\",1,{\"if_version\":1.5}]",
		  "if_version must be a whole number" },
		{ "storage.keys.increment", "[\"a\",\"x\"]",
		  "only numbers can be added" },
		{ "storage.keys.list", "[\"a\",{\"limit\":0}]",
		  "limit must be more than 0" },
		{ "storage.keys.transaction", "[nil,1,\"a\"]",
		  "its version is missing" },
		{ "storage.keys.transaction", "[nil,0,\"put\",\"a\"]",
		  "a transaction sets or deletes" },
		{ "storage.keys.transaction", "[nil,0,\"set\",\"a\",1]",
		  "a ttl is missing" },
		{ "storage.keys.transaction", "[nil,99999]",
		  "a transaction reads at most 1024 keys" },
		{ "storage.lock", "[\"\"]",
		  "a lock's name has 1 to 128 bytes" },
		{ "storage.lock", "[\"a\",{\"timeout\":-1}]",
		  "timeout must be between 0 and 3162240000 seconds" },
		{ "storage.open", "[\"../x\"]",
		  "no program can have that name" },
		{ "storage.stream.write", "[-1,\"x\"]",
		  "the offset must not be negative" },
	};
	char expected[256];
	struct front f;

	fresh();
	enter(&f, "hello");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(expected, sizeof(expected), "%d: [\"%s\"]",
			 STATUS_INVALID, wrong[i][2]);
		CHECK_STR(call(&f, wrong[i][0], wrong[i][1]), expected);
	}
	CHECK_STR(call(&f, "storage.keys.list", "[\"\"]"), "[nil]");
	CHECK_STR(call(&f, "storage.keys.take", "[]"),
		  "2: [\"there is no call `storage.keys.take`\"]");
	leave(&f);
	end();
}

/* Verify that limits are named when they are met. */
static void test_limits(void)
{
	static char args[STORAGE_VALUE_BYTES + 64];
	struct front f;

	fresh();
	enter(&f, "hello");
	snprintf(args, sizeof(args), "[\"%0*d\",1]", (int)STORAGE_KEY_BYTES + 1,
		 0);
	CHECK_STR(call(&f, "storage.keys.set", args),
		  "8: [\"a key has at most 1024 bytes\"]");
	snprintf(args, sizeof(args), "[\"a\",\"%0*d\"]",
		 (int)STORAGE_VALUE_BYTES, 0);
	CHECK_STR(call(&f, "storage.keys.set", args),
		  "8: [\"a value has at most 1048576 bytes\"]");
	snprintf(args, sizeof(args), "[\"a\",\"%0*d\"]",
		 (int)STORAGE_VALUE_BYTES - 8, 0);
	CHECK_STR(call(&f, "storage.keys.set", args), "[1]");
	CHECK_STR(call(&f, "storage.keys.list", "[\"\",{\"keys\":true}]"),
		  "[nil,\"a\",nil,1,nil]");
	leave(&f);
	end();
}

/* Verify that one who has no storage is told so. */
static void test_without_storage(void)
{
	struct front f, g;

	fresh();
	enter(&f, NULL);
	CHECK_STR(call(&f, "storage.keys.get", "[\"a\"]"),
		  "3: [\"the caller has no storage of its own\"]");
	f.denied = true;
	CHECK_STR(call(&f, "storage.open", "[\"hello\"]"),
		  "3: [\"the storage of `hello` is not allowed\"]");
	f.denied = false;
	CHECK_STR(call(&f, "storage.open", "[\"hello\"]"), "context");
	hold(&g, &f);
	CHECK_STR(call(&g, "storage.keys.set", "[\"a\",1]"), "[1]");
	drop(&f);
	CHECK_STR(call(&g, "storage.keys.get", "[\"a\"]"), "[1,1,nil]");
	leave(&g);
	leave(&f);
	end();
}

/* --- what comes later -------------------------------------------------------- */

/* Verify that a synced write is answered after the turn, not in it. */
static void test_sync_is_later(void)
{
	struct front f;

	fresh();
	enter(&f, "hello");
	(void)call(&f, "storage.keys.set", "[\"a\",1]");
	send_call(&f, "storage.keys.set", "[\"a\",2,{\"sync\":true}]");
	CHECK(!f.answered);
	await(&f);
	CHECK_STR(f.answer.p, "[2]");
	leave(&f);
	end();
}

/* Verify that a call of somebody who left is done, and answered too. */
static void test_left_before_the_answer(void)
{
	struct front f, g;

	fresh();
	enter(&f, "hello");
	send_call(&f, "storage.keys.set", "[\"a\",2,{\"sync\":true}]");
	leave(&f);
	enter(&g, "hello");
	CHECK_STR(call(&g, "storage.keys.get", "[\"a\"]"), "[2,1,nil]");
	leave(&g);
	end();
}

/* Verify that calls beyond what the disk takes wait, and keep their order. */
static void test_pressure(void)
{
	const int count = (int)STORAGE_DIRTY_KEYS + 1000;
	char args[64];
	struct front f;
	unsigned most = 0;

	fresh();
	enter(&f, "hello");
	(void)call(&f, "storage.keys.set", "[\"a\",1]");
	for (int i = 0; i < count; i++) {
		snprintf(args, sizeof(args), "[\"k%d\",%d]", i, i);
		send_call(&f, "storage.keys.set", args);
		most = n_open > most ? n_open : most;
	}
	CHECK_EQ(most, 1000);
	CHECK_STR(call(&f, "storage.keys.increment", "[\"k17000\",1]"),
		  "[17001,17386]");
	CHECK_EQ(n_open, 0);
	leave(&f);
	end();
}

/* --- watches ----------------------------------------------------------------- */

/* Verify that changes below the prefix come, and others do not. */
static void test_watch(void)
{
	struct front f, g, w;

	fresh();
	enter(&f, "hello");
	enter(&g, "hello");
	(void)call(&g, "storage.keys.set", "[\"before\",1]");
	CHECK_STR(call(&f, "storage.keys.watch", "[\"a/\"]"), "context");
	hold(&w, &f);
	send_call(&w, "next", "[]");
	(void)call(&g, "storage.keys.set", "[\"b/x\",1]");
	CHECK(!w.answered);
	CHECK_STR(call(&w, "next", "[]"),
		  "7: [\"another call waits for the next change\"]");
	w.answered = false;
	(void)call(&g, "storage.keys.set", "[\"a/x\",true]");
	await(&w);
	CHECK_STR(w.answer.p, "[false,\"a/x\",3,0,true]");
	(void)call(&g, "storage.keys.delete", "[\"a/x\"]");
	CHECK_STR(call(&w, "next", "[]"), "[false,\"a/x\",4,1,nil]");
	CHECK_STR(call(&w, "storage.keys.get", "[\"a/x\"]"),
		  "2: [\"there is no call `storage.keys.get`\"]");
	leave(&w);
	drop(&f);
	(void)call(&g, "storage.keys.set", "[\"a/x\",true]");
	leave(&f);
	leave(&g);
	end();
}

/* Verify that a slow watcher gets the newest of each key, once. */
static void test_slow_watch(void)
{
	struct front f, g, w;

	fresh();
	enter(&f, "hello");
	enter(&g, "hello");
	(void)call(&g, "storage.keys.set", "[\"a\",0]");
	(void)call(&f, "storage.keys.watch", "[\"\"]");
	hold(&w, &f);
	(void)call(&g, "storage.keys.set", "[\"a\",1]");
	for (int i = 0; i < 100; i++) {
		(void)call(&g, "storage.keys.increment", "[\"a\",1]");
		(void)call(&g, "storage.keys.increment", "[\"b\",1]");
	}
	CHECK_STR(call(&w, "next", "[]"),
		  "[false,\"a\",201,0,101,\"b\",202,0,100]");
	leave(&w);
	drop(&f);
	leave(&f);
	leave(&g);
	end();
}

/* Verify that a change that is not safe yet is told when it is. */
static void test_watch_of_synced(void)
{
	struct front f, g, w;

	fresh();
	enter(&f, "hello");
	enter(&g, "hello");
	(void)call(&g, "storage.keys.set", "[\"a\",0]");
	(void)call(&f, "storage.keys.watch", "[\"\"]");
	hold(&w, &f);
	send_call(&w, "next", "[]");
	send_call(&g, "storage.keys.set", "[\"a\",1,{\"sync\":true}]");
	CHECK(!w.answered);
	await(&w);
	CHECK_STR(w.answer.p, "[false,\"a\",2,0,1]");
	CHECK(g.answered);
	leave(&w);
	drop(&f);
	leave(&f);
	leave(&g);
	end();
}

/* Verify that a key which expires is told as gone. */
static void test_watch_of_expiry(void)
{
	struct front f, w;

	fresh();
	enter(&f, "hello");
	(void)call(&f, "storage.keys.watch", "[\"a\"]");
	hold(&w, &f);
	(void)call(&f, "storage.keys.set", "[\"a\",1,{\"ttl\":0.05}]");
	/* That it was set is told before, unless it is all one by then. */
	while (strcmp(call(&w, "next", "[]"), "[false,\"a\",2,1,nil]") != 0)
		CHECK_STR(w.answer.p, "[false,\"a\",1,0,1]");
	leave(&w);
	drop(&f);
	leave(&f);
	end();
}

/* Verify that who never asks costs little, and is told to look again. */
static void test_watch_that_never_reads(void)
{
	struct front f, g, w;
	char args[64];

	fresh();
	enter(&f, "hello");
	enter(&g, "hello");
	(void)call(&f, "storage.keys.watch", "[\"\"]");
	hold(&w, &f);
	for (unsigned i = 0; i < STORAGE_WATCH_KEYS + 10; i++) {
		snprintf(args, sizeof(args), "[\"k%u\",1]", i);
		(void)call(&g, "storage.keys.set", args);
	}
	CHECK_STR(call(&w, "next", "[]"), "[true]");
	(void)call(&g, "storage.keys.set", "[\"k1\",1]");
	CHECK(strncmp(call(&w, "next", "[]"), "[false,\"k1\",", 12) == 0);
	leave(&w);
	drop(&f);
	leave(&f);
	leave(&g);
	end();
}

/* Verify that large values of a slow watcher are left for it to get. */
static void test_watch_of_large_values(void)
{
	static char args[STORAGE_VALUE_BYTES];
	struct front f, g, w;

	fresh();
	enter(&f, "hello");
	enter(&g, "hello");
	(void)call(&f, "storage.keys.watch", "[\"\"]");
	hold(&w, &f);
	for (int i = 0; i < 2; i++) {
		snprintf(args, sizeof(args), "[\"%c\",\"%0*d\"]", 'a' + i,
			 700000, 0);
		(void)call(&g, "storage.keys.set", args);
	}
	CHECK(strncmp(call(&w, "next", "[]"), "[false,\"a\",1,0,\"000", 18) ==
	      0);
	CHECK_STR(call(&w, "next", "[]"), "[false,\"b\",2,2,nil]");
	leave(&w);
	drop(&f);
	leave(&f);
	leave(&g);
	end();
}

/* --- locks ------------------------------------------------------------------- */

/* Verify that a lock is one's own until it is given up, then the next's. */
static void test_lock(void)
{
	struct front a, b, c;

	fresh();
	enter(&a, "hello");
	enter(&b, "hello");
	enter(&c, "hello");
	CHECK_STR(call(&a, "storage.lock", "[\"l\"]"), "context");
	CHECK_STR(call(&b, "storage.lock", "[\"l\",{\"timeout\":0}]"),
		  "5: [\"the lock is taken\"]");
	send_call(&b, "storage.lock", "[\"l\"]");
	send_call(&c, "storage.lock", "[\"l\"]");
	CHECK(!b.answered && !c.answered);
	drop(&a);
	CHECK(b.answered && !c.answered);
	CHECK_EQ(b.status, STATUS_OK);
	drop(&b);
	CHECK(c.answered);
	drop(&c);
	leave(&a);
	leave(&b);
	leave(&c);
	end();
}

/* Verify that a wait for a lock ends with its time. */
static void test_lock_times_out(void)
{
	struct front a, b;

	fresh();
	enter(&a, "hello");
	enter(&b, "hello");
	CHECK_STR(call(&a, "storage.lock", "[\"l\"]"), "context");
	CHECK_STR(call(&b, "storage.lock", "[\"l\",{\"timeout\":0.01}]"),
		  "5: [\"waited for too long\"]");
	drop(&a);
	leave(&a);
	leave(&b);
	end();
}

/* Verify that who gives the call up, or leaves, waits no more. */
static void test_lock_given_up(void)
{
	struct front a, b, c;

	fresh();
	enter(&a, "hello");
	enter(&b, "hello");
	enter(&c, "hello");
	(void)call(&a, "storage.lock", "[\"l\"]");
	send_call(&b, "storage.lock", "[\"l\"]");
	storage_cancel(b.caller, last_request);
	CHECK_EQ(b.status, STATUS_CANCELLED);
	send_call(&b, "storage.lock", "[\"l\"]");
	send_call(&c, "storage.lock", "[\"l\"]");
	leave(&b);
	drop(&a);
	CHECK_EQ(b.status, STATUS_CANCELLED);
	CHECK(c.answered);
	drop(&c);
	leave(&a);
	leave(&c);
	end();
}

/* Verify that one caller cannot have locks without end. */
static void test_objects_are_limited(void)
{
	struct storage_object *objects[STORAGE_OBJECTS_MAX];
	struct front f;
	char args[32];

	fresh();
	enter(&f, "hello");
	for (unsigned i = 0; i < STORAGE_OBJECTS_MAX; i++) {
		snprintf(args, sizeof(args), "[\"%u\"]", i);
		CHECK_STR(call(&f, "storage.lock", args), "context");
		objects[i] = f.object;
	}
	CHECK_STR(call(&f, "storage.lock", "[\"more\"]"),
		  "8: [\"that is as many as one caller may have\"]");
	storage_object_free(objects[0]);
	CHECK_STR(call(&f, "storage.lock", "[\"more\"]"), "context");
	objects[0] = f.object;
	leave(&f);
	for (unsigned i = 0; i < STORAGE_OBJECTS_MAX; i++)
		storage_object_free(objects[i]);
	end();
}

/* Verify that `locks` tells who has and who waits. */
static void test_locks_are_listed(void)
{
	struct front a, b;

	fresh();
	enter(&a, "hello");
	enter(&b, "hello");
	(void)call(&a, "storage.lock", "[\"l\",{\"shared\":true}]");
	send_call(&b, "storage.lock", "[\"l\"]");
	(void)call(&a, "storage.locks", "[]");
	CHECK(strstr(a.answer.p, "{\"name\":\"l\",\"held\":true,"
				 "\"shared\":true,") == a.answer.p + 1);
	CHECK(strstr(a.answer.p, "{\"name\":\"l\",\"held\":false,"
				 "\"shared\":false,") != NULL);
	drop(&a);
	drop(&b);
	leave(&a);
	leave(&b);
	end();
}

/* --- streams ------------------------------------------------------------------ */

static const char *file_text(const char *name)
{
	static char text[256];
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/data/%s", root, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	fd_close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return n < 0 ? "(none)" : text;
}

/* Verify that the stream is the file that the mount shows. */
static void test_stream(void)
{
	struct front f;

	fresh();
	enter(&f, "hello");
	CHECK_STR(call(&f, "storage.stream.get", "[]"), "[nil]");
	CHECK_STR(call(&f, "storage.stream.size", "[]"), "[nil]");
	CHECK_STR(call(&f, "storage.stream.read", "[0,5]"), "[\"\"]");
	CHECK_STR(call(&f, "storage.stream.sync", "[]"), "[]");
	CHECK_STR(call(&f, "storage.stream.set", "[\"first\"]"), "[]");
	CHECK_STR(file_text("hello"), "first");
	CHECK_STR(call(&f, "storage.stream.get", "[]"), "[\"first\"]");
	CHECK_STR(call(&f, "storage.stream.write", "[3,\"xyz\"]"), "[]");
	CHECK_STR(file_text("hello"), "firxyz");
	CHECK_STR(call(&f, "storage.stream.read", "[2,3]"), "[\"rxy\"]");
	CHECK_STR(call(&f, "storage.stream.read", "[9,3]"), "[\"\"]");
	CHECK_STR(call(&f, "storage.stream.truncate", "[2]"), "[]");
	CHECK_STR(call(&f, "storage.stream.sync", "[]"), "[]");
	CHECK_STR(call(&f, "storage.stream.size", "[]"), "[2]");
	CHECK_STR(file_text("hello"), "fi");
	CHECK_STR(call(&f, "storage.stream.remove", "[]"), "[]");
	CHECK_STR(file_text("hello"), "(none)");
	CHECK_STR(call(&f, "storage.stream.remove", "[]"),
		  "2: [\"there is no such thing\"]");
	leave(&f);
	end();
}

/* Turn the loop until @f is told that what it holds is over. */
static void await_close(struct front *f)
{
	while (!f->closed)
		ev_run(loop, EVRUN_ONCE);
}

static const char *data_path(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/data/%s", root, name);
	return path;
}

static int open_data(const char *name)
{
	return open(data_path(name), O_RDONLY | O_CLOEXEC);
}

/* Verify that who has the old bytes open keeps them, and is told. */
static void test_stream_replaced(void)
{
	char text[8] = "";
	struct front f, g;
	struct stat st;
	int fd;

	fresh();
	enter(&f, "hello");
	enter(&g, "hello");
	(void)call(&f, "storage.stream.set", "[\"old\"]");
	CHECK_STR(call(&f, "storage.stream.open", "[{\"write\":true}]"),
		  "context");
	CHECK_STR(f.file, "hello");
	CHECK(f.file_write);
	fd = open_data("hello");
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(f.file_inode, st.st_ino);
	CHECK_EQ(f.file_limit, STORAGE_KEYS_BYTES);
	CHECK_STR(call(&g, "storage.stream.set", "[\"new\"]"), "[]");
	await_close(&f);
	CHECK_EQ(read(fd, text, sizeof(text)), 3);
	CHECK_STR(text, "old");
	fd_close(fd);
	CHECK_STR(file_text("hello"), "new");
	leave(&f);
	leave(&g);
	end();
}

/* Verify that a rename in the mount is told as a replacement, and a write in
 * place is not. */
static void test_stream_renamed(void)
{
	char from[128], to[128];
	struct front f;

	fresh();
	enter(&f, "hello");
	CHECK_STR(call(&f, "storage.stream.open", "[]"), "[nil]");
	(void)call(&f, "storage.stream.set", "[\"old\"]");
	CHECK_STR(call(&f, "storage.stream.open", "[]"), "context");
	(void)call(&f, "storage.stream.write", "[0,\"x\"]");
	snprintf(from, sizeof(from), "%s/other", root);
	snprintf(to, sizeof(to), "%s/data/hello", root);
	fd_close(open(from, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	CHECK(!f.closed);
	CHECK_EQ(rename(from, to), 0);
	await_close(&f);
	leave(&f);
	end();
}

/* Verify that a descriptor goes with one's own storage only, since another's
 * may be withdrawn. */
static void test_stream_of_another(void)
{
	struct front f, on;

	fresh();
	enter(&f, "hello");
	CHECK_STR(call(&f, "storage.open", "[\"other\"]"), "context");
	hold(&on, &f);
	CHECK_STR(call(&on, "storage.stream.set", "[\"text\"]"), "[]");
	CHECK_STR(call(&on, "storage.stream.open", "[{\"write\":true}]"),
		  "[false]");
	CHECK_STR(call(&on, "storage.stream.get", "[]"), "[\"text\"]");
	leave(&on);
	drop(&f);
	leave(&f);
	end();
}

/* Replace the stream while @f has its file open; what nobody sees any more. */
static void replace_held(struct front *f, int *ret_fd)
{
	CHECK_STR(call(f, "storage.stream.open", "[]"), "context");
	*ret_fd = open_data("hello");
	CHECK_STR(call(f, "storage.stream.set", "[\"next\"]"), "[]");
	await_close(f);
}

/* Verify that a program whose processes keep too many replaced files open gets
 * no more descriptors until they let one go, and that others do. */
static void test_stream_files_that_are_kept(void)
{
	int fds[STORAGE_PINS_OLD + 1];
	struct front f, g;

	fresh();
	enter(&f, "hello");
	enter(&g, "another");
	(void)call(&f, "storage.stream.set", "[\"first\"]");
	(void)call(&g, "storage.stream.set", "[\"first\"]");
	for (unsigned i = 0; i < STORAGE_PINS_OLD; i++)
		replace_held(&f, &fds[i]);
	CHECK_STR(call(&f, "storage.stream.open", "[]"), "[false]");
	CHECK_STR(call(&g, "storage.stream.open", "[]"), "context");
	drop(&g);
	CHECK_STR(call(&f, "storage.stream.get", "[]"), "[\"next\"]");
	fd_close(fds[0]);
	replace_held(&f, &fds[0]);
	CHECK_STR(call(&f, "storage.stream.open", "[]"), "[false]");
	for (unsigned i = 0; i < STORAGE_PINS_OLD; i++)
		fd_close(fds[i]);
	CHECK_STR(call(&f, "storage.stream.open", "[]"), "context");
	drop(&f);
	leave(&f);
	leave(&g);
	end();
}

/* Verify that a file counts until nobody but us has it open, a hundred of them
 * too, and each once. */
static void test_pins(void)
{
	char name[16];
	struct pins pins;
	int fds[100];

	fresh();
	pins_init(&pins);
	for (unsigned i = 0; i < 100; i++) {
		struct stat st;

		snprintf(name, sizeof(name), "p%u", i);
		fd_close(open(data_path(name), O_WRONLY | O_CREAT | O_CLOEXEC,
			      0600));
		fds[i] = open_data(name);
		CHECK_EQ(fstat(fds[i], &st), 0);
		for (int k = 0; k < 2; k++)
			CHECK_EQ(pins_add(&pins, name, st.st_ino,
					  open_data(name)),
				 0);
		pins_look(&pins, name, st.st_ino);
		CHECK_EQ(pins.count, i + 1);
	}
	for (unsigned i = 0; i < 100; i++) {
		struct stat st;

		snprintf(name, sizeof(name), "p%u", i);
		CHECK_EQ(fstat(fds[i], &st), 0);
		fd_close(fds[i]);
		pins_look(&pins, "p", st.st_ino);
		CHECK_EQ(pins.count, 100 - i);
		pins_look(&pins, name, st.st_ino);
		CHECK_EQ(pins.count, 99 - i);
	}
	pins_deinit(&pins);
	end();
}

/* Verify that links and the like are not followed. */
static void test_stream_that_is_none(void)
{
	char path[128];
	struct front f;

	fresh();
	enter(&f, "hello");
	snprintf(path, sizeof(path), "%s/data/hello", root);
	CHECK_EQ(symlink("/etc/hostname", path), 0);
	CHECK_STR(call(&f, "storage.stream.get", "[]"),
		  "3: [\"that is not allowed\"]");
	CHECK_STR(call(&f, "storage.stream.write", "[0,\"x\"]"),
		  "3: [\"that is not allowed\"]");
	CHECK_EQ(unlink(path), 0);
	CHECK_EQ(mkfifo(path, 0600), 0);
	CHECK_STR(call(&f, "storage.stream.read", "[0,5]"),
		  "3: [\"that is not allowed\"]");
	leave(&f);
	end();
}

/* --- the whole ---------------------------------------------------------------- */

/* Verify that a damaged database is told once to each, and harms no other. */
static void test_damage(void)
{
	char path[160];
	struct front f, g, other;
	int fd;

	fresh();
	enter(&f, "hello");
	(void)call(&f, "storage.keys.set", "[\"a\",1,{\"sync\":true}]");
	leave(&f);
	end();
	snprintf(path, sizeof(path), "%s/.storage/keys/hello.db", root);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK_EQ(pwrite(fd, "nonsense, all of it", 19, 0), 19);
	fd_close(fd);
	begin();
	enter(&f, "hello");
	enter(&g, "hello");
	enter(&other, "other");
	CHECK_STR(call(&f, "storage.keys.get", "[\"a\"]"),
		  "1: [\"the keys of `hello` are damaged; the file is set "
		  "aside, they start empty\"]");
	ev_run(loop, EVRUN_NOWAIT);
	CHECK(strstr(reported, "the keys of `hello` are damaged") != NULL);
	CHECK_STR(call(&f, "storage.keys.get", "[\"a\"]"), "[nil,0,nil]");
	CHECK(strstr(call(&g, "storage.keys.get", "[\"a\"]"),
		     "the keys of `hello` were damaged; the file was set aside "
		     "as hello.db.damaged-") != NULL);
	CHECK_STR(call(&g, "storage.keys.get", "[\"a\"]"), "[nil,0,nil]");
	CHECK_STR(call(&other, "storage.keys.get", "[\"a\"]"), "[nil,0,nil]");
	leave(&f);
	leave(&g);
	leave(&other);
	end();
}

/* Verify that two cannot serve one store. */
static void test_one_at_a_time(void)
{
	struct storage_options options = { .store_path = root, .ops = &ops };
	struct storage *second = NULL;

	fresh();
	options.loop = loop;
	CHECK_EQ(storage_open(&options, &second), -EBUSY);
	end();
}

/* Verify that what is stored is counted. */
static void test_stat(void)
{
	struct front f;

	fresh();
	enter(&f, "hello");
	(void)call(&f, "storage.keys.set", "[\"a\",1]");
	(void)call(&f, "storage.stream.set", "[\"text\"]");
	CHECK_STR(call(&f, "storage.stat", "[]"),
		  "[{\"program\":\"hello\",\"keys\":1,\"keys_bytes\":34,"
		  "\"limit_bytes\":67108864,\"locks\":0,\"version\":1,"
		  "\"stream_bytes\":4}]");
	CHECK_STR(call(&f, "storage.compact", "[]"), "[]");
	CHECK_STR(call(&f, "storage.keys.flush", "[]"), "[]");
	leave(&f);
	end();
}

/* Verify that a limit holds from when it is told, and none is one, too. */
static void test_limit(void)
{
	struct front f;

	fresh();
	enter(&f, "hello");
	storage_caller_limit(f.caller, 100);
	CHECK_STR(call(&f, "storage.keys.set", "[\"a\",\"b\"]"), "[1]");
	CHECK_STR(call(&f, "storage.keys.set",
		       "[\"b\",\"0123456789012345678901234567890123456789"
		       "0123456789\"]"),
		  "8: [\"over the storage limit of 100 bytes\"]");
	CHECK_STR(call(&f, "storage.stream.truncate", "[101]"),
		  "8: [\"over the storage limit of 100 bytes\"]");
	storage_caller_limit(f.caller, 0);
	CHECK_STR(call(&f, "storage.stream.truncate", "[101]"),
		  "8: [\"over the storage limit of 100 bytes\"]");
	storage_caller_limit(f.caller, UINT64_MAX);
	CHECK_STR(call(&f, "storage.stream.truncate", "[101]"), "[]");
	leave(&f);
	end();
}

/* Verify that a storage is removed as a whole, unless others have it. */
static void test_remove(void)
{
	struct front f, g;

	fresh();
	enter(&f, "hello");
	enter(&g, "hello");
	CHECK_STR(call(&f, "storage.keys.set", "[\"a\",1,{\"sync\":true}]"),
		  "[1]");
	(void)call(&f, "storage.stream.set", "[\"text\"]");
	CHECK_STR(call(&f, "storage.remove", "[]"), "1: [\"it is in use\"]");
	leave(&g);
	CHECK_STR(call(&f, "storage.lock", "[\"l\"]"), "context");
	CHECK_STR(call(&f, "storage.remove", "[]"), "1: [\"it is in use\"]");
	storage_object_free(f.object);
	CHECK_STR(call(&f, "storage.remove", "[]"), "[]");
	CHECK_STR(call(&f, "storage.keys.get", "[\"a\"]"), "[nil,0,nil]");
	CHECK_STR(call(&f, "storage.stream.get", "[]"), "[nil]");
	CHECK_STR(call(&f, "storage.remove", "[]"), "[]");
	CHECK_STR(call(&f, "storage.keys.set", "[\"a\",2,{\"sync\":true}]"),
		  "[1]");
	leave(&f);
	end();
}

int main(void)
{
	RUN(test_keys);
	RUN(test_programs_apart);
	RUN(test_conditions);
	RUN(test_transaction);
	RUN(test_list);
	RUN(test_wrong_arguments);
	RUN(test_limits);
	RUN(test_without_storage);
	RUN(test_sync_is_later);
	RUN(test_left_before_the_answer);
	RUN(test_pressure);
	RUN(test_watch);
	RUN(test_slow_watch);
	RUN(test_watch_of_synced);
	RUN(test_watch_of_expiry);
	RUN(test_watch_that_never_reads);
	RUN(test_watch_of_large_values);
	RUN(test_lock);
	RUN(test_lock_times_out);
	RUN(test_lock_given_up);
	RUN(test_objects_are_limited);
	RUN(test_locks_are_listed);
	RUN(test_limit);
	RUN(test_remove);
	RUN(test_stream);
	RUN(test_stream_replaced);
	RUN(test_stream_renamed);
	RUN(test_stream_of_another);
	RUN(test_stream_files_that_are_kept);
	RUN(test_pins);
	RUN(test_stream_that_is_none);
	RUN(test_damage);
	RUN(test_one_at_a_time);
	RUN(test_stat);
	remove_root();
	return tap_done();
}
