#pragma once

/*
 * Restarts: whether a service that ended is started again, and when.
 *
 * The first failure costs no time. Each further one waits `delay`, then
 * `factor` times as long each time, up to `max-delay`; a run that lasted
 * `reset-after` makes the next failure the first again. At most `limit`
 * restarts are made within `limit_ms`, delays included: what would be one
 * more is refused, and the service has failed.
 *
 * Pure: the time and chance come from the caller.
 */

#include <stdbool.h>
#include <stdint.h>

#define RESTART_LIMIT_MAX 1000U

enum restart_when {
	RESTART_ALWAYS,
	RESTART_ON_FAILURE,
	RESTART_NEVER,
};

struct restart_policy {
	enum restart_when when;
	uint32_t limit; /* 0: none */
	uint64_t limit_ms;
	uint64_t delay_ms;
	uint64_t max_delay_ms;
	uint64_t reset_after_ms;
	double factor;
	double jitter; /* 0.1: a delay is up to a tenth longer or shorter */
};

/* What a service has behind it. Zero is a new one; embedded. */
struct restart {
	uint32_t failures; /* in a row, without a healthy while between */
	uint32_t count;	   /* restarts made since the last reset */
	/* Times of the last restarts, a ring of the policy's limit; there from
	 * the first restart on. */
	uint32_t n_times, at, capacity;
	uint64_t *times_ms;
};

void restart_deinit(struct restart *r);
/* As if it had never failed. */
void restart_reset(struct restart *r);

enum restart_decision {
	RESTART_NO,   /* the policy does not ask for it */
	RESTART_YES,  /* after the delay */
	RESTART_OVER, /* the limit is reached */
};

/*
 * It ended at @now_ms (monotonic) after @ran_ms in which it was ready.
 * @chance is at random from [0, 1). RESTART_YES counts as a restart; one
 * that is not made after all does no harm. -ENOMEM.
 */
int restart_decide(struct restart *r, const struct restart_policy *policy,
		   bool failed, uint64_t ran_ms, uint64_t now_ms, double chance,
		   uint64_t *ret_delay_ms);

/* The delay of failure number @failures (from 1), without jitter. */
uint64_t restart_delay_ms(const struct restart_policy *policy,
			  uint32_t failures);

/* Could the limit ever be reached by a service that fails at once each time?
 * The delays may keep it below the limit for ever. */
bool restart_limit_reachable(const struct restart_policy *policy);
