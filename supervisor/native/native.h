#pragma once

/*
 * A native process on thox's bus: it holds contexts and calls on them, owns
 * contexts and answers, binds names, as a Lua program does.
 *
 * No loop and no threads of its own: one descriptor (native_fd) becomes
 * readable when there is something to do, native_dispatch() does it and never
 * waits; it works under libev, plain poll() or anything else. Who has no other
 * loop uses native_wait().
 *
 * Guarantees: every call made is answered once, by its callee or here
 * (CLOSED, TIMEOUT, …); every request served is answered at most once; what a
 * peer sends is checked before a callback sees it, names against the grant of
 * its link; memory is bounded by the limits below, and a caller that does not
 * take its answers is not read.
 *
 * Callbacks run in native_dispatch() and native_wait(), never in the function
 * that asks for something; only one that closes something tells those who wait
 * for it at once. They may do anything but wait, dispatch or free the process.
 * What a message holds is valid until the callback returns.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/instance.h"
#include "rpc/link.h"
#include "rpc/mp.h"
#include "rpc/status.h"
#include "rpc/wire.h"

#define NATIVE_PENDING_MAX   4096U /* calls made and not answered */
#define NATIVE_REQUESTS_MAX  256U  /* of one link, before it is not read */
#define NATIVE_LINKS_MAX     4096U
#define NATIVE_WISHES_MAX    256U	/* names that one holder listens to */
#define NATIVE_WAITING_BYTES (4U << 20) /* of a link, until contexts are made */
#define NATIVE_GRANT_BYTES   65536U
#define NATIVE_CONTEXTS_MAX  WIRE_CONTEXTS_MAX /* in a message */

struct native;	       /* this process, as thoxd sees it */
struct native_context; /* a context that this process owns */
struct native_link;    /* a context that it holds */
struct native_pending; /* a call made and not answered yet */

/* --- life ------------------------------------------------------------------
 */

/*
 * Become a process of the instance under the name @name (what others see as
 * its program): over a link that was greeted (connect_greet(); its hello is
 * still to come or not), which is taken in every case. Waits for thoxd's
 * answer, at most @timeout_ms. -EPERM when thoxd refuses, with its message in
 * native_refusal(); -EPROTONOSUPPORT; -ETIMEDOUT; -ECONNRESET; …
 */
int native_attach(struct link *l, const char *name, int timeout_ms,
		  struct native **ret);
/* Connect, check, greet and attach; errors of connect_instance() too. */
int native_open(const struct instance *in, const char *name, int timeout_ms,
		struct native **ret);
/*
 * Of thox's own daemons: a control link that the starter handed down. When the
 * keeper keeps its other end, the process goes on under the next thoxd by
 * itself: names, contexts and links are what they were, what thoxd had not
 * answered is asked again; only calls under way to thoxd itself are answered
 * CLOSED.
 */
int native_adopt(int fd, struct native **ret);
/* Every link is closed and no callback is called any more; returns NULL. */
struct native *native_free(struct native *n);
void native_freep(struct native **n); /* for _cleanup_ */

/* What the last native_attach() of this thread was refused with, or "". */
const char *native_refusal(void);

/* One of "ready", "alive", "serving": for the supervisor. */
int native_notify(struct native *n, const char *what, const char *text);
/* Called with "terminate", "interrupt", "reload": what others ask of it. */
void native_on_signal(struct native *n,
		      void (*fn)(struct native *n, const char *signal,
				 void *user),
		      void *user);

/* --- the loop --------------------------------------------------------------
 */

/* Owned by @n. Wait for it to be readable; it stays the same. */
int native_fd(const struct native *n);
/* Do what there is to do, a bounded amount of it, without waiting. 0, or the
 * error that ended the control link (-ECONNRESET: thoxd is gone): free it. */
int native_dispatch(struct native *n);
/* The same, after waiting for something at most @timeout_ms (-1: for ever);
 * 0 also when nothing came. A signal's handler ends the wait. */
int native_wait(struct native *n, int timeout_ms);
/* Have native_dispatch() call @fn when @fd is ready for @events (EPOLLIN, …)
 * as well; 0 ends that. @fd stays the caller's. */
struct native_watch {
	int fd;
	void (*fn)(struct native_watch *w, uint32_t events);
	uint32_t events; /* 0 at first */
};
int native_watch(struct native *n, struct native_watch *w, uint32_t events);

