#pragma once

/*
 * What the files of a native process share; nobody else includes it.
 *
 * A struct native_link is either end of a link: a context that is held, or a
 * holder of one that is owned. Those that end in the middle of a batch of
 * events are taken out of every table at once and freed when the batch is over
 * (native_collect()), since an event in it may still name them.
 */

#include <sys/epoll.h>

#include "base/list.h"
#include "native/message.h"
#include "native/native.h"

#define LINK_BUCKETS 256U

struct source {
	int fd;
	uint32_t events; /* what epoll waits for; 0: it is not there */
	void (*on_ready)(struct source *s, uint32_t events);
};

struct trace;

struct native {
	int epoll_fd;
	int timer_fd;
	struct source control_source;
	struct source timer_source;
	struct link control;
	int error; /* what ended the control link */
	bool draining;
	bool freeing;		   /* no callback is called any more */
	struct epoll_event *batch; /* those events that are still to come */
	int n_batch;

	struct native_link *buckets[LINK_BUCKETS]; /* by number */
	struct list links;
	struct list garbage; /* links */
	unsigned n_links;
	uint64_t reading; /* the link whose message is being handled */

	struct native_link *zero; /* context 0 */
	bool zero_wanted;
	struct list zero_calls; /* pendings that wait for it */

	unsigned n_pending;
	struct list deadlines; /* pendings, the earliest first */
	uint64_t armed_ms;     /* what the timer is set to; 0: not */

	uint64_t last_id;   /* of what thoxd is asked */
	struct list shares; /* contexts that thoxd is asked to share */
	struct list asked;  /* revocations */

	uint64_t last_context;
	uint64_t n_closed; /* contexts, in all */
	struct list contexts;
	unsigned n_contexts;
	struct list orphans; /* requests whose caller is gone */
	struct list names;   /* bound */
	struct list ears;    /* names that are listened to */
	struct list late;    /* pushes that wait for context 0 */
	size_t late_bytes;
	bool left; /* thoxd knows that nobody calls any more */

	struct mp_writer out; /* for one message at a time */
	struct trace *trace;

	void (*on_signal)(struct native *n, const char *signal, void *user);
	void *signal_user;
};

struct native_context {
	struct native *native;
	struct list list;
	uint64_t number;
	const struct native_handler *handler;
	void *user;
	unsigned n_holders;
};

/* A name that this process provides. */
struct bound {
	struct native *native;
	struct list list;
	char name[WIRE_NAME_BYTES + 1];
	const struct native_handler *handler;
	void *user;
	unsigned n_holders;
	bool moving;			/* another instance has taken it over */
	struct native_pending *pending; /* the call that binds it */
	native_answer_fn fn;
	void *fn_user;
};

/* A name that a holder wants pushes of. */
struct wish {
	struct list list;
	size_t size;
	char name[];
};

struct native_link {
	struct native *native;
	struct source source;
	struct link link;
	struct native_link *next; /* in its bucket */
	struct list list;
	uint64_t number;
	uint64_t over; /* its number comes in messages of this link alone */
	uint64_t peer_limit_bytes;
	bool held;    /* else the other end holds */
	bool greeted; /* our hello has been sent */
	bool ended;
	bool untold;	     /* thoxd learns of its end by the context's */
	bool moved;	     /* nothing more is called on it */
	unsigned refs;	     /* of the user and of routes; of requests */
	struct list waiting; /* messages whose contexts are being shared */
	size_t waiting_bytes;

	/* held */
	bool zero;
	bool resolves;
	struct list pending;
	unsigned n_pending;
	uint32_t last_cid;
	bool cids_wrapped;
	struct list routes; /* when it resolves */
	void (*on_end)(struct native_link *l, void *user);
	void *end_user;

	/* opened */
	struct native_context *context;
	struct bound *bound;
	struct native_peer peer;
	char *peer_text;
	uint8_t *grants;
	size_t grants_size;
	struct list requests;
	unsigned n_requests;
	struct list wishes;
	unsigned n_wishes;
};

