/*
 * Step 7, in a runner: pipes as files.
 *
 * The file object is one of io's, so that everything which waits and reads is
 * there; its stream is in a second userdata, its user value, whose finaliser
 * closes what the program forgot.
 */

#include "runner/lua_pipe.h"

#include <lauxlib.h>
#include <lualib.h>
#include <unistd.h>

#include "base/fd.h"
#include "rpc/status.h"
#include "runner/environment.h"
#include "runner/lua_status.h"
#include "runner/request.h"
#include "runner/runner.h"
#include "runner/stream.h"
#include "runner/tell.h"

#define PIPE_TYPE    "thox.pipe"
#define BUFFER_BYTES 4096

struct pipe_end {
	struct stream stream;
	uint64_t number;
	bool told; /* thoxd knows that it is closed here, or a child's */
	char buffer[BUFFER_BYTES];
};

static const char *end_name(const struct pipe_end *p)
{
	return p->stream.reads ? "reader" : "writer";
}

static void tell_closed(struct pipe_end *p)
{
	if (!p->told && p->number)
		tell_pipe_closed(p->number, end_name(p));
	p->told = true;
}

static int l_gc(lua_State *L)
{
	struct pipe_end *p = luaL_checkudata(L, 1, PIPE_TYPE);

	p->stream.fd = fd_close(p->stream.fd);
	tell_closed(p);
	return 0;
}

/* The pipe's end behind a file, or NULL. */
static struct pipe_end *test_end(lua_State *L, int index)
{
	struct pipe_end *p = NULL;

	if (luaL_testudata(L, index, LUA_FILEHANDLE) &&
	    lua_getiuservalue(L, index, 1) == LUA_TUSERDATA)
		p = luaL_testudata(L, -1, PIPE_TYPE);
	if (luaL_testudata(L, index, LUA_FILEHANDLE))
		lua_pop(L, 1);
	return p;
}

bool lua_pipe_push_reference(lua_State *L, int index)
{
	struct pipe_end *p;

	index = lua_absindex(L, index);
	p = test_end(L, index);
	if (!p)
		return false;
	if (p->stream.fd < 0)
		luaL_error(L, "this end of the pipe is closed");
	lua_createtable(L, 0, 2);
	lua_pushinteger(L, (lua_Integer)p->number);
	lua_setfield(L, -2, "pipe");
	lua_pushstring(L, end_name(p));
	lua_setfield(L, -2, "end");
	return true;
}

void lua_pipe_give(lua_State *L, int index)
{
	struct pipe_end *p = test_end(L, lua_absindex(L, index));

	if (!p)
		return;
	p->told = true;
	p->stream.fd = fd_close(p->stream.fd);
}

void lua_pipe_closed(lua_State *L, int index)
{
	struct pipe_end *p = test_end(L, lua_absindex(L, index));

	if (p)
		tell_closed(p);
}

/* Push a file whose stream has no descriptor yet. */
static struct pipe_end *push_end(lua_State *L, bool reads)
{
	struct stream **file = lua_newuserdatauv(L, sizeof(*file), 1);
	struct pipe_end *p = lua_newuserdatauv(L, sizeof(*p), 0);

	/* file end */
	p->number = 0;
	p->told = false;
	stream_init(&p->stream, -1, reads ? STREAM_FULL : STREAM_UNBUFFERED,
		    p->buffer, sizeof(p->buffer));
	p->stream.reads = reads;
	luaL_setmetatable(L, PIPE_TYPE);
	*file = &p->stream;
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, LUA_FILEHANDLE);
	return p;
}

/* os.pipe() -> reader, writer */
static int l_pipe(lua_State *L)
{
	struct pipe_end *reader, *writer;
	struct request *r;

	lua_settop(L, 0);
	reader = push_end(L, true);
	writer = push_end(L, false); /* reader writer */
	r = request_new(L);
	tell_want_pipe(r->id);
	request_wait(L, r, "a pipe");
	if (r->status != STATUS_OK || r->fds[0] < 0 || r->fds[1] < 0) {
		int status = r->status;

		lua_pushstring(L, r->message);
		request_release(r);
		lua_status_push_error(L, status ? status : STATUS_ERROR,
				      "os.pipe");
		return lua_error(L);
	}
	reader->number = writer->number = r->value;
	reader->stream.fd = r->fds[0];
	writer->stream.fd = r->fds[1];
	r->fds[0] = r->fds[1] = -1;
	request_release(r);
	return 2;
}

void lua_pipe_open(lua_State *L)
{
	luaL_newmetatable(L, PIPE_TYPE);
	lua_pushcfunction(L, l_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	lua_getglobal(L, "os");
	lua_pushcfunction(L, l_pipe);
	lua_setfield(L, -2, "pipe");
	lua_pop(L, 1);
}
