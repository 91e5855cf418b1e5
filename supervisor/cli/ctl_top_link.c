/* Step 2, in thoxctl top: questions to thoxd, and answers as they come. */

#include "cli/ctl_top_link.h"

#include <errno.h>

#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl_ask.h"
#include "native/connect.h"

void top_link_begin(struct top_link *l)
{
	l->up = true;
	l->n_waiting = 0;
}

void top_link_close(struct top_link *l)
{
	if (l->up)
		link_deinit(&l->link);
	l->up = false;
	l->n_waiting = 0;
}

int top_link_open(struct top_link *l, const struct instance *in)
{
	_cleanup_(fd_closep) int fd = -1;
	int r = connect_instance(in, &fd);

	if (r == 0)
		r = connect_check(fd);
	if (r < 0)
		return r;
	link_init(&l->link, steal_fd(&fd));
	r = connect_greet(&l->link);
	if (r < 0) {
		link_deinit(&l->link);
		return r;
	}
	top_link_begin(l);
	return 0;
}

int top_link_ask(struct top_link *l, const char *verb, json_t *arguments,
		 uint64_t *ret_id)
{
	int r = l->n_waiting < TOP_REQUESTS_MAX ? 0 : -EBUSY;

	if (r < 0) {
		json_decref(arguments);
		return r;
	}
	r = ctl_ask_send(&l->link, l->last_id + 1, verb, arguments);
	if (r < 0)
		return r;
	l->n_waiting++;
	*ret_id = ++l->last_id;
	return 0;
}

int top_link_next(struct top_link *l, struct top_reply *ret)
{
	struct link_message m;
	int r;

	for (;;) {
		r = link_receive(&l->link, false, &m);
		if (r <= 0)
			return r;
		r = connect_is_hello(&m);
		if (r == 0)
			break;
		link_message_deinit(&m);
		if (r < 0)
			return r;
	}
	r = ctl_ask_parse(&m, &ret->id, &ret->status, &ret->value);
	link_message_deinit(&m);
	if (r < 0)
		return r;
	if (l->n_waiting > 0)
		l->n_waiting--;
	return 1;
}
