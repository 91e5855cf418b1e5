/*
 * At any step: processes, the names that they have bound, and who holds their
 * contexts.
 */

#include "thoxd/tree.h"

#include "thoxd/bus.h"
#include "thoxd/field.h"
#include "thoxd/holding.h"
#include "thoxd/principal.h"
#include "thoxd/run.h"
#include "thoxd/server.h"

static void write_binds(struct mp_writer *w, const struct principal *p)
{
	struct provider *provider, *after;
	uint32_t n = 0;

	list_each(provider, after, &p->providers, of_principal) n++;
	mp_write_str(w, "binds");
	mp_write_array(w, n);
	list_each(provider, after, &p->providers, of_principal)
		mp_write_strn(w, provider->name->name, provider->name->size);
}

/* --- contexts -------------------------------------------------------------
 */

static uint32_t count_holders(const struct context *c)
{
	struct holding *h, *after;
	uint32_t n = 0;

	list_each(h, after, &c->holdings, of_context) n +=
		h->state == HOLDING_LINK;
	return n;
}

/* An own one that somebody holds; names are told apart. */
static bool is_held(const struct context *c)
{
	return c->number > 0 && count_holders(c) > 0;
}

static void write_context(struct mp_writer *w, const struct context *c)
{
	struct holding *h, *after;

	mp_write_map(w, 2);
	field_number(w, "context", c->number);
	mp_write_str(w, "holders");
	mp_write_array(w, count_holders(c));
	list_each(h, after, &c->holdings,
		  of_context) if (h->state == HOLDING_LINK)
		mp_write_int(w, h->holder->pid);
}

static void write_contexts(struct mp_writer *w, const struct principal *p)
{
	struct context *c, *after;
	uint32_t n = 0;

	list_each(c, after, &p->contexts, of_owner) n += is_held(c);
	mp_write_str(w, "contexts");
	mp_write_array(w, n);
	list_each(c, after, &p->contexts, of_owner) if (is_held(c))
		write_context(w, c);
}

/* Who was sent to a name that it has bound. */
static void write_callers(struct mp_writer *w, const struct principal *p)
{
	struct provider *provider, *after;
	uint32_t n = 0;

	list_each(provider, after, &p->providers, of_principal) n++;
	mp_write_str(w, "callers");
	mp_write_array(w, n);
	list_each(provider, after, &p->providers, of_principal)
	{
		struct holding *h, *next;

		mp_write_map(w, 2);
		field_text(w, "name", provider->name->name);
		mp_write_str(w, "holders");
		mp_write_array(w, count_holders(provider->context));
		list_each(h, next, &provider->context->holdings, of_context)
		{
			if (h->state == HOLDING_LINK)
				mp_write_int(w, h->holder->pid);
		}
	}
}

/* --- processes ------------------------------------------------------------
 */

static void write_principal(struct mp_writer *w, const struct principal *p)
{
	const struct run *run = run_of_principal(p);
	const char *name = run ? run->name : p->program;

	mp_write_map(w, 7 + !!run + !!p->program[0] + !!p->service[0]);
	field_number(w, "pid", (uint64_t)p->pid);
	field_number(w, "parent", p->parent ? (uint64_t)p->parent->pid : 0);
	field_text(w, "name", name);
	field_text(w, "state", run ? run_state(run) : "attached");
	if (run)
		field_text(w, "runtime", run->runtime);
	if (p->program[0])
		field_text(w, "program", p->program);
	if (p->service[0])
		field_text(w, "service", p->service);
	write_binds(w, p);
	write_callers(w, p);
	write_contexts(w, p);
}

void tree_write(struct mp_writer *w, struct server *s)
{
	struct principal *p, *after;
	uint32_t n = 0;

	list_each(p, after, &s->principals, list) n++;
	mp_write_array(w, n);
	list_each(p, after, &s->principals, list) write_principal(w, p);
}
