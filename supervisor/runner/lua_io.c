/*
 * Step 5, in the zygote: `io` over the three streams of the process, and over
 * pipes.
 *
 * A file object is a userdata that points to a stream: of `runner`, of which
 * there are three, made once; or its own, which is the end of a pipe. What a
 * read gathers is in a luaL_Buffer, since the wait in the middle may end the
 * program.
 */

#include <ctype.h>
#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <string.h>

#include "base/util.h"
#include "runner/environment.h"
#include "runner/limits.h"
#include "runner/runner.h"

#define LINES_FORMATS_MAX 250

static struct stream *check_file(lua_State *L, int i)
{
	struct stream **file = luaL_checkudata(L, i, LUA_FILEHANDLE);

	if ((*file)->fd < 0)
		luaL_error(L, runner.loading
				      ? "there are no streams while a runtime "
					"is loaded"
				      : "attempt to use a closed file");
	return *file;
}

static const char *stream_name(const struct stream *s)
{
	if (s->is_pipe)
		return s->reads ? "reader" : "writer";
	if (s == &runner.input)
		return "stdin";
	return s == &runner.output ? "stdout" : "stderr";
}

/* --- reading ----------------------------------------------------------------
 */

/* The next byte, left where it is: -1 at the end, or after an error. */
static int peek(struct stream *s, int *error)
{
	ssize_t n = stream_fill(s);

	if (n < 0)
		*error = (int)n;
	return n > 0 ? (unsigned char)s->buffer[s->start] : -1;
}

/* A line; false at the end of file. */
static bool read_line(lua_State *L, struct stream *s, bool chop, int *error)
{
	luaL_Buffer buffer;
	bool found = false, any = false;

	luaL_buffinit(L, &buffer);
	while (!found && peek(s, error) >= 0) {
		const char *p = s->buffer + s->start;
		size_t n = s->end - s->start;
		const char *line_feed = memchr(p, '\n', n);

		any = true;
		if (line_feed) {
			found = true;
			n = (size_t)(line_feed - p) + 1;
		}
		luaL_addlstring(&buffer, p, found && chop ? n - 1 : n);
		s->start += n;
	}
	luaL_pushresult(&buffer);
	return any && !*error;
}

/* At most @limit bytes; false when there were none. */
static bool read_bytes(lua_State *L, struct stream *s, size_t limit, int *error)
{
	luaL_Buffer buffer;
	size_t done = 0;

	luaL_buffinit(L, &buffer);
	while (done < limit && peek(s, error) >= 0) {
		size_t n = s->end - s->start;

		if (n > limit - done)
			n = limit - done;
		luaL_addlstring(&buffer, s->buffer + s->start, n);
		s->start += n;
		done += n;
	}
	luaL_pushresult(&buffer);
	return done > 0;
}

/* What of a numeral was read so far. */
struct numeral {
	struct stream *s;
	char text[LIMIT_NUMERAL_BYTES + 1];
	size_t used;
	int *error;
};

/* Take the next byte if it is one of @set; too long a numeral is none. */
static bool take(struct numeral *n, const char *set)
{
	int c = peek(n->s, n->error);

	if (c <= 0 || !strchr(set, c))
		return false;
	if (n->used >= LIMIT_NUMERAL_BYTES) {
		n->used = 0;
		n->text[0] = '\0';
		return false;
	}
	n->text[n->used++] = (char)c;
	n->s->start++;
	return true;
}

static unsigned take_digits(struct numeral *n, bool hex)
{
	unsigned count = 0;

	while (take(n, hex ? "0123456789abcdefABCDEF" : "0123456789"))
		count++;
	return count;
}

/* The longest prefix that may be a numeral, converted by Lua; else nil. */
static bool read_number(lua_State *L, struct stream *s, int *error)
{
	struct numeral n = { .s = s, .error = error };
	unsigned count = 0;
	bool hex = false;
	int c;

	while ((c = peek(s, error)) >= 0 && isspace(c))
		s->start++;
	take(&n, "+-");
	if (take(&n, "0")) {
		if (take(&n, "xX"))
			hex = true;
		else
			count = 1;
	}
	count += take_digits(&n, hex);
	if (take(&n, "."))
		count += take_digits(&n, hex);
	if (count > 0 && take(&n, hex ? "pP" : "eE")) {
		take(&n, "+-");
		take_digits(&n, false);
	}
	n.text[n.used] = '\0';
	if (lua_stringtonumber(L, n.text))
		return true;
	lua_pushnil(L);
	return false;
}

