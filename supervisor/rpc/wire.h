#pragma once

/*
 * The messages on a context's link, as man/thox-rpc.7 documents them.
 *
 * Each is a MessagePack array whose first item is the kind. What a call
 * carries (`args`) is an array of values, taken apart by the receiver alone:
 * here it is checked to be whole, each value no deeper than MP_DEPTH_MAX, and
 * nothing else. Contexts in it are extension type WIRE_EXT_CONTEXT: the number
 * of a link, 8 bytes big-endian, that thoxd has sent to the receiver already.
 *
 * Unknown kinds up to 15 close the link, others are ignored.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/mp.h"

#define WIRE_VERSION	  1
#define WIRE_NAME_BYTES	  128U /* of a call's name */
#define WIRE_EXT_CONTEXT  1
#define WIRE_ROUTES_MAX	  16U  /* instances that an answer names */
#define WIRE_CONTEXTS_MAX 256U /* in one message */

enum wire_kind {
	/* [0, version, {…}]: limits; first on each link, from both sides.
	 * `message_bytes`: the most that this side takes in one message. A
	 * side need not wait for the other's. `returns`: of an owner, true: it
	 * takes WIRE_RETURN here. */
	WIRE_HELLO = 0,
	/* [1, cid, name, args, deadline?]: cid is the sender's, unique among
	 * its pending calls on the link; deadline is CLOCK_MONOTONIC in ms */
	WIRE_CALL = 1,
	/* [2, cid, status, args]: status as in status.h; unless OK the first
	 * of args is the message. Of a cid that is not pending: ignored. */
	WIRE_ANSWER = 2,
	/* [3, cid]: nobody waits for the answer any more */
	WIRE_CANCEL = 3,
	/* [4, name, args, {…}?]: the map is believed from thoxd only, which
	 * passes pushes to a bus name on to all who listen: pid, program,
	 * service (who pushed), lost (how many before this one did not fit) */
	WIRE_PUSH = 4,
	/* [5, name, on]: pushes of this name, and below it, are wanted or not */
	WIRE_LISTEN = 5,
	/* [6], answered [6]: send nothing more here, resolve the name again */
	WIRE_MOVED = 6,
	/*
	 * [7, cid, name]: where are calls of this name to go? Answered by
	 * WIRE_ANSWER with args [prefix, context…]: calls of prefix and below
	 * go to these contexts (one for each instance, 16 at most), or, when
	 * none is named, over this link as they are; prefix "" means every
	 * name. Only a link that CONTROL_HOLD says `resolves` is asked. A
	 * process that is asked all the same answers [""] without its program's
	 * help, so whoever interposes stays in the way.
	 */
	WIRE_RESOLVE = 7,
	/* [8]: from a holder, to an owner whose hello has said that it takes
	 * it: the context is given back, as if the link were closed, but the
	 * owner may name the link once more, in a message over the link that
	 * named it first: then it is another context. Not of one that was
	 * shared onward, and nothing comes over it until then. */
	WIRE_RETURN = 8,
};

struct wire_message {
	int64_t kind; /* WIRE_…, or from 16 on: to be ignored */
	uint32_t cid;
	struct mp_bytes name; /* checked by wire_check_name() */
	struct mp_bytes args; /* a whole array */
	uint32_t n_ext; /* extensions in it: contexts, or nothing of ours */
	struct mp_bytes info; /* push: a whole map, size 0: none */
	int64_t status;	      /* STATUS_… */
	uint64_t deadline_ms; /* 0: none */
	uint64_t message_bytes;
	uint64_t again; /* hello: 0: it is the first one */
	bool returns;	/* hello */
	bool on;
};

/* Views point into @data. 0, or -EBADMSG. */
int wire_parse(const void *data, size_t size, struct wire_message *ret);

/* A name of calls: 1–128 bytes of `A-Za-z0-9_-` and single dots between. */
bool wire_check_name(const char *name, size_t size);

/* Is @name the prefix, or below it at a dot? "" is a prefix of all. */
bool wire_below(struct mp_bytes name, const char *prefix, size_t prefix_size);

/*
 * Each starts a message whose args follow: the caller writes one array (or
 * mp_write_raw() of one), and for a call with @deadline_ms not 0 then calls
 * wire_end_call().
 */
void wire_begin_call(struct mp_writer *w, uint32_t cid, const char *name,
		     size_t name_size, uint64_t deadline_ms);
void wire_end_call(struct mp_writer *w, uint64_t deadline_ms);
void wire_begin_answer(struct mp_writer *w, uint32_t cid, int status);
/* @with_info: a map follows the args. */
void wire_begin_push(struct mp_writer *w, const char *name, size_t name_size,
		     bool with_info);

/* Whole messages. */
void wire_write_hello(struct mp_writer *w, uint64_t message_bytes);
/* Of an owner that takes WIRE_RETURN. */
void wire_write_hello_returns(struct mp_writer *w, uint64_t message_bytes);
void wire_write_return(struct mp_writer *w);
/* Of a thoxd that goes on with the link of another, and the answer to it. */
void wire_write_hello_again(struct mp_writer *w, uint64_t message_bytes,
			    uint64_t again);
void wire_write_failure(struct mp_writer *w, uint32_t cid, int status,
			const char *message);
void wire_write_cancel(struct mp_writer *w, uint32_t cid);
void wire_write_listen(struct mp_writer *w, const char *name, size_t name_size,
		       bool on);
void wire_write_moved(struct mp_writer *w);
void wire_write_resolve(struct mp_writer *w, uint32_t cid, const char *name,
			size_t name_size);

/* A context in arguments: its number, and where its eight bytes are. */
struct wire_context {
	uint64_t number;
	size_t offset;
};

/* Those of @args, which wire_parse() has found whole: how many, or -E2BIG when
 * there are more than @max. */
int wire_find_contexts(struct mp_bytes args, struct wire_context *ret,
		       unsigned max);

/* The number in a context's extension, 0 when it is none. */
uint64_t wire_read_context(struct mp_reader *r);
void wire_write_context(struct mp_writer *w, uint64_t link);
