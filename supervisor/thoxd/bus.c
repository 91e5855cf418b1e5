/*
 * Step 9: names and who provides them.
 *
 * A change is told to those whom it may concern (CONTROL_FORGET): who was
 * sent to a provider of the name, or, when a name is new, to one of the next
 * name above it. Who found nobody remembers nothing, and who loses a provider
 * by its end sees that for himself.
 */

#include "thoxd/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "rpc/control.h"
#include "rpc/storaged.h"
#include "rpc/wire.h"
#include "thoxd/adopt.h"
#include "thoxd/holding.h"
#include "thoxd/native.h"
#include "thoxd/principal.h"
#include "thoxd/server.h"

void bus_init(struct server *s)
{
	table_init(&s->bus.names);
	table_init(&s->bus.listens);
	list_init(&s->bus.all);
}

/* --- names ----------------------------------------------------------------
 */

static struct bus_name *find(struct server *s, struct mp_bytes name)
{
	struct table_entry *e =
		table_find(&s->bus.names, table_hash(name.p, name.size));

	for (; e; e = table_next(e)) {
		struct bus_name *n = container_of(e, struct bus_name, entry);

		if (n->size == name.size &&
		    memcmp(n->name, name.p, name.size) == 0)
			return n;
	}
	return NULL;
}

/* The next name above: false when there is none. */
static bool cut(struct mp_bytes *name)
{
	while (name->size > 0 && name->p[--name->size] != '.')
		;
	return name->size > 0;
}

/* One that is only waited for has no provider yet. */
static bool serves(const struct bus_name *n)
{
	return !list_empty(&n->primary) || !list_empty(&n->fallbacks);
}

struct bus_name *bus_lookup(struct server *s, struct mp_bytes name)
{
	struct bus_name *n;

	do
		n = find(s, name);
	while ((!n || !serves(n)) && cut(&name));
	return n && serves(n) ? n : NULL;
}

struct list *bus_providers(struct bus_name *n)
{
	return list_empty(&n->primary) ? &n->fallbacks : &n->primary;
}

static struct bus_name *name_new(struct server *s, struct mp_bytes name)
{
	struct bus_name *n = calloc(1, sizeof(*n) + name.size + 1);

	if (!n)
		return NULL;
	n->size = name.size;
	memcpy(n->name, name.p, name.size);
	list_init(&n->primary);
	list_init(&n->fallbacks);
	list_init(&n->waiting);
	list_append(&s->bus.all, &n->list);
	table_add(&s->bus.names, &n->entry, table_hash(name.p, name.size));
	return n;
}

static void name_check(struct server *s, struct bus_name *n)
{
	if (serves(n) || !list_empty(&n->waiting))
		return;
	table_remove(&s->bus.names, &n->entry);
	list_remove(&n->list);
	free(n);
}

/* Who was sent to these providers asks again for @name. */
static void forget(struct list *providers, struct mp_bytes name)
{
	struct provider *provider, *after;

	list_each(provider, after, providers, of_name)
		context_forget(provider->context, name);
}

/* --- binding --------------------------------------------------------------
 */

static struct provider *find_provider(struct bus_name *n,
				      const struct principal *p)
{
	struct list *lists[] = { &n->primary, &n->fallbacks, &n->waiting };
	struct provider *provider, *after;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		list_each(provider, after, lists[i],
			  of_name) if (provider->principal ==
				       p) return provider;
	return NULL;
}

static int check(struct bus_name *n, const struct principal *p, bool fallback,
		 const struct principal **ret_who)
{
	struct list *list = fallback ? &n->fallbacks : &n->primary;
	struct provider *first;

	if (find_provider(n, p))
		return -EALREADY;
	if (list_empty(list)) /* then whoever waits has it */
		list = &n->waiting;
	if (list_empty(list))
		return 0;
	first = list_first(list, struct provider, of_name);
	if (principal_same_service(first->principal, p))
		return 0;
	*ret_who = first->principal;
	return -EEXIST;
}

