/*
 * Step 4, for a child: the table that its parent made becomes a spec.
 *
 * One table has every key with its reader. A reader says what is wrong by
 * words, because the program's author reads them; the first complaint counts.
 */

#include "thoxd/child_spec.h"

#include "base/util.h"
#include "rpc/control.h"
#include "rpc/wire.h"

#define NUMBER_MAX 1e15 /* of seconds or bytes: what nobody means */

static const char unreadable[] = "the arguments cannot be read";

/* --- values ---------------------------------------------------------------
 */

static bool is_string(const struct mp_reader *r)
{
	enum mp_type type = mp_peek(r);

	return type == MP_STR || type == MP_BIN;
}

static const char *read_string(struct mp_reader *r, struct mp_bytes *ret,
			       const char *wrong)
{
	if (!is_string(r))
		return wrong;
	*ret = mp_read_str(r);
	return ret->size > 0 ? NULL : wrong;
}

/* A Lua table without anything in it is an array, whatever it was meant as. */
static bool empty_table(struct mp_reader *r)
{
	struct mp_reader ahead = *r;

	if (mp_peek(r) != MP_ARRAY || mp_read_array(&ahead) != 0)
		return false;
	*r = ahead;
	return true;
}

static bool is_context(const struct mp_reader *r)
{
	struct mp_reader ahead = *r;

	return mp_peek(r) == MP_EXT && wire_read_context(&ahead) != 0;
}

static const char *read_context(struct mp_reader *r, struct mp_bytes *ret,
				const char *wrong)
{
	if (!is_context(r))
		return wrong;
	*ret = mp_read_raw(r);
	return NULL;
}

/* More than nothing. */
static const char *read_number(struct mp_reader *r, double factor,
			       uint64_t *ret, const char *wrong)
{
	enum mp_type type = mp_peek(r);
	double value;

	if (type == MP_INT)
		value = (double)mp_read_int(r);
	else if (type == MP_DOUBLE)
		value = mp_read_double(r);
	else
		return wrong;
	if (!(value > 0) || value > NUMBER_MAX)
		return wrong;
	value *= factor;
	*ret = (uint64_t)value;
	if ((double)*ret < value) /* a little is not nothing */
		(*ret)++;
	return NULL;
}

/* --- keys -----------------------------------------------------------------
 */

static const char *read_program(struct mp_reader *r, struct child_spec *c)
{
	return read_string(r, &c->run.name, "program: a name is wanted");
}

static const char *read_code(struct mp_reader *r, struct child_spec *c)
{
	if (!is_string(r))
		return "code: a text is wanted";
	c->code = mp_read_str(r);
	c->run.text = true;
	return NULL;
}

static const char *read_runtime(struct mp_reader *r, struct child_spec *c)
{
	return read_string(r, &c->run.runtime, "runtime: a name is wanted");
}

static const char *read_args(struct mp_reader *r, struct child_spec *c)
{
	static const char wrong[] =
		"args: a sequence of strings and contexts is wanted";
	const uint8_t *begin = r->p;
	uint32_t n;

	if (mp_peek(r) != MP_ARRAY)
		return wrong;
	n = mp_read_array(r);
	if (n > CONTROL_ARGS_MAX)
		return "args: there are too many";
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		if (!is_string(r) && !is_context(r))
			return wrong;
		mp_skip(r);
	}
	c->run.args = (struct mp_bytes){ (const char *)begin,
					 (size_t)(r->p - begin) };
	return NULL;
}

static const char *read_env(struct mp_reader *r, struct child_spec *c)
{
	static const char wrong[] =
		"env: a table of strings by their names is wanted";
	const uint8_t *begin = r->p;
	uint32_t n;

	if (empty_table(r))
		return NULL;
	if (mp_peek(r) != MP_MAP)
		return wrong;
	n = mp_read_map(r);
	if (n > CONTROL_ENV_MAX)
		return "env: there are too many variables";
	for (uint32_t i = 0; i < 2 * n && !r->bad; i++) {
		if (!is_string(r))
			return wrong;
		mp_skip(r);
	}
	c->run.env = (struct mp_bytes){ (const char *)begin,
					(size_t)(r->p - begin) };
	return NULL;
}

