/*
 * Step 3, in the keeper: what thoxd asks, taken out of its bytes.
 *
 * Strings are copied, each with its NUL, into one block that is as large as
 * the message: a string's head takes a byte at least, so they fit.
 */

#include "keeper/message.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "rpc/mp.h"

/* A C string at @at, which moves past it. NULL when there is a NUL inside. */
static char *take(struct mp_reader *r, char **at)
{
	struct mp_bytes b = mp_read_str(r);
	char *text = *at;

	if (r->bad || memchr(b.p, '\0', b.size)) {
		r->bad = true;
		return NULL;
	}
	memcpy(text, b.p, b.size);
	text[b.size] = '\0';
	*at += b.size + 1;
	return text;
}

static int parse_args(struct mp_reader *r, char **at, struct keeper_request *q)
{
	uint32_t n = mp_read_array(r);

	if (n > KEEPER_ARGS_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < n; i++)
		q->args[1 + i] = take(r, at);
	return 0;
}

static int parse_numbers(struct mp_reader *r, unsigned n_fds,
			 struct keeper_request *q)
{
	uint32_t n = mp_read_array(r);

	if (n != n_fds || n > LINK_FDS_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t number = mp_read_uint(r);

		/* 1 and 2 are the log's */
		if (number > 63 || number == 1 || number == 2)
			return -EBADMSG;
		for (uint32_t j = 0; j < i; j++)
			if (q->numbers[j] == (int)number)
				return -EBADMSG;
		q->numbers[i] = (int)number;
	}
	q->n_numbers = n;
	return 0;
}

static int parse_env(struct mp_reader *r, char **at, struct keeper_request *q)
{
	uint32_t n = mp_read_map(r);

	if (n > KEEPER_ENV_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < n; i++) {
		q->env[i] = take(r, at);
		if (r->bad || strchr(q->env[i], '=') || !q->env[i][0])
			return -EBADMSG;
		(*at)[-1] = '='; /* and the value goes on behind it */
		take(r, at);
	}
	return 0;
}

static int parse_spawn(struct mp_reader *r, size_t size, unsigned n_fds,
		       struct keeper_request *q)
{
	char *at;
	int e;

	at = q->strings = malloc(size + 1);
	if (!at)
		return -ENOMEM;
	q->token = mp_read_uint(r);
	if (mp_bytes_copy(mp_read_str(r), q->role, sizeof(q->role)) < 0)
		return -EBADMSG;
	e = parse_args(r, &at, q);
	e = e ? e : parse_numbers(r, n_fds, q);
	return e ? e : parse_env(r, &at, q);
}

static int parse_bytes(struct mp_reader *r, size_t limit,
		       struct keeper_request *q)
{
	struct mp_bytes b = mp_read_str(r);

	if (b.size > limit)
		return -E2BIG;
	q->bytes = b.p;
	q->bytes_size = b.size;
	return 0;
}

static int parse_name(struct mp_reader *r, struct keeper_request *q)
{
	return mp_bytes_copy(mp_read_str(r), q->name, sizeof(q->name)) < 0
		       ? -EBADMSG
		       : 0;
}

static int parse_keep(struct mp_reader *r, struct keeper_request *q)
{
	int e = parse_name(r, q);
	uint64_t pid;

	e = e ? e : parse_bytes(r, KEEPER_RECORD_BYTES, q);
	pid = mp_read_uint(r);
	if (pid > INT_MAX)
		r->bad = true;
	q->pid = r->bad ? 0 : (pid_t)pid;
	return e;
}

/* How many items each kind has, itself included, and descriptors at most. */
static const struct {
	unsigned items;
	unsigned fds; /* not of spawn, whose numbers tell */
} shape[] = {
	[KEEPER_SPAWN - KEEPER_SPAWN] = { 6, 0 },
	[KEEPER_KEEP - KEEPER_SPAWN] = { 4, LINK_FDS_MAX },
	[KEEPER_DROP - KEEPER_SPAWN] = { 2, 0 },
	[KEEPER_STATE - KEEPER_SPAWN] = { 2, 0 },
	[KEEPER_SHUTDOWN - KEEPER_SPAWN] = { 1, 0 },
	[KEEPER_READY - KEEPER_SPAWN] = { 1, 0 },
	[KEEPER_FAILED - KEEPER_SPAWN] = { 2, 0 },
	[KEEPER_REEXEC - KEEPER_SPAWN] = { 1, 0 },
};

static int parse(struct mp_reader *r, size_t size, unsigned n_fds,
		 struct keeper_request *q)
{
	uint32_t items = mp_read_array(r);
	uint64_t kind = mp_read_uint(r);
	unsigned i = (unsigned)kind - KEEPER_SPAWN;
	int e = 0;

	if (r->bad || kind < KEEPER_SPAWN || kind > KEEPER_REEXEC)
		return -EBADMSG;
	if (items != shape[i].items ||
	    (kind != KEEPER_SPAWN && n_fds > shape[i].fds))
		return -EBADMSG;
	q->kind = (unsigned)kind;
	if (kind == KEEPER_SPAWN)
		e = parse_spawn(r, size, n_fds, q);
	else if (kind == KEEPER_KEEP)
		e = parse_keep(r, q);
	else if (kind == KEEPER_DROP)
		e = parse_name(r, q);
	else if (kind == KEEPER_STATE || kind == KEEPER_FAILED)
		e = parse_bytes(r, KEEPER_STATE_BYTES, q);
	return e ? e : mp_end(r);
}

int keeper_request_parse(const void *data, size_t size, unsigned n_fds,
			 struct keeper_request *ret_request)
{
	struct keeper_request q = { 0 };
	struct mp_reader r;
	int e;

	mp_reader_init(&r, data, size);
	e = parse(&r, size, n_fds, &q);
	if (e < 0) {
		keeper_request_deinit(&q);
		return e;
	}
	*ret_request = q;
	return 0;
}

void keeper_request_deinit(struct keeper_request *q)
{
	free(q->strings);
	q->strings = NULL;
}
