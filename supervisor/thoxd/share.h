#pragma once

/*
 * A principal shares a context with whoever is at the other end of a link.
 *
 * Answered by CONTROL_SHARED, or in the message that brings the sharer its own
 * end, when the receiver was told: so whatever names the link comes to somebody
 * who can know it. While the receiver does not read, the sharer waits.
 */

struct principal;
struct principal_message;

/* As @m says: of an own context, or (0) of what its link holds. 0, or a
 * negative errno that closes the control link. */
int share_start(struct principal *p, const struct principal_message *m);
void share_principal_gone(struct principal *p);
