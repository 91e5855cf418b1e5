/* Step 2, in thoxctl: a question to thoxd, and its answer. */

#include "cli/ctl_ask.h"

#include <errno.h>
#include <string.h>

#include "base/exit.h"
#include "cli/client.h"
#include "cli/say.h"
#include "cli/value.h"
#include "rpc/control.h"
#include "rpc/mp.h"
#include "rpc/status.h"

#define ANSWER_MS 60000 /* a mount may wait for a disk */

static int not_running(const struct ctl *ctl)
{
	say("no instance runs at %s", ctl->in.run);
	return CTL_NOT_RUNNING;
}

int ctl_connect(struct ctl *ctl, struct link *ret_link)
{
	int r = client_open(&ctl->in, ctl->command->start == START_IF_DOWN,
			    ret_link);

	if (r == 0)
		return CTL_OK;
	if (ctl->command->start != START_IF_DOWN &&
	    (r == -ENOENT || r == -ECONNREFUSED))
		return not_running(ctl);
	if (r == -EPERM || r == -EACCES)
		return CTL_REFUSED;
	return r == -ENOENT || r == -ECONNREFUSED ? CTL_NOT_RUNNING
						  : CTL_FAILED;
}

int ctl_ask_send(struct link *l, uint64_t id, const char *verb,
		 json_t *arguments)
{
	struct mp_writer w;
	int r;

	if (!arguments)
		return -ENOMEM;
	mp_writer_init_heap(&w);
	mp_write_array(&w, 4);
	mp_write_uint(&w, CONTROL_REQUEST);
	mp_write_uint(&w, id);
	mp_write_str(&w, verb);
	value_to_mp(&w, arguments);
	json_decref(arguments);
	r = mp_writer_end(&w);
	if (r == 0)
		r = link_send_wait(l, w.data, w.used, NULL, 0);
	mp_writer_deinit(&w);
	return r;
}

int ctl_exit_code(uint64_t status)
{
	switch (status) {
	case STATUS_OK:
		return CTL_OK;
	case STATUS_NOT_FOUND:
		return CTL_NO_SUCH;
	case STATUS_DENIED:
		return CTL_REFUSED;
	case STATUS_INVALID:
		return CTL_USAGE;
	case STATUS_TIMEOUT:
		return CTL_TIMEOUT;
	}
	return CTL_FAILED;
}

/* [26, id, status, value], or of the connection [27, status, message, …] */
int ctl_ask_parse(const struct link_message *m, uint64_t *ret_id,
		  uint64_t *ret_status, json_t **ret_value)
{
	struct mp_reader r;
	uint64_t kind, id = 0, status;
	json_t *value;

	mp_reader_init(&r, m->data, m->size);
	mp_read_array(&r);
	kind = mp_read_uint(&r);
	if (kind == CONTROL_REPLY)
		id = mp_read_uint(&r);
	status = mp_read_uint(&r);
	value = value_from_mp(&r);
	if (kind != (id ? CONTROL_REPLY : CONTROL_REFUSED) || !value ||
	    (id ? mp_end(&r) < 0 : r.bad || status == STATUS_OK)) {
		json_decref(value);
		return -EBADMSG;
	}
	*ret_id = id;
	*ret_status = status;
	*ret_value = value;
	return 0;
}

static int take_reply(const struct link_message *m, json_t **ret_value)
{
	uint64_t id, status;
	json_t *value;

	if (ctl_ask_parse(m, &id, &status, &value) < 0) {
		say("thoxd sent what is not understood");
		return CTL_FAILED;
	}
	if (status != STATUS_OK) {
		say("%s", json_is_string(value) ? json_string_value(value)
						: "thoxd refused");
		json_decref(value);
		return ctl_exit_code(status);
	}
	*ret_value = value;
	return CTL_OK;
}

int ctl_lost(int r)
{
	if (r == -EPROTONOSUPPORT)
		say("thoxd is of another version: end it with the thoxctl that "
		    "came with it, or by the keeper's PID");
	else if (r == -ETIMEDOUT)
		say("thoxd does not answer");
	else if (r == -ECONNRESET || r == -EPIPE)
		say("thoxd closed the connection");
	else
		say("the link to thoxd: %s", strerror(-r));
	return CTL_FAILED;
}

int ctl_ask(struct link *l, const char *verb, json_t *arguments,
	    json_t **ret_value, int *ret_fd)
{
	return ctl_ask_within(l, verb, arguments, ANSWER_MS, ret_value, ret_fd);
}

int ctl_ask_within(struct link *l, const char *verb, json_t *arguments,
		   int timeout_ms, json_t **ret_value, int *ret_fd)
{
	struct link_message m;
	int r = ctl_ask_send(l, 1, verb, arguments);

	if (r == 0)
		r = connect_receive(l, timeout_ms, &m);
	if (r == -ETIMEDOUT && timeout_ms != ANSWER_MS) {
		say("not done in time; thoxd goes on with it");
		return CTL_TIMEOUT;
	}
	if (r < 0)
		return ctl_lost(r);
	r = take_reply(&m, ret_value);
	if (r == CTL_OK && ret_fd)
		*ret_fd = link_message_take_fd(&m, 0);
	link_message_deinit(&m);
	return r;
}

int ctl_request(struct ctl *ctl, const char *verb, json_t *arguments,
		json_t **ret_value)
{
	struct link l;
	int r = ctl_connect(ctl, &l);

	if (r != CTL_OK) {
		json_decref(arguments);
		return r;
	}
	r = ctl_ask(&l, verb, arguments, ret_value, NULL);
	link_deinit(&l);
	return r;
}
