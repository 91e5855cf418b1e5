/*
 * Step 9: processes are told to write down what they say and hear.
 *
 * All write to one socket: its records do not mix, and who has none of the
 * writing end any more has closed it.
 */

#include "thoxd/trace.h"

#include <errno.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/control.h"
#include "thoxd/bus.h"
#include "thoxd/making.h"
#include "thoxd/principal.h"
#include "thoxd/server.h"

static int tell(struct principal *p, struct mp_bytes name, int fd)
{
	uint8_t buf[192];
	struct mp_writer w;

	if (principal_busy(p))
		return -EAGAIN; /* nothing waits for who does not read */
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, name.size ? 3 : 2);
	mp_write_uint(&w, CONTROL_TRACE);
	mp_write_bool(&w, true);
	if (name.size)
		mp_write_strn(&w, name.p, name.size);
	return principal_send(p, &w, &fd, 1);
}

static int tell_providers(struct server *s, struct mp_bytes name, int fd)
{
	struct bus_name *n = bus_lookup(s, name);
	struct provider *provider, *after;
	int r = -ESRCH;

	if (!n)
		return -ESRCH;
	list_each(provider, after, bus_providers(n), of_name)
	{
		int e = tell(provider->principal, name, fd);

		r = r == 0 ? 0 : e; /* one is enough */
	}
	return r;
}

int trace_start(struct server *s, struct principal *p, struct mp_bytes name,
		int *ret_fd)
{
	_cleanup_(fd_closep) int ours = -1, theirs = -1;
	int pair[2];
	int r = making_pair(pair);

	if (r < 0)
		return r;
	ours = pair[0];
	theirs = pair[1];
	r = p ? tell(p, name, theirs) : tell_providers(s, name, theirs);
	if (r == 0)
		*ret_fd = steal_fd(&ours);
	return r == -EPIPE || r == -ECONNRESET ? -ESRCH : r;
}
