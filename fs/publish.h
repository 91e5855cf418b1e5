#pragma once

/*
 * A batch of changes on its way, for plan.c, publish.c and queue.c.
 *
 * The batch is used by the thread that leads it, under the store's lock.
 */

#include "fs/private.h"

/* What a name shows at some point of the plan. */
struct state {
	uint64_t live_id, live_version, live_draft, max_version;
};

struct step {
	struct store_change *change;
	struct record rec;
	struct state before;
	bool journaled, together;
	bool apart; /* text is synced in its own file */
};

struct batch {
	struct store *s;
	struct step *steps;
	size_t count;
	struct journal_batch journal;
	bool apart;
};

/* Say what @step's change means, as a record and in the journal's batch. The
 * steps before it in the batch count as done. */
int batch_plan(struct batch *b, struct step *step);
/* The planned step before @step that changes what the same name shows, or
 * NULL. */
struct step *batch_before(struct batch *b, const struct step *step);
/* Journal, files, index. Sets each change's result; an error is the store's. */
int batch_run(struct batch *b);
