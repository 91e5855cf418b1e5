/*
 * Step 2, in thoxctl: orders for services.
 *
 * The command's name is the verb. Nothing is said of what went well.
 */

#include "cli/ctl_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/ctl_ask.h"
#include "cli/say.h"
#include "cli/table.h"
#include "cli/value.h"

#define WAIT_FOR_EVER (-1)

json_t *ctl_service_names(const struct ctl *ctl)
{
	json_t *arguments = json_object(), *names = json_array();

	for (int i = 0; i < ctl->argc; i++) {
		if (json_array_append_new(names, json_string(ctl->argv[i])) ==
		    0)
			continue;
		json_decref(names);
		json_decref(arguments);
		say("%s is not a name of a service: it is no UTF-8",
		    log_quote(ctl->argv[i]));
		return NULL;
	}
	json_object_set_new(arguments, "names", names);
	return arguments;
}

int ctl_service_ask(struct ctl *ctl, const char *verb, json_t **ret_rows)
{
	json_t *arguments = ctl_service_names(ctl);

	return arguments ? ctl_request(ctl, verb, arguments, ret_rows)
			 : CTL_USAGE;
}

const char *ctl_service_text(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

bool ctl_service_is(const json_t *row, const char *state)
{
	return strcmp(ctl_service_text(row, "state"), state) == 0;
}

bool ctl_service_active(const json_t *row)
{
	return ctl_service_is(row, "running") ||
	       ctl_service_is(row, "reloading");
}

/* --- orders ---------------------------------------------------------------
 */

static int read_timeout(const struct ctl *ctl, int *ret_ms)
{
	const char *text = ctl_option(ctl, "timeout");
	uint64_t ms;

	*ret_ms = WAIT_FOR_EVER;
	if (!text)
		return CTL_OK;
	if (units_parse_ms(text, &ms) < 0 || ms > INT32_MAX) {
		say("%s: not a time", text);
		return CTL_USAGE;
	}
	*ret_ms = (int)ms;
	return CTL_OK;
}

/* What may go side by side has one number. */
static void print_steps(const json_t *steps)
{
	const json_t *last = NULL;
	int number = 0;
	json_t *step;
	size_t i;

	json_array_foreach((json_t *)steps, i, step)
	{
		if (last &&
		    json_equal(json_object_get(last, "wave"),
			       json_object_get(step, "wave")) &&
		    json_equal(json_object_get(last, "action"),
			       json_object_get(step, "action")))
			printf("    ");
		else
			printf("%2d. ", ++number);
		printf("%s %s\n", ctl_service_text(step, "action"),
		       ctl_service_text(step, "name"));
		last = step;
	}
}

static int report(const json_t *rows)
{
	int code = CTL_OK;
	json_t *row;
	size_t i;

	json_array_foreach((json_t *)rows, i, row)
	{
		const char *message = ctl_service_text(row, "message");

		if (json_is_true(json_object_get(row, "ok")))
			continue;
		say("%s: %s%s%s", ctl_service_text(row, "name"),
		    ctl_service_text(row, "state"), *message ? ": " : "",
		    message);
		code = CTL_FAILED;
	}
	return code;
}

static int ask_for(struct ctl *ctl, const char *verb, json_t *arguments,
		   int timeout_ms, json_t **ret_value)
{
	struct link l;
	int r = ctl_connect(ctl, &l);

	if (r != CTL_OK) {
		json_decref(arguments);
		return r;
	}
	r = ctl_ask_within(&l, verb, arguments, timeout_ms, ret_value, NULL);
	link_deinit(&l);
	return r;
}

int ctl_service_order(struct ctl *ctl)
{
	bool dry = ctl_option(ctl, "dry-run"), waits;
	json_t *arguments, *value;
	char verb[64];
	int r, timeout_ms;

	r = read_timeout(ctl, &timeout_ms);
	if (r != CTL_OK)
		return r;
	arguments = ctl_service_names(ctl);
	if (!arguments)
		return CTL_USAGE;
	waits = !ctl_option(ctl, "no-wait");
	json_object_set_new(arguments, "dry_run", json_boolean(dry));
	json_object_set_new(arguments, "no_wait", json_boolean(!waits));
	if (strcmp(ctl->command->name, "start") == 0 ||
	    strcmp(ctl->command->name, "restart") == 0)
		json_object_set_new(arguments, "until_end",
				    json_boolean(ctl_option(ctl, "wait")));
	snprintf(verb, sizeof(verb), "service.%s", ctl->command->name);
	r = ask_for(ctl, verb, arguments, timeout_ms, &value);
	if (r != CTL_OK)
		return r;
	if (ctl->json)
		value_dump(value);
	else if (dry)
		print_steps(value);
	r = dry ? CTL_OK : report(value);
	json_decref(value);
	return r;
}

int ctl_service_enable(struct ctl *ctl)
{
	bool now = ctl_option(ctl, "now"),
	     on = strcmp(ctl->command->name, "enable") == 0;
	json_t *value, *more = NULL;
	int r = ctl_service_ask(ctl, on ? "service.enable" : "service.disable",
				&value);

	if (r != CTL_OK)
		return r;
	if (now) {
		json_t *arguments = ctl_service_names(ctl);

		r = ask_for(ctl, on ? "service.start" : "service.stop",
			    arguments, WAIT_FOR_EVER, &more);
		if (r == CTL_OK)
			r = report(more);
		json_decref(more);
	}
	if (ctl->json)
		value_dump(value);
	json_decref(value);
	return r;
}

int ctl_daemon_reload(struct ctl *ctl)
{
	(void)ctl;
	say("not needed: definitions hold as soon as they are copied, from "
	    "the next start on");
	return CTL_OK;
}
