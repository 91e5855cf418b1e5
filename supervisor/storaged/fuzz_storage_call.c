/* Fuzz target: the calls of a program that may do what it likes. */

#include <ev.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "rpc/wire.h"
#include "storaged/storage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ev_loop *loop;
static struct storage *storage;
static struct storage_caller *caller;
static unsigned n_asked, n_answered;

/* An answer is one whole array, or the fuzzer has found something. */
static void on_answer(void *request, int status, struct mp_bytes args)
{
	struct mp_reader r;

	(void)request;
	(void)status;
	n_answered++;
	mp_reader_init(&r, args.p, args.size);
	if (mp_peek(&r) != MP_ARRAY)
		abort();
	for (uint32_t n = mp_read_array(&r); n > 0; n--)
		mp_skip(&r);
	if (mp_end(&r) < 0)
		abort();
}

static void on_hand(void *front, void *request, struct storage_object *object,
		    const struct storage_file *file)
{
	(void)front;
	(void)request;
	(void)file;
	n_answered++;
	storage_object_free(object);
}

static void on_close(struct storage_object *object)
{
	storage_object_free(object);
}

static int may_open(void *front, void *user, const char *program)
{
	(void)front;
	(void)user;
	(void)program;
	return 0;
}

static void on_report(const char *text)
{
	(void)text;
}

static char root[] = "/tmp/thox-fuzz-storage-XXXXXX";

static void clean(void)
{
	char command[64];

	storage_caller_free(caller);
	storage_close(storage);
	ev_loop_destroy(loop);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	if (system(command) != 0)
		abort();
}

static void begin(void)
{
	static const struct storage_ops ops = { .answer = on_answer,
						.hand = on_hand,
						.close = on_close,
						.may_open = may_open };
	struct storage_options options = { .store_path = root,
					   .limit_bytes = 65536,
					   .ops = &ops,
					   .report = on_report };

	loop = options.loop = ev_loop_new(0);
	if (!loop || !mkdtemp(root) || storage_open(&options, &storage) < 0 ||
	    storage_caller_new(storage, "fuzz", NULL, &caller) < 0)
		abort();
	atexit(clean);
}

/* As many calls as the input has messages; each is what the front would let
 * through. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {
		"storage.keys.get",
		"storage.keys.set",
		"storage.keys.delete",
		"storage.keys.increment",
		"storage.keys.list",
		"storage.keys.transaction",
		"storage.keys.watch",
		"next",
		"storage.keys.flush",
		"storage.lock",
		"storage.locks",
		"storage.stream.get",
		"storage.stream.set",
		"storage.stream.open",
		"storage.stream.read",
		"storage.stream.write",
		"storage.stream.truncate",
		"storage.stream.size",
		"storage.open",
		"storage.stat",
		"storage.compact",
		"storage.no",
	};
	struct mp_reader r;

	if (!storage)
		begin();
	mp_reader_init(&r, data, size);
	while (size > 0 && mp_peek(&r) == MP_INT) {
		uint64_t which = (uint64_t)mp_read_int(&r);
		const char *name = names[which % ARRAY_SIZE(names)];
		struct mp_bytes args, text = { name, strlen(name) };

		if (mp_peek(&r) != MP_ARRAY)
			break;
		args = mp_read_raw(&r);
		if (r.bad)
			break;
		n_asked++;
		storage_call(caller, NULL, text, args, 0);
	}
	while (n_answered < n_asked)
		ev_run(loop, EVRUN_ONCE);
	return 0;
}
