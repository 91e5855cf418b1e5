/*
 * Step 7, in a runner: names of its own.
 */

#include "runner/provide.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "rpc/wire.h"
#include "runner/channel.h"
#include "runner/tell.h"

struct provided {
	struct list list;
	struct list callers; /* channels */
	bool moving;
	size_t name_size;
	char name[WIRE_NAME_BYTES];
};

static struct list provided = { &provided, &provided };

static struct provided *find(struct mp_bytes name)
{
	struct provided *p, *after;

	list_each(p, after, &provided,
		  list) if (p->name_size == name.size &&
			    memcmp(p->name, name.p, name.size) == 0) return p;
	return NULL;
}

static struct provided *get(struct mp_bytes name)
{
	struct provided *p = find(name);

	if (p || name.size > sizeof(p->name))
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->name_size = name.size;
	memcpy(p->name, name.p, name.size);
	list_init(&p->callers);
	list_append(&provided, &p->list);
	return p;
}

static void release(struct provided *p)
{
	list_remove(&p->list);
	free(p);
}

/* Nobody calls any more: thoxd may end this instance. */
static void settle(struct provided *p)
{
	struct channel *c, *after;

	list_each(c, after, &p->callers,
		  list) if (c->n_served > 0 || (p->moving && !c->moved)) return;
	if (p->moving) {
		tell_notice("left", p->name, p->name_size);
		p->moving = false;
	}
	if (list_empty(&p->callers))
		release(p);
}

void provide_add_caller(struct mp_bytes name, struct channel *c)
{
	struct provided *p = get(name);

	if (!p) {
		channel_close(c, true);
		return;
	}
	c->provided = p;
	list_append(&p->callers, &c->list);
}

void provide_caller_closed(struct channel *c)
{
	struct provided *p = c->provided;

	if (!p)
		return;
	c->provided = NULL;
	list_remove(&c->list);
	settle(p);
}

void provide_move(struct mp_bytes name)
{
	struct provided *p = get(name);
	struct channel *c, *after;
	uint8_t buf[8];
	struct mp_writer w;

	if (!p) {
		tell_notice("left", name.p, name.size);
		return;
	}
	mp_writer_init(&w, buf, sizeof(buf));
	wire_write_moved(&w);
	p->moving = true;
	list_each(c, after, &p->callers, list) if (!c->moved)
		channel_post(c, buf, w.used);
	settle(p);
}

void provide_on_moved(struct channel *c)
{
	c->moved = true;
	provide_settle(c);
}

void provide_settle(struct channel *c)
{
	if (c->provided && c->provided->moving)
		settle(c->provided);
}