/* --- values that are sent --------------------------------------------------
 */

/*
 * The arguments of a call, an answer or a push: the caller writes one array
 * into `w` with rpc/mp.h, and contexts in it by these. What is written last
 * counts: native_values_init() or _clear() first, _deinit() in the end.
 */
struct native_file {
	uint64_t inode; /* 0: none */
	uint64_t limit_bytes;
	bool write;
};
struct native_slot {
	size_t offset; /* of the number, in what was written */
	uint64_t number;
	bool own;
	struct native_file file;
};
struct native_values {
	struct mp_writer w;
	struct native_slot *slots;
	unsigned n_slots;
};
void native_values_init(struct native_values *v);
void native_values_clear(struct native_values *v);
void native_values_deinit(struct native_values *v);
/* Share a context with the receiver. It may be closed once the message has
 * been handed over, not before. */
void native_write_own(struct native_values *v, const struct native_context *c);
/* The same, with a descriptor of the receiver's stream, if it is to have one
 * (CONTROL_SHARE_OWN): of thox-storaged alone. */
void native_write_own_file(struct native_values *v,
			   const struct native_context *c,
			   const struct native_file *file);
void native_write_link(struct native_values *v, const struct native_link *l);
/* One that was given back, by the number of its link, in a message over the
 * link that named it first. */
void native_write_again(struct native_values *v, uint64_t link);

/* --- contexts that others own ----------------------------------------------
 */

/*
 * The context that stands at @r in a message being handled: the caller's from
 * now on, to be closed by native_link_close(). NULL for a nil or a context
 * that the sender did not share (then @r is not bad), and for anything else
 * (then it is).
 */
struct native_link *native_take(struct native *n, struct mp_reader *r);
/* Pending calls on it are answered CLOSED. NULL is allowed; returns NULL. */
struct native_link *native_link_close(struct native_link *l);
bool native_link_ended(const struct native_link *l); /* its owner closed it */
/* What to do when its owner has: called once. */
void native_link_on_end(struct native_link *l,
			void (*fn)(struct native_link *l, void *user),
			void *user);

/* --- calls made ------------------------------------------------------------
 */

struct native_answer {
	int status;	      /* STATUS_… */
	struct mp_bytes args; /* a whole array; unless OK the first of it is
				 the message */
};
typedef void (*native_answer_fn)(struct native *n,
				 const struct native_answer *a, void *user);

/*
 * Call @name on @on (NULL: context 0, resolved as need be) with @args (NULL:
 * none; the caller keeps them) and at most @timeout_ms for the answer (0: no
 * deadline). @fn, which may be NULL, gets the answer. @ret, which may be NULL,
 * is valid until then.
 *
 * -EINVAL for a bad name or args; -ENOBUFS when the callee does not keep up or
 * NATIVE_PENDING_MAX is met: later; -EMSGSIZE over what it takes; -EPIPE on a
 * link that has ended.
 */
int native_call(struct native *n, struct native_link *on, const char *name,
		const struct native_values *args, uint64_t timeout_ms,
		native_answer_fn fn, void *user, struct native_pending **ret);
/* Nobody wants the answer: @fn is not called, the callee is told. */
void native_cancel(struct native_pending *p);

/* The same as native_call(), and dispatch until the answer is there: for
 * programs with nothing else to do. A copy of the answer, whose args the
 * caller frees with native_answer_deinit(). */
int native_call_wait(struct native *n, struct native_link *on, const char *name,
		     const struct native_values *args, uint64_t timeout_ms,
		     struct native_answer *ret_answer);
void native_answer_deinit(struct native_answer *a);
/* The message of an answer that is not OK; @ret is cut to its size. */
void native_answer_message(const struct native_answer *a, char *ret,
			   size_t size);

/* --- calls served ----------------------------------------------------------
 */

/* Who is at the other end, in thoxd's words. */
struct native_peer {
	uint64_t link; /* differs for each holder, never used again */
	pid_t pid;
	const char *program;	/* or NULL */
	const char *service;	/* or NULL */
	const char *storage;	/* the program whose storage it has, or NULL */
	uint64_t storage_bytes; /* how many may be there; 0: not said */
	uint64_t storage_since; /* another program of that name came before */
	void *data;		/* the handler's own, NULL at first */
};

