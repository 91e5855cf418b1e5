/*
 * Step 1: thox-repl, what `thox-exec -i` becomes. Lines become chunks, and
 * each chunk is run by one sandboxed runner that lives as long as the prompt.
 *
 * Lua is linked in only to ask whether a chunk is whole: it is parsed here as
 * text that its own user typed, and never run.
 */

#include <errno.h>
#include <lauxlib.h>
#include <locale.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/util.h"
#include "cli/options.h"
#include "cli/outcome.h"
#include "cli/prompt.h"
#include "cli/say.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "rpc/control.h"

struct chunk {
	char text[CONTROL_EVAL_BYTES];
	size_t size;
};

struct repl {
	struct session session;
	struct prompt *prompt;
	lua_State *lua;
	struct chunk chunk;
};

/* --- history's place -------------------------------------------------------
 */

/* In the user's own state directory, whichever instance is talked to. */
static const char *history_path(char path[PATH_MAX])
{
	static struct instance in;
	char *slash;

	if (instance_locate(INSTANCE_USER, &in) < 0 ||
	    snprintf(path, PATH_MAX, "%s/history", in.state) >= PATH_MAX)
		return NULL;
	for (slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0700); /* the history is not worth an error */
		*slash = '/';
	}
	return path;
}

/* --- chunks ----------------------------------------------------------------
 */

static bool ends_early(lua_State *L)
{
	static const char mark[] = "<eof>";
	size_t size;
	const char *message = lua_tolstring(L, -1, &size);

	return message && size >= sizeof(mark) - 1 &&
	       strcmp(message + size - (sizeof(mark) - 1), mark) == 0;
}

/* A chunk that is wrong is whole, too: the runner says what is wrong. */
static bool is_whole(struct repl *p)
{
	int status = luaL_loadbufferx(p->lua, p->chunk.text, p->chunk.size,
				      "=stdin", "t");
	bool whole = status != LUA_ERRSYNTAX || !ends_early(p->lua);

	lua_settop(p->lua, 0);
	return whole;
}

/* `1 +` may become an expression, `=x` is one. */
static bool is_expression(struct repl *p)
{
	static char buf[sizeof("return ") + CONTROL_EVAL_BYTES];
	int n = snprintf(buf, sizeof(buf), "return %.*s", (int)p->chunk.size,
			 p->chunk.text);
	int status = luaL_loadbufferx(p->lua, buf, (size_t)n, "=stdin", "t");

	lua_settop(p->lua, 0);
	return status == LUA_OK;
}

static int append(struct chunk *c, const char *line, size_t size)
{
	static const char expression[] = "return ";

	if (c->size == 0 && line[0] == '=') {
		memcpy(c->text, expression, sizeof(expression) - 1);
		c->size = sizeof(expression) - 1;
		line++;
		size--;
	}
	if (size >= sizeof(c->text) - c->size)
		return -EMSGSIZE;
	memcpy(c->text + c->size, line, size);
	c->size += size;
	c->text[c->size] = '\0';
	return 0;
}

/* Lines until they are a whole chunk. At the end of a piped input, what is
 * there is taken for one, so that its error is shown. */
static enum prompt_result read_chunk(struct repl *p)
{
	const char *line;
	size_t size;

	p->chunk.size = 0;
	for (;;) {
		bool first = p->chunk.size == 0;
		enum prompt_result r = prompt_read(
			p->prompt, first ? "> " : ">> ", &line, &size);

		if (r == PROMPT_END && !first && !prompt_is_terminal(p->prompt))
			return PROMPT_LINE;
		if (r != PROMPT_LINE)
			return r;
		prompt_remember(p->prompt, line);
		if (append(&p->chunk, line, size) < 0) {
			say("a chunk has at most %u bytes", CONTROL_EVAL_BYTES);
			return PROMPT_INTERRUPTED;
		}
		if (is_expression(p) || is_whole(p))
			return PROMPT_LINE;
	}
}

static bool is_blank(const struct chunk *c)
{
	return strspn(c->text, " \t\r\n") == c->size;
}

/* --- the loop --------------------------------------------------------------
 */

/* io.read() of a prompt that is fed by a pipe takes the next line, as lua's
 * does. */
static ssize_t on_input(void *user, char *buf, size_t size)
{
	struct repl *p = user;
	const char *line;
	size_t n;

	if (prompt_read(p->prompt, "", &line, &n) != PROMPT_LINE)
		return 0;
	if (n > size)
		n = size; /* a longer line is cut */
	memcpy(buf, line, n);
	return (ssize_t)n;
}

static int finish(struct repl *p, const struct outcome *o)
{
	outcome_say(o, p->session.name);
	if (p->session.options->json)
		outcome_say_json(o, p->session.name);
	return outcome_exit_code(o);
}

static int loop(struct repl *p)
{
	static struct outcome outcome;
	enum prompt_result r;

	while ((r = read_chunk(p)) != PROMPT_END) {
		if (r == PROMPT_INTERRUPTED || is_blank(&p->chunk))
			continue;
		/* A failure here is thoxd's end, which the wait explains. */
		(void)session_eval(&p->session, p->chunk.text, p->chunk.size);
		if (session_wait(&p->session, &outcome) == SESSION_ENDED)
			return finish(p, &outcome);
	}
	return 0;
}

static int run(struct repl *p, const struct options *o)
{
	bool terminal = prompt_is_terminal(p->prompt);
	int r = session_open(&p->session, o, terminal ? NULL : on_input, p);

	if (r != 0)
		return r;
	if (terminal)
		printf("thox " PACKAGE_VERSION ", " LUA_RELEASE
		       " in the sandbox; Ctrl-D leaves\n");
	r = loop(p);
	session_close(&p->session);
	return r;
}

int main(int argc, char **argv)
{
	static char path[PATH_MAX];
	static struct options o;
	static struct repl p;
	int r;

	say_init("thox-exec");
	setlocale(LC_CTYPE, "");
	umask(0077);
	if (options_parse(argc, argv, &o) < 0)
		return EXIT_USAGE_EXEC;
	o.interactive = true;
	p.lua = luaL_newstate();
	r = p.lua ? prompt_new(history_path(path), &p.prompt) : -ENOMEM;
	if (r < 0) {
		say("%s", strerror(-r));
		return EXIT_USAGE_EXEC;
	}
	r = run(&p, &o);
	prompt_free(p.prompt);
	lua_close(p.lua);
	return r;
}
