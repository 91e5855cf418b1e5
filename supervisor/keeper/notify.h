#pragma once

/* Tell systemd, when it is there ($NOTIFY_SOCKET): sd_notify(3) without its
 * library. @state is like "READY=1". Errors are nobody's business. */
void notify(const char *state);
