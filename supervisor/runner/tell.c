/*
 * Step 7, in a runner: to thoxd, about contexts.
 */

#include "runner/tell.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "rpc/control.h"
#include "rpc/mp.h"
#include "runner/control.h"

#define MESSAGE_BYTES 64

static bool said_ready;

/* A kind and up to four numbers. What is shared may be answered by its link. */
static void tell_all(int64_t kind, unsigned n, const uint64_t numbers[])
{
	bool share = kind == CONTROL_SHARE_OWN;
	uint8_t buf[MESSAGE_BYTES];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 1 + n + share);
	mp_write_int(&w, kind);
	for (unsigned i = 0; i < n; i++)
		mp_write_uint(&w, numbers[i]);
	if (share) {
		mp_write_map(&w, 1);
		mp_write_str(&w, "joined");
		mp_write_bool(&w, true);
	}
	control_send(&w);
}

static void tell(int64_t kind, unsigned n, uint64_t a, uint64_t b, uint64_t c)
{
	const uint64_t numbers[] = { a, b, c };

	tell_all(kind, n, numbers);
}

void tell_use(uint64_t id, uint64_t calls, uint64_t waiting, uint64_t idle_ms)
{
	const uint64_t numbers[] = { id, calls, waiting, idle_ms };

	tell_all(CONTROL_USE, 4, numbers);
}

void tell_want_zero(void)
{
	tell(CONTROL_WANT_ZERO, 0, 0, 0, 0);
}

void tell_link_closed(uint64_t link)
{
	tell(CONTROL_LINK_CLOSED, 1, link, 0, 0);
}

void tell_context_closed(uint64_t context)
{
	tell(CONTROL_CONTEXT_CLOSED, 1, context, 0, 0);
}

void tell_request(int64_t kind, unsigned n, uint64_t id, uint64_t a, uint64_t b)
{
	tell(kind, 1 + n, id, a, b);
}

void tell_stream_closed(unsigned number)
{
	tell(CONTROL_STREAM_CLOSED, 1, number, 0, 0);
}

void tell_pipe_closed(uint64_t pipe, const char *end)
{
	uint8_t buf[MESSAGE_BYTES];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_int(&w, CONTROL_PIPE_CLOSED);
	mp_write_uint(&w, pipe);
	mp_write_str(&w, end);
	control_send(&w);
}

void tell_notice(const char *what, const char *text, size_t size)
{
	struct mp_writer w;

	if (strcmp(what, "ready") == 0)
		said_ready = true;
	mp_writer_init_heap(&w);
	mp_write_array(&w, text ? 3 : 2);
	mp_write_int(&w, CONTROL_NOTIFY);
	mp_write_str(&w, what);
	if (text)
		mp_write_strn(&w, text, size);
	control_send(&w);
	mp_writer_deinit(&w);
}

void tell_again(uint64_t number)
{
	tell(CONTROL_AGAIN_HEARD, 1, number, 0, 0);
	if (said_ready)
		tell_notice("ready", NULL, 0);
}