/* One format at stack slot @i: a value, or false and anything. */
static bool read_format(lua_State *L, struct stream *s, int i, int *error)
{
	const char *format;

	if (lua_type(L, i) == LUA_TNUMBER) {
		lua_Integer n = luaL_checkinteger(L, i);

		if (n != 0)
			return read_bytes(L, s, (size_t)n, error);
		lua_pushliteral(L, "");
		return peek(s, error) >= 0;
	}
	format = luaL_checkstring(L, i);
	if (*format == '*')
		format++; /* as Lua 5.2 had it */
	switch (*format) {
	case 'n':
		return read_number(L, s, error);
	case 'l':
		return read_line(L, s, true, error);
	case 'L':
		return read_line(L, s, false, error);
	case 'a':
		read_bytes(L, s, SIZE_MAX, error);
		return true;
	default:
		luaL_argerror(L, i, "invalid format");
		return false;
	}
}

/* The values of the formats from slot @first on; the last is nil where one
 * could not be had, and nil, message, code after an error. */
static int read_formats(lua_State *L, struct stream *s, int first)
{
	int last = lua_gettop(L), n = 0, error = 0;
	bool ok = true;

	if (!s->reads) {
		errno = EBADF;
		return luaL_fileresult(L, 0, NULL);
	}
	if (last < first) {
		ok = read_line(L, s, true, &error);
		n = 1;
	}
	luaL_checkstack(L, last - first + 1 + LUA_MINSTACK,
			"too many arguments");
	for (int i = first; i <= last && ok; i++, n++)
		ok = read_format(L, s, i, &error);
	if (error) {
		errno = -error;
		return luaL_fileresult(L, 0, NULL);
	}
	if (!ok) {
		lua_pop(L, 1);
		lua_pushnil(L);
	}
	return n;
}

/* io.read(format…) */
static int l_read(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1); /* stdin format… */
	return read_formats(L, check_file(L, 1), 2);
}

/* file:read(format…) */
static int l_file_read(lua_State *L)
{
	return read_formats(L, check_file(L, 1), 2);
}

/* upvalues: the file, how many formats, and these */
static int l_next_line(lua_State *L)
{
	int n = (int)lua_tointeger(L, lua_upvalueindex(2));
	struct stream *s;

	lua_settop(L, 0);
	lua_pushvalue(L, lua_upvalueindex(1));
	if ((*(struct stream **)lua_touserdata(L, 1))->fd < 0)
		return luaL_error(L, "file is already closed");
	s = check_file(L, 1);
	luaL_checkstack(L, n + LUA_MINSTACK, "too many arguments");
	for (int i = 1; i <= n; i++)
		lua_pushvalue(L, lua_upvalueindex(2 + i));
	n = read_formats(L, s, 2);
	if (lua_toboolean(L, -n))
		return n;
	if (n > 1) /* nil message code */
		return luaL_error(L, "%s", lua_tostring(L, -n + 1));
	return 0;
}

/* The iterator over the formats from slot 2 on; the file is in slot 1. */
static int push_lines(lua_State *L)
{
	int n = lua_gettop(L) - 1;

	check_file(L, 1);
	luaL_argcheck(L, n <= LINES_FORMATS_MAX, LINES_FORMATS_MAX + 2,
		      "too many arguments");
	lua_pushinteger(L, n);
	lua_insert(L, 2); /* file n format… */
	lua_pushcclosure(L, l_next_line, n + 2);
	return 1;
}

/* io.lines([nil, format…]) */
static int l_lines(lua_State *L)
{
	if (!lua_isnoneornil(L, 1))
		return luaL_error(L, "%s: a program has no files but stdin",
				  luaL_checkstring(L, 1));
	if (lua_isnone(L, 1))
		lua_pushnil(L);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_replace(L, 1); /* stdin format… */
	return push_lines(L);
}

static int l_file_lines(lua_State *L)
{
	check_file(L, 1);
	return push_lines(L);
}

/* --- writing ----------------------------------------------------------------
 */

/* Write the values above slot 1, which is the file: the file. */
static int write_values(lua_State *L, struct stream *s)
{
	int n = lua_gettop(L), r = 0;

	if (s->reads)
		r = -EBADF;
	for (int i = 2; i <= n && r == 0; i++) {
		size_t size;
		const char *text = luaL_checklstring(L, i, &size);

		r = stream_write(s, text, size);
	}
	if (r == 0) {
		lua_settop(L, 1);
		return 1;
	}
	errno = -r;
	return luaL_fileresult(L, 0, NULL);
}

/* io.write(value…) */
static int l_write(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1); /* stdout value… */
	return write_values(L, check_file(L, 1));
}

static int l_file_write(lua_State *L)
{
	return write_values(L, check_file(L, 1));
}

static int l_file_flush(lua_State *L)
{
	struct stream *s = check_file(L, 1);
	int r = s->reads ? 0 : stream_flush(s);

	errno = -r;
	return luaL_fileresult(L, r == 0, NULL);
}