static void provider_remove(struct provider *provider)
{
	struct server *s = provider->principal->server;
	struct bus_name *n = provider->name;

	adopt_drop_name(provider);
	provider->principal->n_bindings--;
	if (!provider->waits)
		s->bus.n_providers--;
	list_remove(&provider->of_name);
	list_remove(&provider->of_principal);
	context_put(provider->context);
	free(provider);
	name_check(s, n);
}

static int provider_add(struct bus_name *n, struct principal *p, bool fallback,
			bool waits)
{
	struct mp_bytes name = { n->name, n->size };
	struct provider *provider = calloc(1, sizeof(*provider));

	if (!provider)
		return -ENOMEM;
	provider->context = context_of_name(p, name);
	if (!provider->context) {
		free(provider);
		return -ENOMEM;
	}
	provider->name = n;
	provider->principal = p;
	provider->fallback = fallback;
	provider->waits = waits;
	list_append(provider->waits ? &n->waiting
		    : fallback	    ? &n->fallbacks
				    : &n->primary,
		    &provider->of_name);
	list_append(&p->providers, &provider->of_principal);
	p->n_bindings++;
	if (!provider->waits)
		p->server->bus.n_providers++;
	return 0;
}

static int bind_in(struct bus_name *n, struct principal *p, bool fallback)
{
	int r = provider_add(n, p, fallback, p->in_waiting);

	if (r == 0)
		adopt_keep_name(find_provider(n, p));
	return r;
}

static void provider_serve(struct provider *provider)
{
	struct bus_name *n = provider->name;

	if (!provider->waits)
		return;
	provider->waits = false;
	list_remove(&provider->of_name);
	list_append(provider->fallback ? &n->fallbacks : &n->primary,
		    &provider->of_name);
	provider->principal->server->bus.n_providers++;
	adopt_keep_name(provider);
}

/* Those who were served from above, by the others, or by fallbacks. */
static void tell_of_new(struct server *s, struct bus_name *n)
{
	struct mp_bytes name = { n->name, n->size };
	struct mp_bytes above = name;
	struct bus_name *up = cut(&above) ? bus_lookup(s, above) : NULL;

	forget(&n->primary, name);
	forget(&n->fallbacks, name);
	if (!up)
		return;
	forget(&up->primary, name);
	forget(&up->fallbacks, name);
}

const struct bus_name *bus_below_other(const struct principal *p,
				       struct mp_bytes name)
{
	struct bus_name *above =
		cut(&name) ? bus_lookup(p->server, name) : NULL;
	struct provider *first;

	if (!above)
		return NULL;
	first = list_first(bus_providers(above), struct provider, of_name);
	return first->principal == p ||
			       principal_same_service(first->principal, p)
		       ? NULL
		       : above;
}

/* Who calls these must not find a stranger, also while the daemon starts. */
static bool kept_for_daemons(struct mp_bytes name)
{
	static const char *const names[] = { STORAGED_NAME };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (wire_below(name, names[i], strlen(names[i])))
			return true;
	return false;
}

int bus_bind(struct principal *p, struct mp_bytes name, bool fallback,
	     const struct principal **ret_who)
{
	struct server *s = p->server;
	struct bus_name *n = find(s, name);
	struct mp_bytes prefix;
	int r;

	if (native_reserved(name, &prefix) ||
	    (!p->daemon && kept_for_daemons(name)))
		return -EPERM;
	r = n ? check(n, p, fallback, ret_who) : 0;
	if (r < 0)
		return r;
	if (p->n_bindings >= PRINCIPAL_BINDINGS_MAX)
		return -ENOSPC;
	n = n ? n : name_new(s, name);
	if (!n)
		return -ENOMEM;
	r = bind_in(n, p, fallback);
	if (r < 0) {
		name_check(s, n);
		return r;
	}
	if (!p->in_waiting)
		tell_of_new(s, n);
	if (p->ops && p->ops->bound)
		p->ops->bound(p, n->name);
	return 0;
}

