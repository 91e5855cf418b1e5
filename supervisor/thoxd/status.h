#pragma once

/*
 * What `ps` and `status` tell, as MessagePack maps (rpc/control.h).
 *
 * What is said about a process's sandbox and limits is read from the kernel
 * at that moment, not remembered.
 */

#include <stdint.h>
#include <sys/types.h>

#include "rpc/mp.h"

struct run;
struct server;

uint64_t status_cpu_us(pid_t pid);	 /* 0: unknown */
bool status_is_stopped(pid_t pid);	 /* by a signal */
uint64_t status_memory_bytes(pid_t pid); /* resident */

void status_write_run(struct mp_writer *w, const struct run *run);
void status_write_process(struct mp_writer *w, const struct run *run);
void status_write_server(struct mp_writer *w, struct server *s);
