#pragma once

/*
 * For tests of one runner and its links: what thoxd would make for it, and what
 * is said at their other ends. One test of one runner at a time, so what it
 * needs is here once. What cannot be done aborts the test.
 */

#include <stdbool.h>
#include <stdint.h>

#include "rpc/link.h"
#include "rpc/mp.h"
#include "rpc/wire.h"
#include "runner/play.h"

extern struct play_zygote zygote; /* opened by main() */
extern struct play_runner runner;
extern struct play_result result;
extern struct mp_writer w; /* of the message that is being written */
extern uint64_t last_link; /* the number of the link that was made last */

/* Starts a program, and waits until it says `ready`; ends it. */
void begin(const char *text);
void end(void);

/* Thoxd's: a message begun in @w, and sent with @fd, which is taken. */
void start_message(uint32_t items, int64_t kind);
void send_control(int fd);
/* Somebody holds its first context from now on: the other end. */
void open_holder(struct link *l, bool granted);
/* It holds a context of somebody's, named over link @over; 0: over any. */
void give_context(struct link *l, uint64_t over);

/* The next message but hellos: 1; -1: the link was closed, 0: in vain. */
int next(struct link *l, struct link_message *raw, struct wire_message *m);
bool is_closed(struct link *l);

void begin_call(uint32_t cid, const char *name); /* in @w */
void send_bytes(struct link *l, const void *data, size_t size);
void send_written(struct link *l); /* @w */

/* The status of the answer to @cid; -1: none. The text of its first value is
 * in @ret. */
int answer_of(struct link *l, uint32_t cid, char *ret, size_t size);