int bus_restore(struct principal *p, struct mp_bytes name, bool fallback,
		bool waits, uint64_t kept)
{
	struct server *s = p->server;
	struct bus_name *n = find(s, name);
	const struct principal *who;
	int r = n ? check(n, p, fallback, &who) : 0;

	if (r < 0)
		return r;
	n = n ? n : name_new(s, name);
	if (!n)
		return -ENOMEM;
	r = provider_add(n, p, fallback, waits);
	if (r < 0)
		name_check(s, n);
	else
		find_provider(n, p)->kept = kept;
	return r;
}

void bus_forget(const struct principal *p)
{
	struct provider *provider, *after;

	list_each(provider, after, &p->providers, of_principal)
	{
		struct bus_name *n = provider->name;

		if (!provider->waits)
			context_forget(provider->context,
				       (struct mp_bytes){ n->name, n->size });
	}
}

void bus_promote(struct principal *p)
{
	struct provider *provider, *after;

	p->in_waiting = false;
	list_each(provider, after, &p->providers, of_principal)
	{
		if (!provider->waits)
			continue;
		provider_serve(provider);
		tell_of_new(p->server, provider->name);
	}
}

bool bus_has_bound(const struct principal *p, struct mp_bytes name)
{
	struct bus_name *n = find(p->server, name);

	return n && find_provider(n, p);
}

int bus_unbind(struct principal *p, struct mp_bytes name)
{
	struct bus_name *n = find(p->server, name);
	struct provider *provider = n ? find_provider(n, p) : NULL;

	if (!provider)
		return -ENOENT;
	/* its links stay: calls that are under way are answered */
	context_forget(provider->context, name);
	provider_remove(provider);
	return 0;
}

void bus_principal_gone(struct principal *p)
{
	while (!list_empty(&p->providers))
		provider_remove(list_first(&p->providers, struct provider,
					   of_principal));
}

static void tell_move(struct principal *p, struct mp_bytes name)
{
	uint8_t buf[160];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_MOVE);
	mp_write_strn(&w, name.p, name.size);
	(void)principal_send(p, &w, NULL, 0);
}

int bus_take_over(struct mp_bytes name, struct principal *from,
		  struct principal *to)
{
	struct bus_name *n = find(from->server, name);
	struct provider *old = n ? find_provider(n, from) : NULL;
	struct provider *new = n ? find_provider(n, to) : NULL;
	int r;

	if (!old)
		return -ENOENT;
	if (!new) {
		if (to->n_bindings >= PRINCIPAL_BINDINGS_MAX)
			return -ENOSPC;
		r = bind_in(n, to, old->fallback);
		if (r < 0)
			return r;
		new = find_provider(n, to);
	}
	provider_serve(new);
	context_forget(old->context, name);
	tell_move(from, name);
	provider_remove(old);
	return 0;
}

int bus_leave(struct mp_bytes name, struct principal *from)
{
	struct bus_name *n = find(from->server, name);
	struct provider *provider = n ? find_provider(n, from) : NULL;

	if (!provider)
		return -ENOENT;
	context_forget(provider->context, name);
	tell_move(from, name);
	provider_remove(provider);
	return 0;
}

/* --- what is told ---------------------------------------------------------
 */

static void write_provider(const struct provider *provider, struct mp_writer *w)
{
	const struct principal *p = provider->principal;

	mp_write_map(w, 2 + principal_identity_keys(p));
	mp_write_str(w, "name");
	mp_write_str(w, provider->name->name);
	mp_write_str(w, "fallback");
	mp_write_bool(w, provider->fallback);
	principal_write_identity(p, w);
}

void bus_write_list(const struct server *s, struct mp_writer *w)
{
	struct bus_name *n, *after;

	mp_write_array(w, s->bus.n_providers);
	list_each(n, after, &s->bus.all, list)
	{
		struct provider *provider, *next;

		list_each(provider, next, &n->primary, of_name)
			write_provider(provider, w);
		list_each(provider, next, &n->fallbacks, of_name)
			write_provider(provider, w);
	}
}
