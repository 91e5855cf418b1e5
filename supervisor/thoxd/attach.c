/*
 * Step 4: a client becomes a process of the bus.
 */

#include "thoxd/attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "fs/name.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "thoxd/client.h"
#include "thoxd/principal.h"
#include "thoxd/zero.h"

struct attached {
	struct principal principal;
	struct garbage garbage;
	char name[NAME_MAX_BYTES + 1];
};

static void reply(struct client *c, int status, const char *message)
{
	uint8_t buf[256];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 4);
	mp_write_uint(&w, CONTROL_REPLY);
	mp_write_uint(&w, 0);
	mp_write_int(&w, status);
	if (message)
		mp_write_str(&w, message);
	else
		mp_write_nil(&w);
	client_send(c, &w);
}

int attach(struct client *c, struct mp_bytes name)
{
	struct attached *a;

	if (c->attached)
		return -EPROTO;
	a = calloc(1, sizeof(*a));
	if (!a) {
		reply(c, STATUS_ERROR, strerror(ENOMEM));
		return 0;
	}
	if (mp_bytes_copy(name, a->name, sizeof(a->name)) < 0 ||
	    !name_valid(a->name)) {
		free(a);
		reply(c, STATUS_INVALID, "not a name that a program can have");
		return 0;
	}
	/* the answer first: nothing may come before it */
	reply(c, STATUS_OK, NULL);
	if (c->peer.closed) {
		free(a);
		return 0;
	}
	principal_init(&a->principal, c->server, NULL, 0, 0);
	a->principal.program = a->name;
	principal_begin(&a->principal, &c->peer, c->pid, NULL);
	c->attached = a;
	return 0;
}

struct principal *attached_principal(struct attached *a)
{
	return &a->principal;
}

static void release(struct garbage *g)
{
	free(container_of(g, struct attached, garbage));
}

struct attached *attached_free(struct attached *a)
{
	struct server *s;

	if (!a)
		return NULL;
	s = a->principal.server;
	zero_last_words(&a->principal);
	principal_end(&a->principal);
	server_release(s, &a->garbage, release);
	return NULL;
}
