#pragma once

#include <stdint.h>

/* The name of a system call of this architecture; NULL when there is none.
 * The table is made from the compiler's <sys/syscall.h> at build time. */
const char *syscall_name(uint64_t number);
