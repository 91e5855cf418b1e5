/*
 * Step 2, in thoxctl: what this machine is called.
 */

#include <stdio.h>

#include "base/exit.h"
#include "cli/ctl.h"
#include "cli/say.h"
#include "cli/value.h"

int ctl_label(struct ctl *ctl)
{
	json_t *arguments = json_object(), *value;
	const char *label;
	int r;

	if (ctl->argc > 0 &&
	    json_object_set_new(arguments, "name", json_string(ctl->argv[0])) <
		    0) {
		json_decref(arguments);
		say("that is no label");
		return CTL_USAGE;
	}
	r = ctl_request(ctl, "label", arguments, &value);
	if (r != CTL_OK)
		return r;
	label = json_string_value(json_object_get(value, "label"));
	if (ctl->json)
		value_dump(value);
	else if (label)
		puts(label);
	json_decref(value);
	return CTL_OK;
}
