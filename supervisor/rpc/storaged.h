#pragma once

/*
 * thoxd and its thox-storaged: a native process like others, whose control
 * link was made before it was born.
 */

#define STORAGED_LINK_FD 3

/* What it provides. Whatever lies below is about the caller's own storage, and
 * everybody's right, but for these two. STORAGED_OPEN: another program's, which
 * takes the right to that name and to STORAGED_OPEN.PROGRAM. */
#define STORAGED_NAME "storage"
#define STORAGED_OPEN "storage.open"
/* About all programs' storages at once: takes the right to it. */
#define STORAGED_ADMIN "storage.admin"
