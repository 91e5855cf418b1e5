#pragma once

/*
 * What comes and goes, told to whoever traces this process: rpc/control.h has
 * the records. Costs a comparison while nobody does; a record that does not
 * fit is dropped and counted.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/mp.h"

struct channel;

extern bool trace_is_on;

/* thoxd: on with socket @fd, which is taken, for @name and below ("": all). */
void trace_set(bool on, struct mp_bytes name, int fd);

void trace_write_call(const struct channel *c, uint32_t cid, bool out,
		      const char *name, size_t name_size, size_t bytes);
void trace_write_answer(const struct channel *c, uint32_t cid, bool out,
			int status, uint64_t begun_ns, size_t bytes);
void trace_write_push(const struct channel *c, bool out, struct mp_bytes name,
		      size_t bytes);
void trace_write_cancel(const struct channel *c, uint32_t cid, bool out);

#define trace_call(...) (trace_is_on ? trace_write_call(__VA_ARGS__) : (void)0)
#define trace_answer(...)                                                      \
	(trace_is_on ? trace_write_answer(__VA_ARGS__) : (void)0)
#define trace_push(...) (trace_is_on ? trace_write_push(__VA_ARGS__) : (void)0)
#define trace_cancel(...)                                                      \
	(trace_is_on ? trace_write_cancel(__VA_ARGS__) : (void)0)
