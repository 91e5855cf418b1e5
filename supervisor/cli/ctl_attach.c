/* Step 7, in thoxctl: to the bus, and away from it by Ctrl-C. */

#include "cli/ctl_attach.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "base/exit.h"
#include "base/util.h"
#include "cli/ctl_ask.h"
#include "cli/say.h"
#include "native/connect.h"

int ctl_attach(struct ctl *ctl, struct native **ret)
{
	struct link l;
	int r = ctl_connect(ctl, &l);

	if (r != CTL_OK)
		return r;
	r = native_attach(&l, "thoxctl", CONNECT_HELLO_MS, ret);
	if (r == 0)
		return CTL_OK;
	if (r != -EPERM)
		return ctl_lost(r);
	say("%s", native_refusal());
	return CTL_REFUSED;
}

static void on_end(struct native_watch *w, uint32_t events)
{
	(void)events;
	container_of(w, struct ctl_end, watch)->over = true;
}

int ctl_end_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

int ctl_end_watch(struct native *n, struct ctl_end *e)
{
	e->over = false;
	e->watch = (struct native_watch){
		.fd = ctl_end_signals(),
		.fn = on_end,
	};
	if (e->watch.fd < 0)
		return -errno;
	return native_watch(n, &e->watch, POLLIN);
}
