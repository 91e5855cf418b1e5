#pragma once

/*
 * What `ps` and `status` tell, as MessagePack maps (rpc/control.h).
 *
 * What is said about a process's sandbox and limits is read from the kernel
 * at that moment, not remembered.
 */

#include "rpc/mp.h"

struct run;
struct server;

void status_write_run(struct mp_writer *w, const struct run *run);
void status_write_process(struct mp_writer *w, const struct run *run);
void status_write_server(struct mp_writer *w, struct server *s);