static const char *read_context_key(struct mp_reader *r, struct child_spec *c)
{
	return read_context(r, &c->context, "context: a context is wanted");
}

static const char *read_storage(struct mp_reader *r, struct child_spec *c)
{
	return read_context(r, &c->storage, "storage: a context is wanted");
}

/* {pipe = number, end = "reader" | "writer"} or {text = …}; which one is for
 * what, each stream says. */
static const char *read_stdio_table(struct mp_reader *r, bool input,
				    struct stdio_spec *s, const char *wrong)
{
	const char *end = input ? "reader" : "writer";
	uint32_t n = mp_read_map(r);

	for (uint32_t i = 0; i < n && !r->bad; i++) {
		struct mp_bytes key = mp_read_str(r);

		if (mp_bytes_equal(key, "pipe") && mp_peek(r) == MP_INT) {
			s->kind = STDIO_PIPE;
			s->pipe = mp_read_uint(r);
		} else if (mp_bytes_equal(key, "end") && is_string(r)) {
			if (!mp_bytes_equal(mp_read_str(r), end))
				return wrong;
		} else if (mp_bytes_equal(key, "text") && input &&
			   is_string(r)) {
			s->kind = STDIO_TEXT;
			s->text = mp_read_str(r);
		} else {
			return wrong;
		}
	}
	if (s->text.size > CHILD_TEXT_BYTES)
		return "stdin: the text is too large; use a pipe";
	return s->kind == STDIO_INHERIT ? wrong : NULL;
}

static const char *read_stdio(struct mp_reader *r, bool input,
			      struct stdio_spec *s, const char *wrong)
{
	struct mp_bytes word;

	*s = (struct stdio_spec){ .kind = STDIO_INHERIT };
	if (mp_peek(r) == MP_MAP)
		return read_stdio_table(r, input, s, wrong);
	if (!is_string(r))
		return wrong;
	word = mp_read_str(r);
	if (mp_bytes_equal(word, "null"))
		s->kind = STDIO_NULL;
	else if (!mp_bytes_equal(word, "inherit"))
		return wrong;
	return NULL;
}

static const char *read_stdin(struct mp_reader *r, struct child_spec *c)
{
	return read_stdio(r, true, &c->stdio[0],
			  "stdin: \"inherit\", \"null\", the reader of a pipe "
			  "or {text=…} is wanted");
}

static const char *read_stdout(struct mp_reader *r, struct child_spec *c)
{
	return read_stdio(r, false, &c->stdio[1],
			  "stdout: \"inherit\", \"null\" or the writer of a "
			  "pipe is wanted");
}

static const char *read_stderr(struct mp_reader *r, struct child_spec *c)
{
	return read_stdio(r, false, &c->stdio[2],
			  "stderr: \"inherit\", \"null\" or the writer of a "
			  "pipe is wanted");
}

static const char *read_limit(struct mp_reader *r, struct mp_bytes key,
			      struct run_spec *s)
{
	if (mp_bytes_equal(key, "memory"))
		return read_number(r, 1, &s->memory_bytes,
				   "limits.memory: bytes are wanted");
	if (mp_bytes_equal(key, "cpu"))
		return read_number(r, 1000, &s->cpu_ms,
				   "limits.cpu: seconds are wanted");
	if (mp_bytes_equal(key, "wall"))
		return read_number(r, 1000, &s->wall_ms,
				   "limits.wall: seconds are wanted");
	if (mp_bytes_equal(key, "tasks"))
		return read_number(r, 1, &s->tasks,
				   "limits.tasks: a number is wanted");
	if (mp_bytes_equal(key, "descriptors"))
		return read_number(r, 1, &s->descriptors,
				   "limits.descriptors: a number is wanted");
	if (mp_bytes_equal(key, "processes"))
		return read_number(r, 1, &s->processes,
				   "limits.processes: a number is wanted");
	return "limits: memory, cpu, wall, tasks, descriptors and processes "
	       "have limits, nothing else";
}

