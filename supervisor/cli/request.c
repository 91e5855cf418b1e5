/*
 * Step 3, in thox-exec: the request.
 */

#include "cli/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "rpc/control.h"

/* What a program gets of the caller's environment unasked: how to talk to
 * the person before it, nothing of who that is or what else runs. */
static const char *const default_env[] = {
	"LANG", "LC_ALL", "NO_COLOR", "TERM", "TZ",
};

static size_t name_length(const char *entry)
{
	return strcspn(entry, "=");
}

static bool same_name(const char *a, const char *b)
{
	size_t n = name_length(a);

	return n == name_length(b) && memcmp(a, b, n) == 0;
}

/* Is @entry given again by an option from number @from on? */
static bool given(const struct options *o, unsigned from, const char *entry)
{
	for (unsigned i = from; i < o->n_env; i++)
		if (same_name(o->env[i], entry))
			return true;
	return false;
}

static const char *lookup(const char *entry)
{
	extern char **environ;

	for (char **e = environ; *e; e++)
		if (same_name(*e, entry))
			return strchr(*e, '=') ? strchr(*e, '=') + 1 : NULL;
	return NULL;
}

/* Called twice: once to count, with @w NULL. */
static uint32_t put_variable(struct mp_writer *w, const char *entry)
{
	const char *equals = strchr(entry, '=');
	const char *value = equals ? equals + 1 : lookup(entry);

	if (!value)
		return 0;
	if (w) {
		mp_write_strn(w, entry, name_length(entry));
		mp_write_str(w, value);
	}
	return 1;
}

static uint32_t put_variables(struct mp_writer *w, const struct options *o)
{
	uint32_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(default_env); i++)
		if (!given(o, 0, default_env[i]))
			n += put_variable(w, default_env[i]);
	for (unsigned i = 0; i < o->n_env; i++)
		if (!given(o, i + 1, o->env[i]))
			n += put_variable(w, o->env[i]);
	return n;
}

static uint32_t key_env(struct mp_writer *w, const struct options *o)
{
	uint32_t n = put_variables(NULL, o);

	if (n == 0)
		return 0;
	if (w) {
		mp_write_str(w, "env");
		mp_write_map(w, n);
		put_variables(w, o);
	}
	return 1;
}

static uint32_t key_args(struct mp_writer *w, char **args)
{
	uint32_t n = 0;

	while (args[n])
		n++;
	if (n == 0)
		return 0;
	if (w) {
		mp_write_str(w, "args");
		mp_write_array(w, n);
		for (uint32_t i = 0; i < n; i++)
			mp_write_str(w, args[i]);
	}
	return 1;
}

static uint32_t key_str(struct mp_writer *w, const char *key, const char *value)
{
	if (!value || !*value)
		return 0;
	if (w) {
		mp_write_str(w, key);
		mp_write_str(w, value);
	}
	return 1;
}

static uint32_t key_uint(struct mp_writer *w, const char *key, uint64_t value)
{
	if (!value)
		return 0;
	if (w) {
		mp_write_str(w, key);
		mp_write_uint(w, value);
	}
	return 1;
}

static uint32_t key_true(struct mp_writer *w, const char *key, bool value)
{
	if (!value)
		return 0;
	if (w) {
		mp_write_str(w, key);
		mp_write_bool(w, true);
	}
	return 1;
}

static uint32_t put_keys(struct mp_writer *w, const struct request *q)
{
	const struct options *o = q->options;
	uint32_t n = 0;

	n += key_str(w, "name", q->text->name);
	n += key_true(w, "text", q->text->fd >= 0);
	n += key_str(w, "file", q->text->path);
	n += key_str(w, "runtime", o->runtime);
	n += key_args(w, o->args);
	n += key_env(w, o);
	n += key_uint(w, "memory_bytes", o->memory_bytes);
	n += key_uint(w, "cpu_ms", o->cpu_ms);
	n += key_uint(w, "wall_ms", o->wall_ms);
	n += rules_write(w, "allow", o->allow, o->n_allow);
	n += rules_write(w, "deny", o->deny, o->n_deny);
	n += key_true(w, "background", o->background);
	n += key_str(w, "service", o->service);
	n += key_true(w, "demand_stdin", q->demand_stdin);
	n += key_true(w, "interactive", o->interactive);
	n += key_true(w, "expression", o->text != NULL);
	n += key_uint(w, "rows", q->has_size ? q->rows : 0);
	n += key_uint(w, "columns", q->has_size ? q->columns : 0);
	return n;
}

static int write_into(const struct request *q, struct mp_writer *w)
{
	mp_write_array(w, 2);
	mp_write_uint(w, CONTROL_RUN);
	mp_write_map(w, put_keys(NULL, q));
	put_keys(w, q);
	return mp_writer_end(w);
}

int request_write(const struct request *q, struct mp_writer *ret)
{
	static uint8_t small[8192];
	uint32_t n_args = 0;

	while (q->options->args[n_args])
		n_args++;
	if (n_args > CONTROL_ARGS_MAX)
		return -EMSGSIZE;
	mp_writer_init(ret, small, sizeof(small));
	if (write_into(q, ret) == 0)
		return 0;
	mp_writer_init_heap(ret);
	if (write_into(q, ret) < 0)
		return -ENOMEM;
	return ret->used > CONTROL_MESSAGE_BYTES ? -EMSGSIZE : 0;
}
