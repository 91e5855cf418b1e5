/*
 * A native process for the tests of the bus.
 *
 * usage: bus-peer NAME [fallback]
 *
 * Binds NAME and answers what is below it; prints `bound`, or why not, and a
 * line for each push of `NAME` that comes by the bus.
 *	NAME.echo …	what it was given
 *	NAME.who	the caller's PID and program, in thoxd's words
 *	NAME.never	nothing
 *	NAME.die	nothing, and it ends
 *	NAME.unbind	gives the name up
 *	NAME.stop	reads nothing more until a line comes on stdin
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "native/native.h"

static const char *name;
static bool stopped;

static void say(const char *text)
{
	printf("%s\n", text);
	fflush(stdout);
}

static void answer_who(struct native_request *q)
{
	struct native_values v;

	native_values_init(&v);
	mp_write_array(&v.w, 2);
	mp_write_int(&v.w, q->peer->pid);
	mp_write_str(&v.w, q->peer->program ? q->peer->program : "");
	(void)native_answer(q, &v);
	native_values_deinit(&v);
}

static void answer_echo(struct native_request *q)
{
	struct native_values v;

	native_values_init(&v);
	mp_write_raw(&v.w, q->args.p, q->args.size);
	(void)native_answer(q, &v);
	native_values_deinit(&v);
}

static void on_call(struct native_request *q, void *user)
{
	const char *what = q->name + strlen(name);

	(void)user;
	what += *what == '.';
	if (strcmp(what, "echo") == 0) {
		answer_echo(q);
	} else if (strcmp(what, "who") == 0) {
		answer_who(q);
	} else if (strcmp(what, "die") == 0) {
		_exit(0);
	} else if (strcmp(what, "unbind") == 0) {
		(void)native_unbind(q->native, name);
		(void)native_answer(q, NULL);
	} else if (strcmp(what, "stop") == 0) {
		(void)native_answer(q, NULL);
		stopped = true;
	} else if (strcmp(what, "never") != 0) {
		(void)native_answer_failure(q, STATUS_NOT_FOUND,
					    "no such call: %s", q->name);
	}
}

static const struct native_handler handler = { .call = on_call };

static void on_bound(struct native *n, const struct native_answer *a,
		     void *user)
{
	char message[320];

	(void)n;
	(void)user;
	native_answer_message(a, message, sizeof(message));
	say(a->status == STATUS_OK ? "bound" : message);
	if (a->status != STATUS_OK)
		exit(1);
}

static void on_push(struct native *n, const struct native_push *p, void *user)
{
	(void)n;
	(void)user;
	printf("push %.*s from %.*s lost %llu\n", (int)p->name.size, p->name.p,
	       (int)p->program.size, p->program.p, (unsigned long long)p->lost);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct instance in;
	struct native *n;
	char line[8];
	int r;

	if (argc < 2)
		return 2;
	name = argv[1];
	r = instance_locate(INSTANCE_USER, &in);
	r = r ? r : native_open(&in, "bus-peer", 5000, &n);
	if (r < 0) {
		fprintf(stderr, "%s\n", strerror(-r));
		return 1;
	}
	(void)native_bind(n, name, argc > 2 ? NATIVE_FALLBACK : 0, &handler,
			  NULL, on_bound, NULL);
	(void)native_listen(n, NULL, name, on_push, NULL);
	do {
		r = native_wait(n, -1);
		if (stopped && !fgets(line, sizeof(line), stdin))
			return 1;
		stopped = false;
	} while (r == 0);
	return 0;
}
