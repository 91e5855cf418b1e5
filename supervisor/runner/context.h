#pragma once

/*
 * Contexts as a program sees them: a userdata with a number of this process's
 * own, for one that it owns or one that it holds.
 *
 * A context lives as long as the program refers to it (its userdata), or C
 * does (context_ref). An owned one lives on while somebody holds it, or may
 * come to hold it from thoxd and finds a function that serves it; a held one
 * while calls through it wait for their answers or the program listens to it.
 * Closing ends it at once; the userdata is then a closed one.
 */

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"

struct channel;
struct context_userdata;
struct listens;

#define CONTEXT_PUSHED UINT32_MAX

struct context {
	uint32_t id; /* never again in this process; thoxd's name of an owned */
	unsigned refs;
	bool owned;
	bool closed;
	struct context_userdata *userdata; /* NULL: the program has none */

	/* owned */
	struct list holders; /* channels */
	unsigned n_holders;
	unsigned n_handlers; /* functions that serve it (handler.h) */
	uint32_t handlings;  /* how often one was set or removed */
	unsigned n_ahead;    /* what came and may not be overtaken (relay.h) */
	uint32_t lent;	     /* by which call; CONTEXT_PUSHED; 0: not */
	struct list loan;    /* while it is */
	bool deserted;	     /* a function was told that nobody holds it */
	unsigned n_children; /* for whom it is context 0, used or not yet */
	/* held */
	uint64_t link;		 /* the channel's number */
	bool passed_on;		 /* others may hold it, by us */
	struct listens *listens; /* what this process listens to there */
};

/* The metatable and the functions; in the zygote. */
void context_open(lua_State *L);

/* Push the userdata of @c, or a closed one for NULL. */
void context_push(lua_State *L, struct context *c);

/* A new one of our own, pushed; raises when there are too many. */
struct context *context_create(lua_State *L);

/*
 * What a program names: a context or its number. Number 0 is the default
 * context: true, and NULL. A closed one: false. Raises for anything else.
 */
bool context_check(lua_State *L, int index, struct context **ret);
/* The same for one that is owned; raises where it is not, or closed. */
struct context *context_check_owned(lua_State *L, int index);

struct context *context_find(uint64_t id); /* NULL: closed, or none such */
struct context *context_ref(struct context *c);
struct context *context_unref(struct context *c); /* NULL */
/* A reason to keep it has gone: it is closed if that was the last. */
void context_settle(struct context *c);

/* It was shared with thoxd, which may hand it on until the call @cid is
 * answered; a push has no answer. */
void context_lend(struct context *c, uint32_t cid);
void context_call_ended(uint32_t cid);

/* A child has it as context 0, and may ask for its link at any time until its
 * end. */
void context_give(struct context *c);
void context_take_back(struct context *c);

/* By this process: everybody loses an owned one. */
void context_close(struct context *c);

/*
 * Named in messages (incoming.h): @link in message @id that came over link
 * @over. Push the context, or a closed one where it was not sent to us with
 * that message.
 */
void context_push_named(lua_State *L, uint64_t link, uint64_t over,
			uint64_t id);
/* Close one that no message has claimed, or that message @id has. */
void context_close_named(uint64_t link, uint64_t over, uint64_t id);

/* A channel to a holder of an owned one is there, or is no more. */
void context_add_holder(struct context *c, struct channel *holder);
void context_remove_holder(struct context *c, struct channel *holder,
			   bool by_us);
/* The channel of a held one is no more. */
void context_lost(struct context *c, struct channel *held, bool by_us);
