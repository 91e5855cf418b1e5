#pragma once

/*
 * What a runner says about its own end: one CONTROL_REPORT on descriptor 3.
 *
 * Safe in signal handlers: no allocation, no lock, no waiting. A report that
 * does not fit in the socket is lost; the wait status decides anyway.
 */

#include <stdint.h>

#define CONTROL_FD 3

void report_text(const char *what);		       /* detail: nil */
void report_number(const char *what, uint64_t detail); /* detail: integer */

/* The zygote's last word: CONTROL_ZYGOTE_FAILED. */
void report_zygote_failed(const char *what, const char *message);