static const char *read_limits(struct mp_reader *r, struct child_spec *c)
{
	const char *wrong = NULL;
	uint32_t n;

	if (empty_table(r))
		return NULL;
	if (mp_peek(r) != MP_MAP)
		return "limits: a table is wanted";
	n = mp_read_map(r);
	for (uint32_t i = 0; i < n && !r->bad && !wrong; i++)
		wrong = read_limit(r, mp_read_str(r), &c->run);
	return wrong;
}

static const char *read_rules(struct mp_reader *r, struct mp_bytes *ret,
			      const char *wrong)
{
	if (empty_table(r))
		return NULL;
	if (mp_peek(r) != MP_MAP)
		return wrong;
	*ret = mp_read_raw(r);
	return NULL;
}

static const char *read_policy(struct mp_reader *r, struct child_spec *c)
{
	static const char wrong[] = "policy: {allow=…, deny=…} is wanted";
	const char *said = NULL;
	uint32_t n;

	if (empty_table(r))
		return NULL;
	if (mp_peek(r) != MP_MAP)
		return wrong;
	n = mp_read_map(r);
	for (uint32_t i = 0; i < n && !r->bad && !said; i++) {
		struct mp_bytes key = mp_read_str(r);

		if (mp_bytes_equal(key, "allow"))
			said = read_rules(r, &c->allow,
					  "policy.allow: a table is wanted");
		else if (mp_bytes_equal(key, "deny"))
			said = read_rules(r, &c->deny,
					  "policy.deny: a table is wanted");
		else
			said = wrong;
	}
	return said;
}

/* What a text is called: for people, and nobody's name. */
static const char *read_name(struct mp_reader *r, struct child_spec *c)
{
	return read_string(r, &c->title, "name: a string is wanted");
}

static const struct {
	const char *key;
	const char *(*read)(struct mp_reader *r, struct child_spec *c);
} keys[] = {
	{ "program", read_program },	 { "code", read_code },
	{ "name", read_name },		 { "runtime", read_runtime },
	{ "args", read_args },		 { "env", read_env },
	{ "context", read_context_key }, { "storage", read_storage },
	{ "stdin", read_stdin },	 { "stdout", read_stdout },
	{ "stderr", read_stderr },	 { "limits", read_limits },
	{ "policy", read_policy },
};

static const char *read_key(struct mp_reader *r, struct mp_bytes key,
			    struct child_spec *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (mp_bytes_equal(key, keys[i].key))
			return keys[i].read(r, c);
	return "there is a key that process.run does not know";
}

/* --- the whole ------------------------------------------------------------
 */

/* A program or a text, and what goes with which. */
static const char *check(struct child_spec *c)
{
	static const char untitled[] = "code";

	if (c->run.text == (c->run.name.size > 0))
		return "either program or code is wanted";
	if (!c->run.text && c->title.size > 0)
		return "name: a program has one already";
	if (!c->run.text && c->storage.size > 0)
		return "storage: a program has its own";
	if (c->run.text && c->title.size > 0)
		c->run.name = c->title;
	else if (c->run.text)
		c->run.name =
			(struct mp_bytes){ untitled, sizeof(untitled) - 1 };
	if (c->run.args.size + c->run.env.size > CHILD_ARGS_BYTES)
		return "args, env: they are too large";
	return NULL;
}

const char *child_spec_parse(struct mp_bytes table, struct child_spec *ret)
{
	struct child_spec c = { 0 };
	const char *wrong = NULL;
	struct mp_reader r;
	uint32_t n;

	mp_reader_init(&r, table.p, table.size);
	if (mp_peek(&r) != MP_MAP)
		return "a table is wanted";
	n = mp_read_map(&r);
	for (uint32_t i = 0; i < n && !r.bad && !wrong; i++)
		wrong = read_key(&r, mp_read_str(&r), &c);
	if (!wrong && mp_end(&r) < 0)
		wrong = unreadable;
	if (!wrong)
		wrong = check(&c);
	if (!wrong)
		*ret = c;
	return wrong;
}

struct mp_bytes child_spec_next_context(struct mp_reader *args)
{
	while (args->p < args->end && !args->bad) {
		if (is_context(args))
			return mp_read_raw(args);
		mp_skip(args);
	}
	return (struct mp_bytes){ 0 };
}
