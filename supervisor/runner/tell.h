#pragma once

/*
 * What a process says about its contexts over the control link, and does not
 * wait for: rpc/control.h has the messages.
 */

#include <stddef.h>
#include <stdint.h>

void tell_want_zero(void);
void tell_link_closed(uint64_t link);
void tell_context_closed(uint64_t context);
void tell_stream_closed(unsigned number); /* of stdin, stdout, stderr */
void tell_pipe_closed(uint64_t pipe, const char *end);
void tell_use(uint64_t id, uint64_t calls, uint64_t waiting, uint64_t idle_ms);
/* CONTROL_NOTIFY; @text may be NULL. */
void tell_notice(const char *what, const char *text, size_t size);

/* Answered by CONTROL_SHARED, CONTROL_REVOKED, CONTROL_PIPE with @id. */
void tell_share_own(uint64_t id, uint64_t context, uint64_t to);
void tell_share_held(uint64_t id, uint64_t link, uint64_t to);
void tell_revoke(uint64_t id, uint64_t context, int64_t pid);
void tell_want_pipe(uint64_t id);
