/*
 * Step 6, in a runner: a text becomes a function.
 */

#include "runner/text.h"

#include <ctype.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runner/runner.h"

#define TEXT_BLOCK_BYTES 8192

enum fault {
	FAULT_NONE,
	FAULT_NUL,
	FAULT_COMPILED,
	FAULT_READ,
};

struct text {
	int fd;
	bool started, ended;
	bool in_comment; /* the first line begins with # */
	unsigned long line;
	enum fault fault;
	int error;
};

static char block[TEXT_BLOCK_BYTES];

void text_rehearse(void)
{
	block[0] = '\0';
}

/* A regular file gives less than was asked for only at its end, which saves
 * the read that would find nothing. */
static size_t read_block(struct text *t)
{
	size_t done = 0;

	while (!t->ended && done < sizeof(block)) {
		ssize_t n = read(t->fd, block + done, sizeof(block) - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			t->fault = FAULT_READ;
			t->error = errno;
		}
		if (n < (ssize_t)(sizeof(block) - done))
			t->ended = true;
		if (n > 0)
			done += (size_t)n;
	}
	return done;
}

static unsigned long count_lines(const char *p, const char *end)
{
	unsigned long n = 0;

	while ((p = memchr(p, '\n', (size_t)(end - p)))) {
		n++;
		p++;
	}
	return n;
}

static bool has_fault(struct text *t, const char *p, const char *end)
{
	const char *nul = memchr(p, '\0', (size_t)(end - p));

	if (nul && t->fault == FAULT_NONE) {
		t->line += count_lines(p, nul);
		t->fault = FAULT_NUL;
	}
	return t->fault != FAULT_NONE;
}

/* The line feed that ends the comment stays, so that lines count right. */
static const char *skip_comment(struct text *t, const char *p, const char *end)
{
	const char *line_feed = memchr(p, '\n', (size_t)(end - p));

	t->in_comment = !line_feed;
	return line_feed ? line_feed : end;
}

/* The begin of what the parser may see of a block. */
static const char *begin_of(struct text *t, const char *p, const char *end)
{
	if (!t->started) {
		t->started = true;
		if (end - p >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
			p += 3;
		t->in_comment = p < end && *p == '#';
		if (p < end && *p == LUA_SIGNATURE[0])
			t->fault = FAULT_COMPILED;
	}
	if (t->in_comment) {
		p = skip_comment(t, p, end);
		if (end - p >= 2 && p[1] == LUA_SIGNATURE[0])
			t->fault = FAULT_COMPILED;
	}
	return p;
}

void text_look_for_finalizers(const char *text, size_t size)
{
	static char last; /* a name may lie across two pieces */
	const char *p = text, *end = text + size;

	if (size == 0 || runner.has_finalizers)
		return;
	if (last == 'g' && *text == 'c')
		runner.has_finalizers = true;
	/* `gcinfo` is another word; what a piece's end hides is taken for it. */
	while ((p = memchr(p, 'g', (size_t)(end - p))) && ++p < end)
		if (*p == 'c' && (end - p < 2 || !isalpha((uint8_t)p[1])))
			runner.has_finalizers = true;
	last = end[-1];
}

static const char *on_read(lua_State *L, void *data, size_t *ret_size)
{
	struct text *t = data;
	const char *p, *end;

	(void)L;
	do {
		end = block + read_block(t);
		text_look_for_finalizers(block, (size_t)(end - block));
		p = begin_of(t, block, end);
		if (has_fault(t, block, end))
			return NULL;
		t->line += count_lines(block, end);
	} while (p == end && !t->ended);
	*ret_size = (size_t)(end - p);
	return p < end ? p : NULL;
}

static int push_fault(lua_State *L, const struct text *t, const char *name)
{
	switch (t->fault) {
	case FAULT_NUL:
		lua_pushfstring(L, "%s:%d: the text contains a NUL byte", name,
				(int)t->line);
		break;
	case FAULT_COMPILED:
		lua_pushfstring(L,
				"%s:1: compiled Lua is refused: a program is "
				"text",
				name);
		break;
	default:
		lua_pushfstring(L, "%s: the text cannot be read: %s", name,
				strerror(t->error));
	}
	return LUA_ERRSYNTAX;
}

/* The parser's own limits ("C stack overflow") come without a place. */
static int name_message(lua_State *L, int status, const char *name)
{
	const char *message = lua_tostring(L, -1);

	if (status == LUA_OK || status == LUA_ERRMEM || !message ||
	    strstr(message, name))
		return status;
	lua_pushfstring(L, "%s: %s", name, message);
	lua_replace(L, -2);
	return status;
}

int text_load(lua_State *L, int fd, const char *name)
{
	struct text t = { .fd = fd, .line = 1 };
	char chunk[260];
	int status;

	snprintf(chunk, sizeof(chunk), "@%s", name);
	status = lua_load(L, on_read, &t, chunk, "t");
	if (t.fault == FAULT_NONE)
		return name_message(L, status, name);
	lua_pop(L, 1);
	return push_fault(L, &t, name);
}

static int load_prefixed(lua_State *L, const char *prefix, const char *text,
			 size_t size, const char *name)
{
	const char *whole;
	char chunk[260];
	size_t whole_size;
	int status;

	snprintf(chunk, sizeof(chunk), "@%s", name);
	lua_pushstring(L, prefix);
	lua_pushlstring(L, text, size);
	lua_concat(L, 2); /* whole */
	whole = lua_tolstring(L, -1, &whole_size);
	status = luaL_loadbufferx(L, whole, whole_size, chunk, "t");
	lua_remove(L, -2); /* function | message */
	return status;
}

int text_load_expression(lua_State *L, const char *text, size_t size,
			 const char *name)
{
	int status = load_prefixed(L, "return ", text, size, name);

	if (status != LUA_ERRSYNTAX)
		return status;
	lua_pop(L, 1);
	return load_prefixed(L, "", text, size, name);
}

int text_load_values(lua_State *L, const char *text, size_t size,
		     const char *name)
{
	int status = load_prefixed(L, "", text, size, name); /* first */

	if (status != LUA_ERRSYNTAX)
		return status;
	status = load_prefixed(L, "return ", text, size, name);
	if (status == LUA_OK) {
		lua_remove(L, -2); /* function */
		return LUA_OK;
	}
	lua_pop(L, 1); /* the first message is about what was written */
	return LUA_ERRSYNTAX;
}

void text_push(lua_State *L, int fd, const char *name)
{
	struct text t = { .fd = fd, .line = 1 };
	luaL_Buffer buffer;
	const char *p;
	size_t size;

	luaL_buffinit(L, &buffer);
	while ((p = on_read(L, &t, &size)))
		luaL_addlstring(&buffer, p, size);
	luaL_pushresult(&buffer); /* text */
	if (t.fault != FAULT_NONE) {
		push_fault(L, &t, name);
		lua_error(L);
	}
}
