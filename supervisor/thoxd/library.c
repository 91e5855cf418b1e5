/*
 * Step 8: `require` asks thoxd, which asks the store.
 *
 * The store has two layers, so a library of the instance covers the built-in
 * one of its name.
 */

#include "thoxd/library.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "thoxd/runner.h"
#include "thoxd/server.h"
#include "thoxd/zygote.h"

static int find(struct server *s, struct mp_bytes name, int *ret_fd,
		char *message, size_t size)
{
	struct name_ref ref = { .kind = REF_LIVE };
	int r;

	if (mp_bytes_copy(name, ref.name, sizeof(ref.name)) < 0 ||
	    !name_valid(ref.name)) {
		snprintf(message, size, "not a name that a library can have");
		return STATUS_INVALID;
	}
	r = store_resolve(s->store, DIR_LIBRARIES, &ref, NULL, ret_fd);
	if (r == 0)
		return STATUS_OK;
	snprintf(message, size, "%s",
		 r == -ENOENT ? "no such library" : strerror(-r));
	return r == -ENOENT ? STATUS_NOT_FOUND : STATUS_ERROR;
}

int library_answer(struct runner *r, uint64_t id, struct mp_bytes name)
{
	_cleanup_(fd_closep) int fd = -1;
	char message[256];
	uint8_t buf[512];
	struct mp_writer w;
	int status;

	status = find(r->zygote->server, name, &fd, message, sizeof(message));
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 4);
	mp_write_uint(&w, CONTROL_LIBRARY);
	mp_write_uint(&w, id);
	mp_write_int(&w, status);
	if (status == STATUS_OK)
		mp_write_strn(&w, name.p, name.size);
	else
		mp_write_str(&w, message);
	return peer_send(&r->peer, &w, &fd, fd >= 0);
}
