/*
 * Step 9: a name becomes links.
 *
 * An instance whose control link has no room, since it does not read, is left
 * out while there is another; the only one is waited for.
 */

#include "thoxd/resolve.h"

#include <errno.h>

#include "base/util.h"
#include "rpc/storaged.h"
#include "thoxd/bus.h"
#include "thoxd/making.h"
#include "thoxd/native.h"
#include "thoxd/server.h"
#include "thoxd/services/services.h"
#include "thoxd/zero.h"

static void attempt(struct native_call *c);

static void on_go(struct waiter *w)
{
	attempt(container_of(w, struct native_call, waiter));
}

struct found {
	uint64_t links[WIRE_ROUTES_MAX];
	unsigned n;
	int error; /* the first; 0: none */
	struct principal *wait;
};

/* False: there is no use in going on. */
static bool add(struct native_call *c, struct provider *provider,
		struct found *found)
{
	struct making m = {
		.context = provider->context,
		.receiver = c->holder,
		.as = c->as,
		.wisher = c->holder,
		.grant = c->as->policy,
		.over = c->zero->number,
		.routed = true,
	};
	struct principal *wait;
	struct holding *link;
	int r = making_link(&m, &link, &wait);

	if (r == 0) {
		found->links[found->n++] = link->number;
	} else if (found->error == 0 || found->error == -EPIPE) {
		found->error = r;
		found->wait = wait;
	}
	return found->n < WIRE_ROUTES_MAX &&
	       (r == 0 || r == -EPIPE || r == -EUSERS ||
		(r == -EAGAIN && wait == provider->principal));
}

/* Whoever is first now is last the next time, should they be too many. */
static void find_links(struct native_call *c, struct bus_name *name,
		       struct found *found)
{
	struct list *providers = bus_providers(name);
	struct provider *provider, *after;

	list_each(provider, after, providers, of_name)
	{
		if (!add(c, provider, found))
			break;
	}
	provider = list_first(providers, struct provider, of_name);
	list_remove(&provider->of_name);
	list_append(providers, &provider->of_name);
}

static int answer(struct native_call *c, const struct bus_name *name,
		  const struct found *found)
{
	if (found->n == 0 && found->error == -EPIPE)
		return native_complain(c, STATUS_NOT_FOUND,
				       "who provided %s is gone", name->name);
	if (found->n == 0)
		return native_complain(c, making_status(found->error), "%s: %s",
				       name->name, making_text(found->error));
	mp_write_strn(&c->values, name->name, name->size);
	for (unsigned i = 0; i < found->n; i++)
		native_write_link(c, found->links[i]);
	c->n_values = 1 + found->n;
	return STATUS_OK;
}

/* A text has the storage that its parent gave it. */
static void attempt_store(struct native_call *c)
{
	struct holding *store = c->as->store;
	struct making m = {
		.context = store->context,
		.receiver = c->holder,
		.as = c->as,
		.wisher = c->holder,
		.through = store,
		.over = c->zero->number,
	};
	struct principal *wait;
	struct holding *link;
	int r = making_link(&m, &link, &wait);

	if (r == -EAGAIN) {
		making_wait(c->server, wait, &c->waiter);
		return;
	}
	if (r < 0) {
		native_finish(c, native_complain(c, making_status(r),
						 STORAGED_NAME ": %s",
						 making_text(r)));
		return;
	}
	mp_write_str(&c->values, STORAGED_NAME);
	native_write_link(c, link->number);
	c->n_values = 2;
	native_finish(c, STATUS_OK);
}

static void on_late(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct native_call *c = container_of(timer, struct native_call, timer);

	(void)loop;
	(void)events;
	native_finish(c, native_complain(c, STATUS_ERROR,
					 "the service that was started for "
					 "this call did not bind it in time"));
}

/* A service that its first call starts. False: there is none; the message is
 * set when one cannot be had. */
static bool wait_for_service(struct native_call *c)
{
	struct services *m = &c->server->services;
	uint64_t patience_ms = 0;
	int r = services_call(m, c->name, c->again, &c->waiter, &patience_ms,
			      c->message);

	if (r < 0)
		return false;
	if (!c->again && patience_ms > 0) {
		ev_now_update(c->server->loop);
		ev_timer_init(&c->timer, on_late, (double)patience_ms / 1000,
			      0.);
		ev_timer_start(c->server->loop, &c->timer);
	}
	c->again = true;
	return true;
}

static int complain_nobody(struct native_call *c)
{
	if (c->message[0])
		return STATUS_ERROR;
	return native_complain(c, STATUS_NOT_FOUND, "nobody provides it");
}

static void attempt(struct native_call *c)
{
	struct found found = { 0 };
	struct mp_bytes prefix;
	struct bus_name *name;
	int status;

	if (native_reserved(c->name, &prefix)) {
		mp_write_strn(&c->values, prefix.p, prefix.size);
		c->n_values = 1; /* over this link, as it is */
		native_finish(c, STATUS_OK);
		return;
	}
	if (c->as->store && storaged_own(c->name)) {
		attempt_store(c);
		return;
	}
	status = storaged_own(c->name) ? STATUS_OK
				       : native_check(c, POLICY_CALL, c->name);
	name = bus_lookup(c->server, c->name);
	if (status == STATUS_OK && !name && storaged_provides(c->name)) {
		if (storaged_wait(&c->server->storaged, &c->waiter) == 0)
			return;
		status = native_complain(c, STATUS_ERROR,
					 "thox-storaged cannot be started");
	}
	if (status == STATUS_OK && !name) {
		if (wait_for_service(c))
			return;
		status = complain_nobody(c);
	}
	if (status == STATUS_OK) {
		ev_timer_stop(c->server->loop, &c->timer);
		find_links(c, name, &found);
		if (found.n == 0 && found.error == -EAGAIN) {
			making_wait(c->server, found.wait, &c->waiter);
			return;
		}
		/* It has died, and that is not known here yet. */
		if (found.n == 0 && found.error == -EPIPE &&
		    storaged_provides(c->name) &&
		    storaged_wait(&c->server->storaged, &c->waiter) == 0)
			return;
		status = answer(c, name, &found);
	}
	native_finish(c, status);
}

int resolve(struct zero *z, const struct wire_message *m)
{
	struct native_call *c;
	int error;

	c = native_new(z, m, &error);
	if (!c)
		return error;
	c->waiter.go = on_go;
	if (z->n_calls > ZERO_CALLS_MAX)
		native_finish(c, native_complain(c, STATUS_TOO_LARGE,
						 "more than %u calls wait for "
						 "thoxd",
						 ZERO_CALLS_MAX));
	else
		attempt(c);
	return 0;
}
