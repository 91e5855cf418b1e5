/* Step 2, in the commands: reach thoxd, and say why not. */

#include "cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "cli/autostart.h"
#include "cli/say.h"
#include "rpc/control.h"

struct attempt {
	const struct instance *in;
	int fd;
};

static int connect_once(void *user)
{
	struct attempt *a = user;

	return connect_instance(a->in, &a->fd);
}

static bool may_start(void)
{
	const char *forbidden = getenv("THOX_NO_AUTOSTART");

	return !forbidden || !*forbidden || strcmp(forbidden, "0") == 0;
}

static bool nobody(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

/* Why there is no connection and what to do about it. */
static void explain(const struct instance *in, int r)
{
	if (nobody(r))
		say("no instance runs at %s and THOX_NO_AUTOSTART forbids to "
		    "start one: unset it, or start one with 'thoxctl %sstatus'",
		    in->run, in->mode == INSTANCE_SYSTEM ? "--system " : "");
	else if (r == -EACCES)
		say("%s/" INSTANCE_CONTROL ": %s: the instance belongs to "
		    "another user",
		    in->run, strerror(EACCES));
	else
		say("cannot reach thoxd at %s/" INSTANCE_CONTROL ": %s",
		    in->run, strerror(-r));
}

/* Who asked may know no more than where it runs. */
static int start_instance(struct attempt *a)
{
	static struct instance whole;
	int r = instance_locate(a->in->mode, &whole);

	if (r == 0)
		return autostart(&whole, connect_once, a);
	say("%s: %s", a->in->run, strerror(-r));
	return r;
}

static int reach(struct attempt *a, bool start)
{
	int r = connect_once(a);

	if (r == 0 || (nobody(r) && !start))
		return r;
	if (nobody(r) && may_start()) {
		r = start_instance(a);
		if (r < 0)
			return r; /* it has said why */
		if (a->fd < 0)
			r = connect_once(a);
	}
	if (r < 0)
		explain(a->in, r);
	return r;
}

int client_open(const struct instance *in, bool start, struct link *ret_link)
{
	struct attempt a = { in, -1 };
	int r;

	r = reach(&a, start);
	if (r < 0)
		return r;
	r = connect_check(a.fd);
	if (r < 0) {
		fd_close(a.fd);
		say("%s/" INSTANCE_CONTROL ": the server is not this user's: "
		    "nothing was sent to it",
		    in->run);
		return r;
	}
	link_init(ret_link, a.fd);
	r = connect_greet(ret_link);
	if (r < 0) {
		say("thoxd closed the connection: %s; see "
		    "%s/" CONTROL_KEEPER_LOG,
		    strerror(-r), in->run);
		link_deinit(ret_link);
	}
	return r;
}
