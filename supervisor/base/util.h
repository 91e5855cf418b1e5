#pragma once

/*
 * The few macros that every file may use. Nothing of thox in here.
 */

#include <stddef.h>
#include <stdlib.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member)                                        \
	((type *)((char *)(ptr)-offsetof(type, member)))

/* A local that owns what it points to: released when it leaves its scope. */
#define _cleanup_(fn) __attribute__((__cleanup__(fn)))

/* For _cleanup_: free() what a local points to. */
static inline void freep(void *p)
{
	free(*(void **)p);
}

/* Hand an owned value over: the local is left at @none. */
#define steal(p)                                                               \
	({                                                                     \
		__typeof__(*(p)) *_p = (p);                                    \
		__typeof__(*_p) _v = *_p;                                      \
		*_p = NULL;                                                    \
		_v;                                                            \
	})
#define steal_fd(p)                                                            \
	({                                                                     \
		int *_p = (p);                                                 \
		int _v = *_p;                                                  \
		*_p = -1;                                                      \
		_v;                                                            \
	})
