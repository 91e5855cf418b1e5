/*
 * Step 9, in thoxctl: before logs are read.
 *
 * A process may be known to have ended before thox-logd has read what it
 * printed last. thoxd is asked to say when that is in the files; whatever comes
 * of it, they are read then, as they are without an instance.
 */

#include "cli/ctl_ask.h"
#include "cli/ctl_logs.h"
#include "native/connect.h"

#define SETTLE_MS 5000 /* of a thox-logd that is well a few */

/* Nothing is said of what fails: who may not ask may read all the same. */
static int greet(const struct instance *in, struct link *ret_link)
{
	int fd, r;

	r = connect_instance(in, &fd);
	if (r < 0)
		return r;
	link_init(ret_link, fd);
	r = connect_check(fd);
	if (r == 0)
		r = connect_greet(ret_link);
	if (r < 0)
		link_deinit(ret_link);
	return r;
}

void logs_settle(const struct instance *in)
{
	static bool asked;
	struct link_message m;
	struct link l;

	if (asked || greet(in, &l) < 0)
		return;
	asked = true;
	if (ctl_ask_send(&l, 1, "logs.sync", json_object()) == 0 &&
	    connect_receive(&l, SETTLE_MS, &m) > 0)
		link_message_deinit(&m);
	link_deinit(&l);
}
