#pragma once

/*
 * Every count that a runner can grow, and where it ends (see also
 * rpc/control.h for the sizes of messages).
 *
 * The defaults of memory, CPU and wall time are the instance's and come with
 * the start message.
 */

#include "rpc/control.h"

/* Descriptors a runner may have: stdio, the control link, texts, and links, of
 * which thoxd gives it 4000 at most. */
#define LIMIT_DESCRIPTORS 4096

/* The C stack, which Lua's parser, patterns and metamethods grow. Lua itself
 * stops at 200 C levels, which took 416 KiB at most. */
#define LIMIT_C_STACK_BYTES (1U << 20)

/* Tasks, unless the start message says otherwise. */
#define LIMIT_TASKS 1024

/* The C stack of a task (rpc/control.h: thoxd reserves room for it), what it
 * is taken to use at least, and how many are kept for later tasks. */
#ifdef THOX_SANITIZED /* whose frames are several times as large */
#define LIMIT_TASK_STACK_BYTES (4U << 20)
#else
#define LIMIT_TASK_STACK_BYTES CONTROL_TASK_STACK_BYTES
#endif
#define LIMIT_TASK_LEAST_BYTES (16U << 10)
#define LIMIT_KEPT_STACKS      16

/* How long a task may compute while others are ready. */
#define LIMIT_QUANTUM_NS (10 * 1000 * 1000ULL)

/* A deadline does not stop whoever computes before he has had this long. */
#define LIMIT_LEAST_TURN_NS (200 * 1000ULL)

/* SIGIO is held back this long after a wait, or twice as long, while many are
 * watched; and so long nobody but one other is looked at by who talks with it,
 * as who had something was foreseen this often in a row: at first, and when
 * that has kept others waiting again and again. */
#define LIMIT_HOLD_NS	 (1000 * 1000ULL)
#define LIMIT_RIGHT	 16
#define LIMIT_RIGHT_MOST (1U << 20)

/* Answers that take longer are waited for by asking about all: alarms would
 * end too many waits for one. And SIGIO is then held for so many times that. */
#define LIMIT_QUICK_NS	 (LIMIT_HOLD_NS / 8)
#define LIMIT_HOLD_WAITS 8

/* The longest that the alarm is set for: then it is set again. */
#define LIMIT_ALARM_NS (3600 * 1000000000ULL)

/* While the process ends by itself, tasks may close their variables. */
#define LIMIT_CLOSING_NS (5 * 1000 * 1000 * 1000ULL)

/* Watched sockets up to here are asked about one by one. */
#define LIMIT_POLLED_WATCHES 8

/* What is called at once of those that are ready, and of a link's messages. */
#define LIMIT_READY_WATCHES 32
#define LIMIT_READ_MESSAGES 64

/* Texts for a prompt that wait to be evaluated. */
#define LIMIT_PROMPT_TEXTS 16

/* Allocations refused at the ceiling before the process is ended: a program
 * may handle a few, but not live there. */
#define LIMIT_REFUSED_ALLOCATIONS 100

/* A runtime's text may use this much memory unless thoxd says otherwise. */
#define LIMIT_RUNTIME_BYTES (64U << 20)

/* Buffers of stdin and stdout: reserved, and touched as far as used. */
#define LIMIT_INPUT_BYTES  16384
#define LIMIT_OUTPUT_BYTES 16384

#define LIMIT_PIPE_BUFFER_BYTES 4096

/* A number read by io.read("n") may have this many characters, as in Lua. */
#define LIMIT_NUMERAL_BYTES 200

/* A library's name. */
#define LIMIT_LIBRARY_NAME_BYTES 128

/* The heap's size at which a program meets its first collection. */
#define LIMIT_FIRST_COLLECTION_KIB 512

/* A runtime up to here gets no huge pages. */
#define LIMIT_SMALL_RUNTIME_BYTES (1U << 20)

/* Strings that a program may make under a runtime before Lua's table of them
 * grows, which writes into each string of the runtime. */
#define LIMIT_ROOM_STRINGS 2048

/* Holes in the zygote's heap: filled by every size of block up to this one. */
#define LIMIT_FINE_HOLE_BYTES 4096
#define LIMIT_HOLES	      1000000
#define LIMIT_CACHED_BYTES    1032 /* malloc() caches what is not larger */

/* Blocks over this size are mappings of their own: in the zygote, and in a
 * program, which may grow and shrink them often. */
#define LIMIT_LOADED_BLOCK_BYTES (256 << 10)
#define LIMIT_HEAP_BLOCK_BYTES	 (4 << 20)

/* Pieces of a stream that do not hurry the collector, as long as those that
 * are held are no more than this. */
#define LIMIT_UNCOUNTED_BYTES ((size_t)3 << 19)

/* --- contexts and calls --- */

/* A message that this process takes: what hello says. */
#define LIMIT_MESSAGE_BYTES (16U << 20)

/* A message up to here is kept where it is described; a larger one is weighed
 * before it becomes Lua's. */
#define LIMIT_SMALL_MESSAGE_BYTES 1024U

/* Links that were given back to their owners, to be named again. */
#define LIMIT_RETURNED 4

/* Contexts owned and held, with those that only a C function still knows. */
#define LIMIT_CONTEXTS 4096

/* Routes of context 0: each may have several links. */
#define LIMIT_ROUTES 3000

/* Calls made and not taken back, and calls received and not answered. */
#define LIMIT_CALLS 16384

/* Of the latter: in all, of one process, over one link. */
#define LIMIT_SERVED	  4096
#define LIMIT_SERVED_PEER 512
#define LIMIT_SERVED_LINK 256

/* Values of a call for a function, and of an answer on the stack. */
#define LIMIT_ARGUMENTS	    4096
#define LIMIT_ANSWER_VALUES 4096

/* Answers and pushes that sockets had no room for, of all links; what is
 * shorter than the other may come on top, an answer to each call. */
#define LIMIT_QUEUED_BYTES (32U << 20)
#define LIMIT_SHORT_BYTES  512U

/* Names of calls that a link has learnt to pass on: a power of two. */
#define LIMIT_RELAYS 64

/* Names that a holder listens to on one context. */
#define LIMIT_LISTENS 256

/* Events, but for calls, that no task has come for. */
#define LIMIT_EVENTS	  1024
#define LIMIT_EVENT_BYTES (4U << 20)

/* What waits to be told to thoxd. */
#define LIMIT_CONTROL_BYTES (8U << 20)

#define LIMIT_ALARMS	     1024
#define LIMIT_ENDED_CHILDREN 1024

/* Tasks that serve calls, and how many of them are kept without one. */
#define LIMIT_WORKERS	   512
#define LIMIT_IDLE_WORKERS 16

/* What os.ready() says. */
#define LIMIT_READY_BYTES 1024
