#pragma once

/*
 * What a run may call, bind, run and publish, as the command line says it:
 * `PATTERN[,PATTERN...]` for calls, or `KIND=PATTERN[,PATTERN...]` with a KIND
 * of call, bind, run or store.
 */

#include <stdbool.h>
#include <stdint.h>

#include "rpc/mp.h"

#define RULES_MAX 64U

/* NULL, or what is wrong with it. */
const char *rules_check(const char *rule);

/* Write @key with a map of kind to patterns: how many keys that is, 0 without
 * any rule. With @w NULL it only counts. */
uint32_t rules_write(struct mp_writer *w, const char *key,
		     const char *const *rules, unsigned n_rules);
