/*
 * Fuzz: what the other ends of links say to a native process that owns a
 * context, holds one, and has a call under way. The input is a row of
 * messages: a byte for the link, two for the size, the bytes.
 */

#include "native/native.h"

#include <string.h>

#include "native/play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ZERO  100
#define GIVEN 55

/* Answer at once, later, or by a failure, as the name says. */
static struct native_request *later;

static void on_call(struct native_request *q, void *user)
{
	struct native *n = q->native;
	struct mp_reader r;
	uint32_t items;

	(void)user;
	mp_reader_init(&r, q->args.p, q->args.size);
	for (items = mp_read_array(&r); items > 0 && !r.bad; items--)
		if (mp_peek(&r) == MP_EXT)
			native_link_close(native_take(n, &r));
		else
			mp_skip(&r);
	if (q->name[0] == 'l' && !later)
		later = q;
	else if (q->name[0] == 'f')
		native_answer_failure(q, STATUS_ERROR, "no");
	else
		native_answer(q, NULL);
}

static void on_push(struct native *n, struct native_peer *from,
		    struct mp_bytes name, struct mp_bytes args, void *user)
{
	(void)n;
	(void)from;
	(void)name;
	(void)args;
	(void)user;
}

static const struct native_handler handler = {
	.call = on_call,
	.push = on_push,
};

static void on_bus_push(struct native *n, const struct native_push *p,
			void *user)
{
	(void)n;
	(void)p;
	(void)user;
}

static void feed(struct play *p, struct link *peers, const uint8_t *data,
		 size_t size)
{
	while (size > 3) {
		struct link *to = &peers[data[0] % 3];
		size_t n = (size_t)data[1] << 8 | data[2];

		data += 3;
		size -= 3;
		if (n > size)
			n = size;
		if (n > 0 && to->fd >= 0)
			(void)link_send(to, data, n, NULL, 0);
		(void)play_turn(p);
		data += n;
		size -= n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct native_context *c;
	struct link peers[3], given;
	struct play p;

	later = NULL;
	if (!play_open(&p) || !play_hold(&p, ZERO, true, true, 0, &peers[0]) ||
	    native_context_new(p.native, &handler, NULL, &c) < 0 ||
	    !play_opened(&p, 7, 1, NULL, (struct mp_bytes){ NULL, 0 },
			 &peers[1]) ||
	    !play_hold(&p, 1, false, false, ZERO, &peers[2]) ||
	    !play_hold(&p, GIVEN, false, false, 7, &given))
		__builtin_trap();
	(void)native_listen(p.native, NULL, "bus", on_bus_push, NULL);
	(void)native_call(p.native, NULL, "a.b", NULL, 0, NULL, NULL, NULL);
	feed(&p, peers, data, size);
	(void)native_call(p.native, NULL, "a.b", NULL, 0, NULL, NULL, NULL);
	(void)native_push_own(c, "tick", NULL);
	if (later)
		native_answer(later, NULL);
	(void)play_turn(&p);
	play_close(&p);
	link_deinit(&given);
	for (int i = 0; i < 3; i++)
		link_deinit(&peers[i]);
	return 0;
}
