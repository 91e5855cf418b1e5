/* Step 3, in thoxctl top: orders for the service that was chosen. */

#include "cli/ctl_top_orders.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "rpc/status.h"

static const char *verb_of(enum top_action action)
{
	return action == TOP_RESTART ? "restart" : "stop";
}

bool top_question_ask(struct top_question *q, enum top_action action,
		      const struct top_row *row)
{
	q->action = TOP_NOTHING;
	if (action == TOP_RESTART && row->kind != TOP_SERVICE) {
		snprintf(q->text, sizeof(q->text),
			 "%.300s is no service: it cannot be restarted",
			 row->name);
		return false;
	}
	q->action = action;
	q->kind = row->kind;
	q->pid = row->pid;
	snprintf(q->name, sizeof(q->name), "%s", row->name);
	if (row->kind == TOP_PROCESS)
		snprintf(q->text, sizeof(q->text),
			 "%s process %d (%.300s)? y: yes, any other key: no",
			 verb_of(action), (int)row->pid, row->name);
	else
		snprintf(q->text, sizeof(q->text),
			 "%s %.300s? y: yes, any other key: no",
			 verb_of(action), row->name);
	q->text[0] = (char)(q->text[0] - 'a' + 'A');
	return true;
}

/* Services are not waited for: the table shows what becomes of them. */
static json_t *arguments_of(const struct top_question *q)
{
	if (q->kind == TOP_PROCESS)
		return json_pack("{sI}", "pid", (json_int_t)q->pid);
	return json_pack("{s[s]sb}", "names", q->name, "no_wait", true);
}

int top_question_send(const struct top_question *q, struct top_link *l,
		      uint64_t *ret_id)
{
	const char *verb = q->kind == TOP_PROCESS     ? "terminate"
			   : q->action == TOP_RESTART ? "service.restart"
						      : "service.stop";

	return top_link_ask(l, verb, arguments_of(q), ret_id);
}

static const char *complaint(const struct top_reply *reply)
{
	const json_t *first = json_array_get(reply->value, 0);
	const char *text = json_string_value(reply->value);

	if (reply->status != STATUS_OK)
		return text ? text : "thoxd refused";
	if (json_is_false(json_object_get(first, "ok")))
		return json_string_value(json_object_get(first, "message"));
	return NULL;
}

void top_question_result(const struct top_question *q,
			 const struct top_reply *reply,
			 char ret[TOP_TEXT_BYTES])
{
	const char *why = complaint(reply);

	if (why)
		snprintf(ret, TOP_TEXT_BYTES, "%s %.300s: %.600s",
			 verb_of(q->action), q->name, why);
	else
		snprintf(ret, TOP_TEXT_BYTES, "%s %.300s: under way",
			 verb_of(q->action), q->name);
}