/* Where calls of a name and of what lies below it go. */
struct route {
	struct list list;
	char prefix[WIRE_NAME_BYTES + 1];
	bool stale;	  /* resolve again; its links stay until that is done */
	unsigned n_links; /* 0: over the link that resolved it */
	struct native_link *links[WIRE_ROUTES_MAX];
};

/* The bytes of a message, until its contexts are made or it has a way. */
struct parcel {
	uint8_t *data;
	size_t size;
	struct native_slot *slots;
	unsigned n_slots;
};

/* A message on link->waiting. */
struct outgoing {
	struct native_link *link;
	struct list list;
	struct parcel parcel;
	unsigned n_missing;
	int status; /* OK, or why a context cannot be shared */
	char *message;
	struct native_pending *pending; /* of a call */
	uint32_t cid;			/* of an answer */
	bool answer;
};

struct native_pending {
	struct native *native;
	struct list list; /* of its link, of a resolve, or zero_calls */
	struct list timed;
	struct native_link *link; /* NULL: context 0, which is not there yet */
	struct outgoing *outgoing;
	uint32_t cid;
	uint64_t deadline_ms;
	uint64_t sent_us; /* when it is traced */
	native_answer_fn fn;
	void *user;
	char name[WIRE_NAME_BYTES + 1];
	struct parcel args; /* until it has a way */
	unsigned tries;	    /* of resolving it */
	bool resolve;	    /* a WIRE_RESOLVE of `name`; for these calls: */
	struct list waiters;
};

struct request {
	struct native_request q;  /* what the handler sees */
	struct list list;	  /* of its link */
	struct native_link *link; /* NULL: gone */
	struct native_link *home; /* the same, for its peer: stays */
	const struct native_handler *handler;
	void *user;
	uint32_t cid;
	uint64_t came_us; /* when it is traced */
};

struct ear {
	struct list list;
	struct native_link *link; /* NULL: the bus */
	char name[WIRE_NAME_BYTES + 1];
	native_push_fn fn;
	void *user;
};

/* --- native.c: the loop --- */
int native_source_set(struct native *n, struct source *s, uint32_t events);
/* Begin a message in n->out. */
struct mp_writer *native_begin(struct native *n);
/* Send n->out on the control link; an error ends the process's part. */
int native_tell(struct native *n);
/* Take what thoxd has sent so far. */
void native_drain_control(struct native *n);
void native_arm(struct native *n, uint64_t deadline_ms);
uint64_t native_now_ms(void);

/* --- control.c: what thoxd says --- */
int native_on_control(struct native *n, struct link_message *m);

/* --- link.c: both ends of links --- */
/* A process that holds a context of its own has both ends of the link. */
struct native_link *native_link_find(struct native *n, uint64_t number,
				     bool held);
/* Takes @fd in every case. */
int native_link_open(struct native *n, const struct native_control *m, int fd,
		     bool held, struct native_link **ret);
/* Send n->out. -ENOBUFS, -EMSGSIZE: nothing was sent; another error has ended
 * the link. */
int native_link_send(struct native_link *l);
void native_link_watch(struct native_link *l);
int native_link_greet(struct native_link *l);
void native_link_end(struct native_link *l);
void native_link_unref(struct native_link *l);
void native_collect(struct native *n);

/* --- parcel.c: messages with contexts --- */
int native_parcel_copy(struct parcel *p, const uint8_t *data, size_t size,
		       const struct native_slot *slots, unsigned n_slots);
void native_parcel_clear(struct parcel *p);
/*
 * Send n->out, whose args, with their slots, begin at @args_offset: at once
 * when there is nothing to share and nothing before it, else when that is
 * done. -ENOBUFS, …: nothing was done. @pending or an answer's @cid (@answer)
 * hear of a context that cannot be shared.
 */
struct fate {
	struct native_pending *pending;
	bool answer;
	uint32_t cid;
};
int native_parcel_send(struct native_link *l, size_t args_offset,
		       const struct native_slot *slots, unsigned n_slots,
		       const struct fate *fate);