struct native_request {
	struct native *native;
	struct native_context *context; /* NULL: to a name that is bound */
	struct native_peer *peer;
	char name[WIRE_NAME_BYTES + 1];
	struct mp_bytes args; /* a whole array; until the handler returns */
	uint64_t deadline_ms; /* CLOCK_MONOTONIC; 0: none */
	bool cancelled;	      /* nobody waits for the answer */
	void *data;	      /* the handler's own, NULL at first */
};

struct native_handler {
	/* To be answered, now or later, once. NULL: there are no calls. */
	void (*call)(struct native_request *q, void *user);
	/* A request that was not answered yet has become pointless. It must
	 * be answered all the same, since that releases it. May be NULL. */
	void (*cancel)(struct native_request *q, void *user);
	/* A message without an answer from a holder. May be NULL. */
	void (*push)(struct native *n, struct native_peer *from,
		     struct mp_bytes name, struct mp_bytes args, void *user);
	/* A holder came, or is gone (@peer is freed after it); @left holders
	 * are there now. May be NULL. */
	void (*opened)(struct native *n, struct native_peer *peer, void *user);
	void (*closed)(struct native *n, struct native_peer *peer,
		       unsigned left, void *user);
	/* A holder gives it back, which counts as a holder still: its link can
	 * be named to it again (native_write_again()), or must be closed
	 * (native_peer_close()). NULL: holders close their links. */
	void (*returned)(struct native *n, struct native_peer *peer,
			 void *user);
	/* Names are called that the caller's grant does not admit, too: the
	 * handler asks native_peer_granted() where it matters. */
	bool unchecked;
	/* @c was to be shared with somebody who did not get it. May be NULL. */
	void (*refused)(struct native_context *c, void *user);
};

/*
 * Answer @q and release it. @values NULL: no values. When the answer cannot
 * be sent as it is, the caller gets TOO_LARGE or ERROR and the reason is
 * returned; -EPIPE when the caller is gone. In every case @q is released.
 */
int native_answer(struct native_request *q, const struct native_values *values);
int native_answer_failure(struct native_request *q, int status,
			  const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* --- contexts of one's own, and names ---------------------------------------
 */

/* @handler must stay valid until it is closed. */
int native_context_new(struct native *n, const struct native_handler *handler,
		       void *user, struct native_context **ret);
/* Every holder loses it. Requests of it stay to be answered (into nothing);
 * no other callback of it is called. NULL is allowed; returns NULL. */
struct native_context *native_context_close(struct native_context *c);
unsigned native_context_holders(const struct native_context *c);
void *native_context_user(const struct native_context *c);
/* Close one holder's link; what it shared on stays (native_revoke()). */
void native_peer_close(struct native *n, struct native_peer *peer);
/* Does its grant admit @name, which need not be one that can be called? */
bool native_peer_granted(struct native *n, const struct native_peer *peer,
			 const char *name);
/* @pid loses the context, and all who got it through it; @fn, which may be
 * NULL, hears when that is done. */
int native_revoke(struct native_context *c, pid_t pid, native_answer_fn fn,
		  void *user);

#define NATIVE_FALLBACK 1U
/*
 * Provide @name and what lies below it; @fn, which may be NULL, gets thoxd's
 * answer. Unless it is OK the name is not bound and @handler not called.
 */
int native_bind(struct native *n, const char *name, unsigned flags,
		const struct native_handler *handler, void *user,
		native_answer_fn fn, void *fn_user);
int native_unbind(struct native *n, const char *name);

/* --- pushes -----------------------------------------------------------------
 */

/* To the owner of @on; NULL: to all who listen to that name of the bus. */
int native_push(struct native *n, struct native_link *on, const char *name,
		const struct native_values *args);
/* To all holders of @c that listen to @name. Whoever does not keep up misses
 * it. */
int native_push_own(struct native_context *c, const char *name,
		    const struct native_values *args);

struct native_push {
	struct mp_bytes name;
	struct mp_bytes args;
	/* of the bus alone, in thoxd's words: */
	pid_t pid;
	struct mp_bytes program, service; /* size 0: not said */
	uint64_t lost;			  /* before this one */
};
typedef void (*native_push_fn)(struct native *n, const struct native_push *p,
			       void *user);
/* Hear the pushes of @name and below it that come by @on (NULL: the bus). A
 * second time for the same name: @fn and @user replace the first ones. */
int native_listen(struct native *n, struct native_link *on, const char *name,
		  native_push_fn fn, void *user);
int native_unlisten(struct native *n, struct native_link *on, const char *name);
