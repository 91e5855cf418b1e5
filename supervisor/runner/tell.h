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

/* For request.h: CONTROL_SHARE_OWN and others that are answered with @id; @n
 * of the numbers follow it. */
void tell_request(int64_t kind, unsigned n, uint64_t id, uint64_t a,
		  uint64_t b);

/* Another thoxd is there: this was heard; and what the last one may have
 * heard and not remembered is said again. */
void tell_again(uint64_t number);
