#pragma once

/*
 * Functions of a program that serve calls and pushes, each in a task of its
 * own (worker.h): what the libraries are made of.
 *
 * A function is for a name, and what lies below it, on a context of this
 * process, or on the bus; or for what becomes of a context.
 */

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/wire.h"

struct context;
struct event;
struct served;

enum handler_kind {
	ON_CALL,
	ON_PUSH,
	ON_LISTEN,    /* a holder begins or ceases to listen */
	ON_LAST,      /* nobody holds the context any more, or it is lost */
	ON_TERMINATE, /* the process is to end */
};

struct handler {
	unsigned refs; /* the table's and of jobs */
	enum handler_kind kind;
	uint32_t context;     /* 0: the bus */
	int function;	      /* in the registry */
	struct handler *next; /* with the same hash */
	struct list list;     /* of all */
	size_t name_size;
	char name[WIRE_NAME_BYTES];
};

/* The function at slot @index, or nil for none. @name: "" is every name; the
 * last three kinds have that. Raises for memory, and for what is neither. */
void handler_set(lua_State *L, enum handler_kind kind, uint32_t context,
		 const char *name, size_t size, int index);
void handler_unref(struct handler *h);

/* --- what happens ----------------------------------------------------------
 * True: a function takes it.
 */
bool handler_serve(struct served *s);
bool handler_push(struct event *e);
bool handler_listen(struct event *e);
bool handler_terminate(void);
/* It is lost, or nobody holds it, and if nobody can any more it is about to be closed: false
 * unless a function is told, which is told once. */
bool handler_deserted(struct context *c);
void handler_context_closed(struct context *c);

/* --- how long --------------------------------------------------------------- */
/* Can anybody reach a function, and has the program not said that it stops? */
bool handler_wanted(void);
/* A context may not be reachable any more. */
void handler_look(void);
/* Does the process go on without its main function? For task_hooks. */
bool handler_serving(void);

/* The process ends when its main function has returned and all that was asked
 * of it is done. */
void handler_stop(void);
bool handler_stopped(void);
