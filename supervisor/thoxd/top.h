#pragma once

/*
 * What everything that runs uses, at a moment, for whoever looks again and
 * again: `thoxctl top`. How it was called a process tells itself, so that
 * nothing is counted here and no call costs more for it.
 */

struct mp_writer;
struct server;

/* So many processes are looked at closer by one look: how much memory they
 * have, and how they were called. The next goes on behind them; those that
 * were never seen before are always among them. */
#define TOP_LOOKS_MAX 256U

/* A map (rpc/control.h). Processes are asked for their use, and the next look
 * has what they say. */
void top_write(struct mp_writer *w, struct server *s);
