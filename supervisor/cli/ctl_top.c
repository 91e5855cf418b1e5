/* Step 2, in thoxctl: `top` chooses how it shows what runs. */

#include "cli/ctl_top.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/units.h"
#include "cli/say.h"

#define DELAY_MS     2000U
#define DELAY_MIN_MS 100U
#define DELAY_MAX_MS (24U * 3600 * 1000)

static int take_delay(struct top *top)
{
	const char *text = ctl_option(top->ctl, "delay");

	top->delay_ms = DELAY_MS;
	if (!text)
		return CTL_OK;
	if (units_parse_ms(text, &top->delay_ms) == 0 &&
	    top->delay_ms >= DELAY_MIN_MS && top->delay_ms <= DELAY_MAX_MS)
		return CTL_OK;
	say("--delay %s: not a time from 0.1s to a day, such as 2s or 500ms",
	    text);
	return CTL_USAGE;
}

static int take_count(struct top *top)
{
	const char *text = ctl_option(top->ctl, "count");
	char *end;

	top->count = top->ctl->json ? 1 : 0;
	if (!text)
		return CTL_OK;
	errno = 0;
	top->count = strtoull(text, &end, 10);
	if (!errno && !*end && *text >= '0' && *text <= '9' && top->count > 0)
		return CTL_OK;
	say("--count %s: not a number of reports", text);
	return CTL_USAGE;
}

static int take_order(struct top *top)
{
	const char *text = ctl_option(top->ctl, "sort");

	top->order.reverse = ctl_option(top->ctl, "reverse") != NULL;
	top->order.column = TOP_CPU;
	if (!text || top_order_parse(text, &top->order.column) == 0)
		return CTL_OK;
	say("--sort %s: not a column: name, state, cpu, memory, calls, queue, "
	    "restarts or pid",
	    text);
	return CTL_USAGE;
}

static int choose(struct top *top)
{
	bool batch = ctl_option(top->ctl, "batch") || top->ctl->json;

	if (batch)
		return top_batch(top);
	if (ctl_option(top->ctl, "count")) {
		say("--count goes with --batch or --json");
		return CTL_USAGE;
	}
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return top_live(top);
	say("top draws on a terminal, and this is none: --batch prints lines, "
	    "--json JSON");
	return CTL_USAGE;
}

int ctl_top(struct ctl *ctl)
{
	struct top top = {
		.ctl = ctl,
		.wanted = { ctl->argv, ctl->argc },
	};
	int r = take_delay(&top);

	setlocale(LC_CTYPE, "");
	if (r == CTL_OK)
		r = take_count(&top);
	if (r == CTL_OK)
		r = take_order(&top);
	if (r == CTL_OK)
		r = choose(&top);
	top_data_deinit(&top.data);
	return r;
}
