#pragma once

/*
 * Errors that nobody caught: told on stderr, with a traceback.
 */

#include <lua.h>
#include <stddef.h>

struct task;

/* Message handler for lua_pcall(): text and traceback, in the state that
 * erred. */
int failure_handler(lua_State *L);

/* A line on stderr. */
void failure_tell(const char *text, size_t size);

/* The error on @L's top, of whoever @L belongs to; of a task, with its name. */
void failure_tell_error(lua_State *L);
void failure_tell_task(struct task *t);

/* The error on @L's top ends the program: told, reported; the exit code. */
int failure_of_program(lua_State *L, int status);
