#pragma once

/*
 * Processes that a zygote made and never told of: it was killed between the
 * two, or did not want to. They are the keeper's children in the zygote's
 * user namespace that nobody knows.
 */

#include <stddef.h>
#include <sys/types.h>

struct server;

/* The name of @pid's user namespace; "" when the kernel does not tell. */
void orphans_note_namespace(pid_t pid, char *ret, size_t size);
/* Kill those in @user_ns that the process table does not have. */
void orphans_kill(struct server *s, const char *user_ns);
