#pragma once

/*
 * What a service is like, for whoever asks.
 */

#include <stdbool.h>

struct mp_writer;
struct service;

/* A map (rpc/control.h); with its instances and their last ends when
 * @detailed. */
void service_status_write(struct mp_writer *w, const struct service *sv,
			  bool detailed);

/* Seven fields of a map that the caller has begun: name, state, why, template,
 * restarts, wanted, running. */
void service_status_write_short(struct mp_writer *w, const struct service *sv);
