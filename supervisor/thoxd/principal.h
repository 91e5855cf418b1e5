#pragma once

/*
 * A principal: whoever can own and hold contexts. A run's process, a native
 * process that has attached, a daemon of thox's own.
 *
 * It is embedded in what stands for the process (struct run, an attached
 * client) and ends before that does: principal_end() leaves nothing of it, no
 * context, link, name, listening or pending call. Who somebody is, is thoxd's
 * word, and comes from here alone.
 *
 * Everything a principal says is hostile until it was found to be about its
 * own contexts and links.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "rpc/link.h"
#include "rpc/mp.h"
#include "thoxd/peer.h"

struct holding;
struct policy;
struct principal;
struct process;
struct server;
struct zero_want;

/*
 * What a principal can make grow. Each end of a link costs its process a
 * descriptor, and the kernel the bytes that are under way; so its memory
 * limits how many it may have.
 */
#define PRINCIPAL_LINK_BYTES   131072U /* under way in one direction */
#define PRINCIPAL_LINKS_MAX    4000U   /* ends of links */
#define PRINCIPAL_LINKS_MIN    64U     /* with however little memory */
#define PRINCIPAL_RIGHTS_MAX   1024U   /* shared to thoxd, not handed on */
#define PRINCIPAL_PASSED_MAX   16384U  /* links that came through its own */
#define PRINCIPAL_SHARES_MAX   1024U   /* that wait for somebody's room */
#define PRINCIPAL_ZEROS_MAX    64U     /* links to thoxd that act as it */
#define PRINCIPAL_BINDINGS_MAX 256U
#define PRINCIPAL_LISTENS_MAX  1024U
#define PRINCIPAL_PIPES_MAX    256U
#define PRINCIPAL_CHILDREN_MAX 1024U

#define NOTICE_TEXT_BYTES 1024U

/* What it says about itself, CONTROL_NOTIFY. */
enum notice {
	NOTICE_READY,
	NOTICE_ALIVE,
	NOTICE_SERVING,
	NOTICE_LEFT,
};

/* How it was called, as it says itself: CONTROL_USE. */
struct principal_use {
	uint64_t calls;	  /* that it has received */
	uint64_t waiting; /* of them, those that it has not answered */
	uint64_t idle_ms; /* since the last one came */
};

/* What happens to it; every one may be NULL. */
struct principal_ops {
	/* @text as long as the call */
	void (*notify)(struct principal *p, enum notice what,
		       struct mp_bytes text);
	/* it has bound a name */
	void (*bound)(struct principal *p, const char *name);
	void (*used)(struct principal *p, const struct principal_use *use);
	/* it is to get a file that it can write: see to it that no file of
	 * its own grows over @limit_bytes from now on. 0, or -EPERM: it must
	 * not have one. NULL: nobody of that kind gets files. */
	int (*bound_files)(struct principal *p, uint64_t limit_bytes);
};

/* Something that waits until a principal's control link takes messages, or
 * until descriptors can be made. */
struct waiter {
	struct list list;
	void (*go)(struct waiter *w);
};

/* All that are in the list now; they may come back into it at once. */
void waiters_go(struct list *waiters);

struct principal {
	struct server *server;
	const struct principal_ops *ops;
	uint64_t serial; /* of this thoxd's life; never again */
	struct list list;

	/* who: the texts belong to what embeds it */
	pid_t pid;   /* 0: not born yet */
	bool daemon; /* one of thox's own: it may bind what is kept for these */
	bool in_waiting; /* its names serve nobody yet: set before it begins,
			  * ended by bus_promote() */
	bool based;    /* it has another context 0, even when that has ended */
	uint64_t kept; /* of a service's process: its key (record.h); 0 */
	const char *program; /* "": a text that is none */
	const char *service; /* "": none; `NAME` or `NAME:INSTANCE` */
	const char *storage; /* the program whose storage it has; NULL: none */
	uint64_t storage_bytes; /* at most there; 0: not said */
	uint64_t version;
	struct peer *control;	       /* NULL: not yet, or no more */
	const struct process *process; /* whom links signal; NULL: nobody */
	struct policy *policy;	       /* a reference; NULL: no limits */
	struct principal *parent;      /* NULL: none, or it has ended */
	struct list children;
	struct list sibling;
	unsigned n_children;
	/* of child.c: those that run, and ends that it was not told of */
	unsigned n_kids;
	size_t kept_bytes; /* that thoxd keeps for them */

	/* of holding.c */
	struct list contexts; /* its own that somebody holds */
	struct list held;     /* holdings of its own */
	struct list acting;   /* holdings of others that act as it */
	struct list waiters;  /* for room on its control link */
	struct list shares;   /* its own, not answered yet */
	unsigned n_links;     /* ends, owned and held */
	unsigned links_max;
	uint16_t n_rights;
	uint16_t n_passed;
	uint16_t n_shares;
	/* of bus.c, zero.c and pipe.c */
	uint16_t n_zeros;
	uint16_t n_bindings;
	uint16_t n_listens;
	uint16_t n_pipes;
	uint64_t forgot; /* the last CONTROL_FORGET that it was sent */

	/* of bus.c and zero.c */
	struct list providers;	      /* the names it has bound */
	struct list zeros;	      /* links to thoxd that act as it */
	struct zero_want *wants_zero; /* asked for, not made yet */
	struct holding *zero;	      /* its context 0, when that is thoxd's */
	struct holding *base;  /* a right to what is its context 0 instead */
	struct holding *store; /* a right to what its storage is instead */

	/* of pipe.c */
	struct list pipes;
};

/*
 * Nobody yet; identity and policy are set by the caller then. @memory_bytes
 * and @descriptors bound its links; 0: no such bound.
 */
void principal_init(struct principal *p, struct server *s,
		    const struct principal_ops *ops, uint64_t memory_bytes,
		    uint64_t descriptors);
/* It has a control link from now on, which must live until its end, and a
 * PID; @process: whom what comes over its links signals, or NULL. */
void principal_begin(struct principal *p, struct peer *control, pid_t pid,
		     const struct process *process);
/* It goes, with all that it owns and holds. Again: nothing happens. */
void principal_end(struct principal *p);

void principal_set_policy(struct principal *p, struct policy *policy);
void principal_adopt(struct principal *parent, struct principal *child);

/* One of the kinds that every principal may send (rpc/control.h, from 80 on,
 * and CONTROL_NOTIFY)? Then principal_message() takes it. */
bool principal_takes(const struct link_message *m);
/* As a peer's handler: 0, PEER_MORE or the error that ends its link. */
int principal_message(struct principal *p, struct link_message *m);

/* For it, over its control link: as peer_send(). */
int principal_send(struct principal *p, const struct mp_writer *w,
		   const int *fds, unsigned n_fds);
/* CONTROL_WANT_USE: ops->used has the answer. */
int principal_ask_use(struct principal *p);
/* What is sent to it now would have to wait. */
bool principal_busy(const struct principal *p);
/* @w goes when it does not, or has ended. */
void principal_wait(struct principal *p, struct waiter *w);

/* By its number, or its owner and the kernel's PID; NULL: none such. */
struct principal *principal_find(struct server *s, pid_t pid);
/* Are both of the same service, whatever their instances? */
bool principal_same_service(const struct principal *a,
			    const struct principal *b);
/* pid, and program and service if there are: the number of keys, or the keys
 * with their values. */
unsigned principal_identity_keys(const struct principal *p);
void principal_write_identity(const struct principal *p, struct mp_writer *w);
