/* Asking about a text: is it what its directory holds? */

#include <stdbool.h>

#include "fs/verify_text.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "service/definition.h"

/* A first line is looked at this far. */
#define LINE_BYTES 512U

static int refuse(struct verdict *v, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct verdict *v, const char *name, const char *format, ...)
{
	int n = snprintf(v->reason, sizeof(v->reason), "%s", name);
	va_list args;

	va_start(args, format);
	vsnprintf(v->reason + n, sizeof(v->reason) - (size_t)n, format, args);
	va_end(args);
	v->result = -EINVAL;
	return 0;
}

/* The next word of the line, and its size. */
static const char *word(const char **p, const char *end, size_t *ret_size)
{
	const char *start;

	while (*p < end && (**p == ' ' || **p == '\t' || **p == '\r'))
		++*p;
	start = *p;
	while (*p < end && **p != ' ' && **p != '\t' && **p != '\r')
		++*p;
	*ret_size = (size_t)(*p - start);
	return *ret_size ? start : NULL;
}

static bool is_thox_exec(const char *text, size_t size)
{
	static const char exec[] = "thox-exec";
	const size_t n = sizeof(exec) - 1;

	return size >= n && memcmp(text + size - n, exec, n) == 0 &&
	       (size == n || text[size - n - 1] == '/');
}

static bool take_name(const char *text, size_t size,
		      char ret_runtime[NAME_MAX_BYTES + 1])
{
	char name[NAME_MAX_BYTES + 1];

	if (!text || size > NAME_MAX_BYTES)
		return false;
	memcpy(name, text, size);
	name[size] = '\0';
	if (strlen(name) != size || !name_valid(name))
		return false;
	strcpy(ret_runtime, name);
	return true;
}

bool verify_first_line(const char *line, size_t size,
		       char ret_runtime[NAME_MAX_BYTES + 1])
{
	static const char option[] = "--runtime=";
	const char *p = line + 2, *end = line + size, *text;
	size_t n;

	ret_runtime[0] = '\0';
	if (size < 2 || line[0] != '#' || line[1] != '!')
		return true;
	do {
		text = word(&p, end, &n);
		if (!text)
			return true;
	} while (!is_thox_exec(text, n));

	while ((text = word(&p, end, &n))) {
		if ((n == 2 && memcmp(text, "-r", 2) == 0) ||
		    (n == sizeof(option) - 2 && memcmp(text, option, n) == 0)) {
			text = word(&p, end, &n);
			return take_name(text, n, ret_runtime);
		}
		if (n > 2 && memcmp(text, "-r", 2) == 0)
			return take_name(text + 2, n - 2, ret_runtime);
		if (n >= sizeof(option) - 1 &&
		    memcmp(text, option, sizeof(option) - 1) == 0)
			return take_name(text + sizeof(option) - 1,
					 n - (sizeof(option) - 1), ret_runtime);
	}
	return true;
}

/* A ceiling on what the parser uses; 0 for @osize where it is a type tag. */
struct account {
	size_t used, limit;
};

static void *allocate(void *user, void *ptr, size_t osize, size_t nsize)
{
	struct account *a = user;
	void *grown;

	if (!ptr)
		osize = 0;
	if (nsize == 0) {
		free(ptr);
		a->used -= osize;
		return NULL;
	}
	if (nsize > osize && nsize - osize > a->limit - a->used)
		return NULL;
	grown = realloc(ptr, nsize);
	if (grown)
		a->used += nsize - osize;
	return grown;
}

/* What lua_load() reads: the source, without a first line that starts with
 * `#` (its newline stays, so that lines count right). */
struct reading {
	struct verify_source *source;
	const char *name;
	struct verdict *v;
	bool started, skipping;
	char line[LINE_BYTES];
	size_t line_size;
	unsigned long lines;
	int error;
};

/* @bytes of the first line: false when the text is refused for it. */
static const char *skip_line(struct reading *rd, const char *bytes, size_t *n)
{
	const char *newline = memchr(bytes, '\n', *n);
	size_t taken = newline ? (size_t)(newline - bytes) : *n;
	size_t room = sizeof(rd->line) - rd->line_size;

	memcpy(rd->line + rd->line_size, bytes, taken < room ? taken : room);
	rd->line_size += taken < room ? taken : room;
	if (newline)
		rd->skipping = false;
	*n -= taken;
	return bytes + taken;
}

static bool acceptable(struct reading *rd, const char *bytes, size_t n)
{
	const char *nul = memchr(bytes, '\0', n);

	if (!rd->started && bytes[0] == LUA_SIGNATURE[0]) {
		refuse(rd->v, rd->name, ": precompiled Lua is not accepted");
		return false;
	}
	for (const char *p = bytes;
	     (p = memchr(p, '\n', (size_t)((nul ? nul : bytes + n) - p))); p++)
		rd->lines++;
	if (nul)
		refuse(rd->v, rd->name, ":%lu: the text contains a NUL byte",
		       rd->lines + 1);
	return !nul;
}

