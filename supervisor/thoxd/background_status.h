#pragma once

/*
 * What a run in the background is like, in the form that services have.
 */

#include <stdbool.h>

struct background;
struct mp_writer;

/* A map as service_status_write() makes it: a service of one instance, which
 * has no definition. */
void background_status_write(struct mp_writer *w, const struct background *b,
			     bool detailed);

/* "starting", "running" or "stopping" */
const char *background_state(const struct background *b);
