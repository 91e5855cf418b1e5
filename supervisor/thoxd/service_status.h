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
