/*
 * Step 8, in a runner: what an error looks like that nobody caught.
 */

#include "runner/failure.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/exit.h"
#include "runner/report.h"
#include "runner/runner.h"
#include "runner/task.h"

void failure_tell(const char *text, size_t size)
{
	stream_write(&runner.error, text, size);
	stream_write(&runner.error, "\n", 1);
}

int failure_handler(lua_State *L)
{
	const char *message = lua_tostring(L, 1);

	if (!message) {
		if (luaL_callmeta(L, 1, "__tostring") &&
		    lua_type(L, -1) == LUA_TSTRING)
			message = lua_tostring(L, -1);
		else
			message = lua_pushfstring(
				L, "%s: (error object is a %s value)",
				runner.name, luaL_typename(L, 1));
	}
	luaL_traceback(L, L, message, 1);
	return 1;
}

void failure_tell_error(lua_State *L)
{
	const char *message;
	size_t size;

	if (lua_type(L, -1) != LUA_TSTRING)
		return;
	message = lua_tolstring(L, -1, &size);
	failure_tell(message, size);
}

void failure_tell_task(struct task *t)
{
	char head[TASK_NAME_MAX + 32];

	if (t->name[0])
		snprintf(head, sizeof(head), "task %u (%s): ", (unsigned)t->id,
			 t->name);
	else
		snprintf(head, sizeof(head), "task %u: ", (unsigned)t->id);
	stream_write(&runner.error, head, strlen(head));
	failure_tell_error(t->L);
}

static bool is_out_of_memory(lua_State *L, int status)
{
	static const char text[] = "not enough memory";
	const char *message;

	if (status == LUA_ERRMEM)
		return true;
	message = lua_tostring(L, -1);
	return message && runner.allocator.refused &&
	       strncmp(message, text, sizeof(text) - 1) == 0;
}

int failure_of_program(lua_State *L, int status)
{
	if (is_out_of_memory(L, status)) {
		report_number("memory", runner.memory_bytes);
		return EXIT_MEMORY;
	}
	failure_tell_error(L);
	report_text("error");
	return EXIT_LUA_ERROR;
}
