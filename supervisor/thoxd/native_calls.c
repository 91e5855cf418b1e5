/*
 * Step 9: the small calls: time, chance, names.
 */

#include "thoxd/native_calls.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/fd.h"
#include "base/util.h"
#include "thoxd/bus.h"
#include "thoxd/native.h"
#include "thoxd/server.h"
#include "thoxd/zero.h"

#define ALARM_MAX_S (366.0 * 24 * 3600)

/* Programs have integers and floats; either is a number here. */
static double read_number(struct mp_reader *r)
{
	enum mp_type type = mp_peek(r);

	if (type == MP_INT)
		return (double)mp_read_int(r);
	if (type == MP_UINT)
		return (double)mp_read_uint(r);
	return mp_read_double(r);
}

/* --- time -----------------------------------------------------------------
 */

static void on_alarm(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	native_finish(container_of(timer, struct native_call, timer),
		      STATUS_OK);
}

int native_alarm(struct native_call *c)
{
	double seconds = read_number(&c->args);

	if (c->n_args != 1 || c->args.bad || !(seconds >= 0) ||
	    seconds > ALARM_MAX_S)
		return native_complain(c, STATUS_INVALID,
				       "a number of seconds is wanted, from 0 "
				       "to those of a year");
	/* the loop's time is that of the turn's beginning: too early */
	ev_now_update(c->server->loop);
	ev_timer_init(&c->timer, on_alarm, seconds, 0.);
	ev_timer_start(c->server->loop, &c->timer);
	return NATIVE_LATER;
}

/* The clock of deadlines: seconds since the machine's start. */
int native_clock(struct native_call *c)
{
	mp_write_double(&c->values, (double)clock_ns() / 1e9);
	c->n_values = 1;
	return STATUS_OK;
}

/* --- chance ---------------------------------------------------------------
 */

static int random_bits(uint64_t *ret)
{
	return getrandom(ret, sizeof(*ret), 0) == sizeof(*ret) ? 0 : -errno;
}

int native_random(struct native_call *c)
{
	uint64_t bits;

	if (random_bits(&bits) < 0)
		return native_complain(c, STATUS_ERROR, "no entropy");
	/* as many as a double has: below 1 */
	mp_write_double(&c->values, (double)(bits >> 11) * 0x1p-53);
	c->n_values = 1;
	return STATUS_OK;
}

/* From 0 to @span - 1, each as likely; 0 stands for 2^64. */
static int random_below(uint64_t span, uint64_t *ret)
{
	uint64_t rest = span ? -span % span : 0; /* 2^64 mod span */
	uint64_t bits;
	int r;

	do {
		r = random_bits(&bits);
		if (r < 0)
			return r;
	} while (bits < rest);
	*ret = span ? bits % span : bits;
	return 0;
}

int native_randint(struct native_call *c)
{
	int64_t min = mp_read_int(&c->args);
	int64_t max = mp_read_int(&c->args);
	uint64_t value;

	if (c->n_args != 2 || c->args.bad || min >= max)
		return native_complain(c, STATUS_INVALID,
				       "two integers are wanted, the first "
				       "below the second");
	if (random_below((uint64_t)max - (uint64_t)min, &value) < 0)
		return native_complain(c, STATUS_ERROR, "no entropy");
	mp_write_int(&c->values, (int64_t)((uint64_t)min + value));
	c->n_values = 1;
	return STATUS_OK;
}

/* --- names ----------------------------------------------------------------
 */

static int read_name(struct native_call *c, struct mp_bytes *ret)
{
	*ret = mp_read_str(&c->args);
	if (c->args.bad || !wire_check_name(ret->p, ret->size))
		return native_complain(c, STATUS_INVALID,
				       "a name is wanted: up to %u of "
				       "A-Za-z0-9_- with single dots between",
				       WIRE_NAME_BYTES);
	return STATUS_OK;
}

static int read_options(struct native_call *c, bool *ret_fallback)
{
	uint32_t n = 0;

	*ret_fallback = false;
	if (c->n_args > 1 && mp_peek(&c->args) == MP_NIL)
		mp_read_nil(&c->args);
	else if (c->n_args > 1 && mp_peek(&c->args) == MP_ARRAY)
		c->args.bad = mp_read_array(&c->args) > 0; /* an empty table */
	else if (c->n_args > 1)
		n = mp_read_map(&c->args);
	while (n-- > 0 && !c->args.bad) {
		if (mp_bytes_equal(mp_read_str(&c->args), "fallback"))
			*ret_fallback = mp_read_bool(&c->args);
		else
			mp_skip(&c->args);
	}
	if (c->n_args > 2 || c->args.bad)
		return native_complain(c, STATUS_INVALID,
				       "options are wanted: {fallback=true}");
	return STATUS_OK;
}

static int complain_taken(struct native_call *c, struct mp_bytes name,
			  const struct principal *who)
{
	return native_complain(
		c, STATUS_ERROR,
		"%.*s is bound already, by %.100s%s%.100s (process %d)",
		(int)name.size, name.p,
		who->service[0] ? who->service : who->program,
		who->service[0] ? " running " : "",
		who->service[0] ? who->program : "", (int)who->pid);
}

static int complain_bind(struct native_call *c, struct mp_bytes name, int error,
			 const struct principal *who)
{
	switch (error) {
	case -EEXIST:
		return complain_taken(c, name, who);
	case -EALREADY:
		return native_complain(c, STATUS_ERROR,
				       "this process has bound %.*s already",
				       (int)name.size, name.p);
	case -EPERM:
		return native_complain(c, STATUS_DENIED,
				       "%.*s is one of thox's own names",
				       (int)name.size, name.p);
	case -ENOSPC:
		return native_complain(c, STATUS_TOO_LARGE,
				       "this process has bound %u names",
				       PRINCIPAL_BINDINGS_MAX);
	}
	return native_complain(c, STATUS_ERROR, "%s", strerror(-error));
}

/* A part of what somebody provides is nothing free. */
static int check_below(struct native_call *c, struct mp_bytes name)
{
	const struct bus_name *above = bus_below_other(c->as, name);

	if (!above || policy_names(c->as->policy, POLICY_BIND, name))
		return STATUS_OK;
	return native_complain(c, STATUS_ERROR,
			       "%.*s lies below %s, which another process "
			       "provides",
			       (int)name.size, name.p, above->name);
}

int native_bind(struct native_call *c)
{
	const struct principal *who = NULL;
	struct mp_bytes name;
	bool fallback;
	int r = read_name(c, &name);

	r = r ? r : read_options(c, &fallback);
	r = r ? r : native_check(c, POLICY_BIND, name);
	r = r ? r : check_below(c, name);
	if (r != STATUS_OK)
		return r;
	r = bus_bind(c->as, name, fallback, &who);
	/* for an earlier thoxd, which did not live to say so */
	if (r == -EALREADY && c->zero->adopted)
		r = 0;
	return r < 0 ? complain_bind(c, name, r, who) : STATUS_OK;
}

int native_unbind(struct native_call *c)
{
	struct mp_bytes name;
	int r = read_name(c, &name);

	if (r != STATUS_OK)
		return r;
	if (bus_unbind(c->as, name) < 0)
		return native_complain(c, STATUS_NOT_FOUND,
				       "this process has not bound %.*s",
				       (int)name.size, name.p);
	return STATUS_OK;
}

int native_bus_list(struct native_call *c)
{
	bus_write_list(c->server, &c->values);
	c->n_values = 1;
	return STATUS_OK;
}