static const char *next_piece(lua_State *L, void *user, size_t *ret_size)
{
	struct reading *rd = user;
	const char *bytes;
	size_t size = 0;
	ssize_t n;

	(void)L;
	*ret_size = 0;
	do {
		n = rd->source->next(rd->source, &bytes);
		if (n <= 0) {
			rd->error = (int)n;
			return NULL;
		}
		size = (size_t)n;
		if (!acceptable(rd, bytes, size))
			return NULL;
		if (!rd->started)
			rd->skipping = bytes[0] == '#';
		rd->started = true;
		if (rd->skipping)
			bytes = skip_line(rd, bytes, &size);
	} while (size == 0);
	*ret_size = size;
	return bytes;
}

/* Messages have a line, unless the parser's own stack was at its end. */
static void refuse_lua(struct verdict *v, const char *name, const char *message)
{
	if (message[0] == '?')
		refuse(v, name, "%s", message + 1);
	else if (strstr(message, "stack overflow"))
		refuse(v, name, ": it is nested too deeply (%s)", message);
	else
		refuse(v, name, ": %s", message);
}

static int check_lua(const char *name, struct verify_source *source,
		     struct verdict *v)
{
	struct account account = { .limit = source->memory_bytes };
	struct reading rd = { .source = source, .name = name, .v = v };
	const char *message;
	lua_State *L;
	int status;

	L = lua_newstate(allocate, &account);
	if (!L)
		return -ENOMEM;
	/* The chunk is called `?`: Lua would cut a longer name. */
	status = lua_load(L, next_piece, &rd, "=?", "t");
	message = status == LUA_OK ? NULL : lua_tostring(L, -1);
	if (rd.error < 0 || v->result < 0)
		; /* said already */
	else if (status == LUA_ERRMEM)
		refuse(v, name, ": parsing it needs more than %zu MiB",
		       source->memory_bytes >> 20);
	else if (status != LUA_OK)
		refuse_lua(v, name, message ? message : "it does not parse");
	else if (!verify_first_line(rd.line, rd.line_size, v->runtime))
		refuse(v, name, ":1: -r is not followed by a runtime's name");
	lua_close(L);
	return rd.error < 0 ? rd.error : 0;
}

/* Nothing of the store is seen here: what is needed is told instead. */
static int on_need(void *user, const struct definition_need *need)
{
	struct verdict *v = user;
	struct verify_need *known = NULL;

	if (need->dir == DIR_SERVICES)
		return -ENODATA; /* may come later */
	for (uint32_t i = 0; i < v->n_needs; i++)
		if (v->needs[i].dir == need->dir)
			known = &v->needs[i];
	if (!known && v->n_needs < VERIFY_NEEDS_MAX)
		known = &v->needs[v->n_needs++];
	if (!known)
		return -ENODATA;
	known->dir = need->dir;
	known->line = need->line;
	known->version = need->version;
	strcpy(known->name, need->name);
	return -ENODATA;
}

static int64_t now_s(void)
{
	struct timespec now;

	return clock_gettime(CLOCK_REALTIME, &now) < 0 ? 0 : now.tv_sec;
}

static int check_definition(const char *name, const char *text, size_t size,
			    struct verdict *v)
{
	struct definition_lookup lookup = { .has = on_need, .user = v };
	struct definition_source source = { .name = name,
					    .text = text,
					    .size = size,
					    .lookup = &lookup,
					    .now_s = now_s() };
	struct definition_notes notes;
	struct definition *d = NULL;
	int r = definition_parse(&source, &d, &notes);

	definition_free(d);
	if (r != -EINVAL)
		return r;
	definition_reason(&notes, name, v->reason, sizeof(v->reason));
	v->result = -EINVAL;
	return 0;
}

static int check_service(const char *name, struct verify_source *source,
			 struct verdict *v)
{
	_cleanup_(freep) char *text = malloc(DEFINITION_BYTES);
	const char *bytes;
	size_t size = 0;
	ssize_t n;

	if (!text)
		return -ENOMEM;
	while ((n = source->next(source, &bytes)) > 0) {
		if (size + (size_t)n > DEFINITION_BYTES)
			return refuse(v, name,
				      ": a service file is at most %u KiB",
				      DEFINITION_BYTES >> 10);
		memcpy(text + size, bytes, (size_t)n);
		size += (size_t)n;
	}
	return n < 0 ? (int)n : check_definition(name, text, size, v);
}

int verify_text(enum store_dir dir, const char *name,
		struct verify_source *source, struct verdict *ret_verdict)
{
	struct verdict *v = ret_verdict;

	memset(v, 0, sizeof(*v));
	switch (dir) {
	case DIR_PROGRAMS:
	case DIR_LIBRARIES:
	case DIR_RUNTIMES:
		return check_lua(name, source, v);
	case DIR_SERVICES:
		return check_service(name, source, v);
	default:
		return 0;
	}
}
