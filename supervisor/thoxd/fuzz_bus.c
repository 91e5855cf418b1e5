/*
 * Fuzz: two processes say anything over their control links and contexts 0, a
 * third provides a name and listens. Whatever they say, nothing of them stays.
 *
 * Each message: a byte whose bits say which process (1) and link (2), two of
 * its size, and itself. The links to thoxd have the numbers 1, 2 and 3.
 */

#include "base/tap.h"
#include "thoxd/test_actor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct actor *actors[3];
static struct policy *policy;

/* What would need a store or a zygote is left out. */
static void make_policy(void)
{
	if (policy_new(NULL, "fuzz", &policy) < 0 ||
	    policy_parse_list(policy, POLICY_CALL, false,
			      "process.** program.** library.** runtime.**") <
		    0)
		abort();
}

static void set_up(void)
{
	static const char *const programs[] = { "a", "b", "c" };

	begin_server();
	if (!policy)
		make_policy();
	server.holdings.last_number = 0;
	for (int i = 0; i < 3; i++) {
		actors[i] = actor_new(programs[i], 10 + i);
		principal_set_policy(&actors[i]->principal, policy);
		if (!actor_zero(actors[i]))
			abort();
	}
	(void)call_name(actors[2], 1, "bind", "n");
	listen_to(actors[2], "n", true);
}

static void hear_all(struct actor *a)
{
	struct told t;

	while (t = hear(a), t.kind)
		fd_close(t.fd);
	while (hear_zero(a)->there)
		;
}

static void tear_down(void)
{
	for (int i = 0; i < 3; i++)
		actor_end(actors[i]);
	if (server.holdings.by_number.count || server.holdings.claims.count ||
	    server.holdings.contexts.count || server.bus.names.count ||
	    server.bus.listens.count || !list_empty(&server.principals))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	set_up();
	while (size >= 4) {
		struct actor *a = actors[data[0] & 1];
		struct link *link = data[0] & 2 ? &a->zero : &a->link;
		size_t n = (size_t)data[1] << 8 | data[2];

		data += 3;
		size -= 3;
		if (n > size)
			n = size;
		if (n > 0)
			(void)link_send(link, data, n, NULL, 0);
		turn();
		for (int i = 0; i < 3; i++)
			hear_all(actors[i]);
		data += n;
		size -= n;
	}
	tear_down();
	return 0;
}