void native_parcel_forget(struct outgoing *o);
void native_on_shared(struct native *n, const struct native_control *m);
/* Of another thoxd: what the last one has not answered. */
int native_shares_again(struct native *n);
void native_shares_drop(struct native *n);

/* --- call.c: calls made --- */
int native_pending_new(struct native *n, const char *name, size_t name_size,
		       uint64_t deadline_ms, native_answer_fn fn, void *user,
		       struct native_pending **ret);
void native_pending_finish(struct native_pending *p, int status,
			   struct mp_bytes args);
void native_pending_fail(struct native_pending *p, int status,
			 const char *message);
/* Move on a call that waited: its link is there, or its route. */
void native_pending_go(struct native_pending *p, struct native_link *l);
void native_pending_free(struct native_pending *p);
int native_call_send(struct native_pending *p, struct native_link *l,
		     const uint8_t *args, size_t args_size,
		     const struct native_slot *slots, unsigned n_slots);
uint32_t native_new_cid(struct native_link *l);
void native_on_answer(struct native_link *l, const struct wire_message *m);
void native_on_timer(struct native *n);
int native_want_zero(struct native *n);
void native_on_zero(struct native *n, struct native_link *l);
extern const struct mp_bytes native_no_args; /* an empty array */

/* --- route.c: names to links --- */
struct route *native_route_find(struct native_link *l, const char *name,
				size_t size);
struct native_link *native_route_pick(struct native_link *l, struct route *r);
/* @p waits for its name to be resolved on @l. */
int native_resolve(struct native_link *l, struct native_pending *p);
void native_route_learn(struct native_link *l, struct native_pending *resolve,
			int status, struct mp_bytes args);
void native_routes_forget(struct native *n, struct mp_bytes prefix);
/* @gone takes no more calls. */
void native_routes_drop(struct native *n, struct native_link *gone);
void native_routes_clear(struct native_link *l);

/* --- serve.c: calls served --- */
void native_on_call(struct native_link *l, const struct wire_message *m);
void native_on_cancel(struct native_link *l, uint32_t cid);
void native_on_listen(struct native_link *l, const struct wire_message *m);
void native_on_opened(struct native_link *l);
void native_on_return(struct native_link *l);
void native_requests_gone(struct native_link *l);
/* Their handler is gone: it is called for none of them any more. */
void native_requests_void(struct native_link *l);
void native_requests_free(struct native *n);
bool native_granted(const struct native_link *l, struct mp_bytes name);

/* --- context.c: own contexts and names --- */
struct native_context *native_context_find(struct native *n, uint64_t number);
struct bound *native_bound_find(struct native *n, struct mp_bytes name);
const struct native_handler *native_link_handler(const struct native_link *l,
						 void **ret_user);
void native_holder_gone(struct native_link *l);
/* Somebody was to hold it, and does not. */
void native_context_refused(struct native *n, uint64_t number);
void native_on_push(struct native_link *l, const struct wire_message *m);
void native_on_revoked(struct native *n, const struct native_control *m);
int native_revocations_again(struct native *n); /* of another thoxd */
void native_on_move(struct native *n, struct mp_bytes name);
void native_check_moved(struct native *n);
void native_late_send(struct native *n);
void native_ears_tell(struct native *n, struct native_link *l);
void native_ears_gone(struct native_link *l);
void native_contexts_free(struct native *n);

/* --- trace.c: what thoxctl trace prints --- */
void native_trace_set(struct native *n, const struct native_control *m, int fd);
/* What its answer and its cancel are to give back: 0 for one that nobody
 * wants to see, and then nothing is written of these. */
uint64_t native_trace_call(struct native_link *l, uint32_t cid, bool out,
			   struct mp_bytes name, size_t bytes);
void native_trace_answer(struct native_link *l, uint32_t cid, bool out,
			 int status, uint64_t since_us, size_t bytes);
void native_trace_push(struct native_link *l, bool out, pid_t pid,
		       struct mp_bytes name, size_t bytes);
void native_trace_cancel(struct native_link *l, uint32_t cid, bool out,
			 uint64_t since_us);
void native_trace_free(struct native *n);
