#pragma once

/*
 * A principal shares a context with whoever is at the other end of a link.
 *
 * Answered by CONTROL_SHARED when the receiver was told: so whatever names the
 * link comes to somebody who can know it. While the receiver does not read,
 * the sharer waits.
 */

#include <stdint.h>

struct principal;
struct stream_wish;

/* @context: an own one; 0: what @link holds. @file, which may be NULL: a
 * descriptor to go with it (stream_file.h). 0, or a negative errno that closes
 * the control link. */
int share_start(struct principal *p, uint64_t id, uint64_t context,
		uint64_t link, uint64_t to, const struct stream_wish *file);
void share_principal_gone(struct principal *p);
