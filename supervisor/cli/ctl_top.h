#pragma once

/*
 * `thoxctl top`: what the command line chose, and its two ways to show it.
 */

#include "cli/ctl.h"
#include "cli/ctl_top_data.h"
#include "cli/ctl_top_order.h"

/* Rates need two moments, and calls are told one moment late: so many moments
 * come first, close together. */
#define TOP_FIRST_MOMENTS 2U
#define TOP_FIRST_MS	  250U

struct top {
	struct ctl *ctl;
	struct top_wanted wanted;
	struct top_order order;
	uint64_t delay_ms;
	uint64_t count; /* of reports; 0: no limit */
	struct top_data data;
};

/* Exit codes; what went wrong has been said. */
int top_live(struct top *top);	/* on a terminal */
int top_batch(struct top *top); /* lines, or JSON */
