#pragma once

/*
 * `thoxctl top`: what is asked of thoxd about the chosen row, and what is said
 * about that.
 */

#include <stdbool.h>

#include "cli/ctl_top_data.h"
#include "cli/ctl_top_keys.h"
#include "cli/ctl_top_link.h"
#include "cli/ctl_top_text.h"

/* An order that waits for a yes: the row may be another one by then. */
struct top_question {
	enum top_action action; /* TOP_NOTHING: none */
	enum top_kind kind;
	pid_t pid;
	char name[TOP_TEXT_BYTES];
	char text[TOP_TEXT_BYTES];
};

/* Ask whether @row shall be restarted or stopped. False: it cannot be, and
 * @q's text says why. */
bool top_question_ask(struct top_question *q, enum top_action action,
		      const struct top_row *row);

/* The answer was yes: 0 and the request's number, or the link's error. */
int top_question_send(const struct top_question *q, struct top_link *l,
		      uint64_t *ret_id);

/* What came of it, in words. */
void top_question_result(const struct top_question *q,
			 const struct top_reply *reply,
			 char ret[TOP_TEXT_BYTES]);
