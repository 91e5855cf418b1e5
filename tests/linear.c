/* Tests: the search for an order that explains a history. */

#include "tests/linear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORDS	      (LINEAR_OPS_MAX / 64)
#define FIRST_BUCKETS 4096U

/* What was done, in whatever order, and where that led. */
struct tried {
	uint64_t done[WORDS];
	struct linear_state state;
	bool used;
};

struct search {
	const struct linear_op *ops;
	size_t count, words;
	linear_step_fn step;
	struct linear_states *found;
	uint64_t done[WORDS];
	size_t left; /* of those that were answered */
	struct tried *table;
	size_t n_table, n_tried;
	int error;
};

static uint64_t hash_of(const struct search *s, const struct tried *t)
{
	uint64_t h = 0x9e3779b97f4a7c15ULL;

	for (size_t i = 0; i < s->words; i++)
		h = (h ^ t->done[i]) * 0xff51afd7ed558ccdULL;
	h = (h ^ (uint64_t)t->state.v[0]) * 0xc4ceb9fe1a85ec53ULL;
	h = (h ^ (uint64_t)t->state.v[1]) * 0xff51afd7ed558ccdULL;
	return h ^ h >> 32;
}

static struct tried *slot_of(const struct search *s, const struct tried *t)
{
	size_t i = hash_of(s, t) & (s->n_table - 1);

	while (s->table[i].used &&
	       (memcmp(s->table[i].done, t->done, sizeof(t->done)) != 0 ||
		memcmp(&s->table[i].state, &t->state, sizeof(t->state)) != 0))
		i = (i + 1) & (s->n_table - 1);
	return &s->table[i];
}

static int grow(struct search *s)
{
	struct tried *old = s->table;
	size_t n_old = s->n_table;

	s->n_table = n_old ? n_old * 2 : FIRST_BUCKETS;
	s->table = calloc(s->n_table, sizeof(*s->table));
	if (!s->table) {
		s->table = old;
		s->n_table = n_old;
		return -ENOMEM;
	}
	for (size_t i = 0; i < n_old; i++)
		if (old[i].used)
			*slot_of(s, &old[i]) = old[i];
	free(old);
	return 0;
}

/* True the first time. */
static bool remember(struct search *s, const struct linear_state *state)
{
	struct tried t = { .state = *state, .used = true };
	struct tried *slot;

	if (s->n_tried == LINEAR_TRIED_MAX) {
		s->error = -E2BIG;
		return false;
	}
	memcpy(t.done, s->done, sizeof(t.done));
	if (s->n_tried * 2 >= s->n_table && grow(s) < 0) {
		s->error = -ENOMEM;
		return false;
	}
	slot = slot_of(s, &t);
	if (slot->used)
		return false;
	*slot = t;
	s->n_tried++;
	return true;
}

static void note(struct search *s, const struct linear_state *state)
{
	struct linear_states *f = s->found;

	for (size_t i = 0; i < f->count; i++)
		if (memcmp(&f->states[i], state, sizeof(*state)) == 0)
			return;
	if (f->count == LINEAR_STATES_MAX)
		s->error = -E2BIG;
	else
		f->states[f->count++] = *state;
}

static bool is_done(const struct search *s, size_t i)
{
	return s->done[i / 64] >> (i % 64) & 1;
}

/* When the first of those that are still to come had ended. */
static uint64_t first_end(const struct search *s)
{
	uint64_t end = UINT64_MAX;

	for (size_t i = 0; i < s->count; i++)
		if (!is_done(s, i) && !s->ops[i].maybe &&
		    s->ops[i].answered < end)
			end = s->ops[i].answered;
	return end;
}

static void mark(struct search *s, size_t i, bool done)
{
	uint64_t bit = 1ULL << (i % 64);

	s->done[i / 64] = done ? s->done[i / 64] | bit : s->done[i / 64] & ~bit;
	if (!s->ops[i].maybe)
		s->left -= done ? 1 : (size_t)-1;
}

static void go(struct search *s, struct linear_state state);

/* One that can be done now and changes nothing may as well be done now: if
 * there is an order, there is one with it here. */
static bool go_by_unchanged(struct search *s, const struct linear_state *state,
			    uint64_t end)
{
	for (size_t i = 0; i < s->count; i++) {
		struct linear_state next = *state;

		if (is_done(s, i) || s->ops[i].maybe ||
		    s->ops[i].called > end || !s->step(s->ops[i].what, &next) ||
		    memcmp(&next, state, sizeof(next)) != 0)
			continue;
		mark(s, i, true);
		go(s, next);
		mark(s, i, false);
		return true;
	}
	return false;
}

static void go(struct search *s, struct linear_state state)
{
	uint64_t end;

	if (s->error || !remember(s, &state))
		return;
	if (s->left == 0)
		note(s, &state);
	end = first_end(s);
	if (go_by_unchanged(s, &state, end))
		return;
	for (size_t i = 0; i < s->count && !s->error; i++) {
		struct linear_state next = state;

		if (is_done(s, i) || s->ops[i].called > end ||
		    !s->step(s->ops[i].what, &next))
			continue;
		mark(s, i, true);
		go(s, next);
		mark(s, i, false);
	}
}

int linear_check(const struct linear_op *ops, size_t count, linear_step_fn step,
		 struct linear_states *states)
{
	struct linear_states found = { .count = 0 };
	struct search s = { .ops = ops,
			    .count = count,
			    .words = (count + 63) / 64,
			    .step = step,
			    .found = &found };

	if (count > LINEAR_OPS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < count; i++)
		s.left += !ops[i].maybe;
	for (size_t i = 0; i < states->count; i++)
		go(&s, states->states[i]);
	free(s.table);
	if (s.error == 0)
		*states = found;
	return s.error;
}