/* file:setvbuf(mode [, size]): the size stays as it is. */
static int l_file_setvbuf(lua_State *L)
{
	static const char *const names[] = { "no", "line", "full", NULL };
	struct stream *s = check_file(L, 1);
	int mode = luaL_checkoption(L, 2, NULL, names);
	int r = 0;

	luaL_optinteger(L, 3, 0);
	if (s == &runner.output || (s->is_pipe && !s->reads)) {
		r = stream_flush(s);
		s->mode = (enum stream_mode)mode;
	}
	errno = -r;
	return luaL_fileresult(L, r == 0, NULL);
}

static int l_file_close(lua_State *L)
{
	int r = stream_close(check_file(L, 1));

	errno = -r;
	return luaL_fileresult(L, r == 0, NULL);
}

static int l_file_tostring(lua_State *L)
{
	struct stream **file = luaL_checkudata(L, 1, LUA_FILEHANDLE);

	if ((*file)->fd < 0)
		lua_pushliteral(L, "file (closed)");
	else
		lua_pushfstring(L, "file (%s)", stream_name(*file));
	return 1;
}

/* io.type(value) -> "file" | "closed file" | nil */
static int l_type(lua_State *L)
{
	struct stream **file;

	luaL_checkany(L, 1);
	file = luaL_testudata(L, 1, LUA_FILEHANDLE);
	if (!file)
		luaL_pushfail(L);
	else
		lua_pushstring(L, (*file)->fd < 0 ? "closed file" : "file");
	return 1;
}

/* --- pipes ------------------------------------------------------------------
 */

/* The first member is what every file object is. */
struct pipe_file {
	struct stream *file;
	struct stream stream;
	char buffer[LIMIT_PIPE_BUFFER_BYTES];
};

struct stream *lua_io_push_pipe(lua_State *L)
{
	struct pipe_file *f = lua_newuserdatauv(L, sizeof(*f), 0);

	f->file = &f->stream;
	stream_init(&f->stream, -1, STREAM_UNBUFFERED, f->buffer,
		    sizeof(f->buffer));
	f->stream.is_pipe = true;
	luaL_setmetatable(L, LUA_FILEHANDLE);
	return &f->stream;
}

struct stream *lua_io_test_file(lua_State *L, int i)
{
	struct stream **file = luaL_testudata(L, i, LUA_FILEHANDLE);

	return file ? *file : NULL;
}

/* Collected, or at the end of a `<close>` variable's scope: what is buffered
 * goes on its way if it can. */
static int l_file_gc(lua_State *L)
{
	struct stream **file = luaL_checkudata(L, 1, LUA_FILEHANDLE);

	if ((*file)->is_pipe && (*file)->fd >= 0)
		stream_close(*file);
	return 0;
}

/* --- the library ------------------------------------------------------------
 */

static void push_file(lua_State *L, struct stream *s)
{
	struct stream **file = lua_newuserdatauv(L, sizeof(struct stream *), 0);

	*file = s;
	luaL_setmetatable(L, LUA_FILEHANDLE);
}

static void open_metatable(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "read", l_file_read },
		{ "write", l_file_write },
		{ "lines", l_file_lines },
		{ "flush", l_file_flush },
		{ "setvbuf", l_file_setvbuf },
		{ "close", l_file_close },
		{ NULL, NULL },
	};

	luaL_newmetatable(L, LUA_FILEHANDLE); /* metatable */
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, l_file_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_pushcfunction(L, l_file_gc);
	lua_setfield(L, -2, "__gc");
	lua_pushcfunction(L, l_file_gc);
	lua_setfield(L, -2, "__close");
	lua_pop(L, 1);
}

/* A function whose upvalue is the field @stream of the table on the top. */
static void add_over(lua_State *L, const char *name, lua_CFunction function,
		     const char *stream)
{
	lua_getfield(L, -1, stream);
	lua_pushcclosure(L, function, 1);
	lua_setfield(L, -2, name);
}

void lua_io_open(lua_State *L)
{
	open_metatable(L);
	lua_newtable(L); /* io */
	push_file(L, &runner.input);
	lua_setfield(L, -2, "stdin");
	push_file(L, &runner.output);
	lua_setfield(L, -2, "stdout");
	push_file(L, &runner.error);
	lua_setfield(L, -2, "stderr");
	add_over(L, "read", l_read, "stdin");
	add_over(L, "lines", l_lines, "stdin");
	add_over(L, "write", l_write, "stdout");
	lua_pushcfunction(L, l_type);
	lua_setfield(L, -2, "type");

	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, LUA_IOLIBNAME); /* io loaded */
	lua_pop(L, 1);
	lua_setglobal(L, LUA_IOLIBNAME);
}
