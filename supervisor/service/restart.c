/* Step 4, for services: it ended; is it started again, and when? */

#include "service/restart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* No delay is longer, whatever the factor. */
#define DELAY_MAX_MS (366ULL * 24 * 3600 * 1000)

void restart_deinit(struct restart *r)
{
	free(r->times_ms);
	*r = (struct restart){ 0 };
}

void restart_reset(struct restart *r)
{
	restart_deinit(r);
}

uint64_t restart_delay_ms(const struct restart_policy *policy,
			  uint32_t failures)
{
	double delay = (double)policy->delay_ms;
	double most = (double)policy->max_delay_ms;

	if (failures <= 1)
		return 0;
	/* Grows to its end in few steps, or not at all. */
	for (uint32_t i = 2; i < failures && delay < most; i++) {
		double next = delay * policy->factor;

		if (next <= delay)
			break;
		delay = next;
	}
	if (delay > most)
		delay = most;
	return delay > DELAY_MAX_MS ? DELAY_MAX_MS : (uint64_t)delay;
}

static uint64_t with_jitter(uint64_t delay_ms, double jitter, double chance)
{
	double delay = (double)delay_ms * (1 + jitter * (2 * chance - 1));

	return delay < 0 ? 0 : (uint64_t)delay;
}

/* Room for the times of @limit restarts; a policy that changed loses none
 * that still count. */
static int make_room(struct restart *r, uint32_t limit)
{
	uint64_t *times;
	uint32_t keep;

	if (r->capacity == limit)
		return 0;
	times = calloc(limit, sizeof(*times));
	if (!times)
		return -ENOMEM;
	keep = r->n_times < limit ? r->n_times : limit;
	for (uint32_t i = 0; i < keep; i++) {
		uint32_t from = r->at + r->n_times - keep + i;

		times[i] = r->times_ms[from % r->capacity];
	}
	free(r->times_ms);
	r->times_ms = times;
	r->capacity = limit;
	r->n_times = keep;
	r->at = 0;
	return 0;
}

/* Is there room for one more at @at_ms? Then it is taken. */
static bool take(struct restart *r, const struct restart_policy *policy,
		 uint64_t at_ms)
{
	while (r->n_times > 0 &&
	       at_ms - r->times_ms[r->at] >= policy->limit_ms) {
		r->at = (r->at + 1) % r->capacity;
		r->n_times--;
	}
	if (r->n_times == policy->limit)
		return false;
	r->times_ms[(r->at + r->n_times++) % r->capacity] = at_ms;
	return true;
}

int restart_decide(struct restart *r, const struct restart_policy *policy,
		   bool failed, uint64_t ran_ms, uint64_t now_ms, double chance,
		   uint64_t *ret_delay_ms)
{
	uint64_t delay_ms;
	int result;

	if (ran_ms >= policy->reset_after_ms)
		r->failures = 0;
	if (policy->when == RESTART_NEVER ||
	    (policy->when == RESTART_ON_FAILURE && !failed))
		return RESTART_NO;
	/* One that ends at once in good health must not spin either. */
	if (r->failures < UINT32_MAX)
		r->failures++;
	delay_ms = with_jitter(restart_delay_ms(policy, r->failures),
			       policy->jitter, chance);
	if (policy->limit > 0) {
		result = make_room(r, policy->limit);
		if (result < 0)
			return result;
		if (!take(r, policy, now_ms + delay_ms))
			return RESTART_OVER;
	}
	if (r->count < UINT32_MAX)
		r->count++;
	*ret_delay_ms = delay_ms;
	return RESTART_YES;
}

bool restart_limit_reachable(const struct restart_policy *policy)
{
	uint64_t sum_ms = 0;

	/* The last of limit + 1 restarts must come within the time; longest
	 * are the delays at the end. */
	if (policy->limit == 0)
		return true;
	for (uint32_t i = 0; i < policy->limit; i++) {
		sum_ms += restart_delay_ms(policy, 2 + i);
		if (sum_ms >= policy->limit_ms)
			return false;
	}
	return true;
}
