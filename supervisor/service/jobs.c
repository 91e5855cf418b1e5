/*
 * Step 4, for services: whose turn it is.
 *
 * Every end of a job looks at its neighbours only. Callbacks that end jobs at
 * once do not nest: what they set free is queued, and the outermost call goes
 * through the queue.
 */

#include "service/jobs.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

struct job {
	uint8_t kind; /* what is to be done now: START or STOP, or NONE */
	bool begun;
	bool then_start; /* of a stop: a restart */
	bool unordered;	 /* of a stop in a cycle: waits for nobody */
	bool queued;
};

struct jobs {
	struct order *order;
	const struct jobs_ops *ops;
	void *user;
	struct job *jobs; /* by node */
	uint32_t n;
	size_t pending;
	/* Nodes to be looked at. A node is in it once at most. */
	uint32_t *queue;
	size_t head, tail;
	bool busy;
};

int jobs_new(struct order *order, const struct jobs_ops *ops, void *user,
	     struct jobs **ret_jobs)
{
	struct jobs *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->order = order;
	j->ops = ops;
	j->user = user;
	*ret_jobs = j;
	return 0;
}

struct jobs *jobs_free(struct jobs *j)
{
	if (!j)
		return NULL;
	free(j->jobs);
	free(j->queue);
	free(j);
	return NULL;
}

/* Room for every node of the graph, in the queue too, which is a ring: so
 * nothing after this can run out of memory. */
static int make_room(struct jobs *j)
{
	uint32_t n = order_count(j->order);
	uint32_t *queue;
	struct job *jobs;

	if (n <= j->n)
		return 0;
	n += n / 2;
	jobs = realloc(j->jobs, n * sizeof(*jobs));
	if (!jobs)
		return -ENOMEM;
	j->jobs = jobs;
	for (uint32_t i = j->n; i < n; i++)
		jobs[i] = (struct job){ .kind = JOB_NONE };
	queue = malloc((n + 1) * sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	/* Not while it is being gone through: ops may not add. */
	free(j->queue);
	j->queue = queue;
	j->head = j->tail = 0;
	j->n = n;
	return 0;
}

/* --- whose turn is it? --------------------------------------------------- */

static int has_job(void *user, uint32_t node)
{
	const struct jobs *j = user;

	return node < j->n && j->jobs[node].kind != JOB_NONE;
}

static int has_stop(void *user, uint32_t node)
{
	const struct jobs *j = user;

	return node < j->n && j->jobs[node].kind == JOB_STOP;
}

static bool may_begin(struct jobs *j, uint32_t node)
{
	const struct job *job = &j->jobs[node];

	if (job->kind == JOB_NONE || job->begun)
		return false;
	if (job->kind == JOB_START)
		return !order_each(j->order, node, ORDER_PREDECESSORS, has_job,
				   j);
	return job->unordered ||
	       !order_each(j->order, node, ORDER_SUCCESSORS, has_stop, j);
}

static int look_at(void *user, uint32_t node)
{
	struct jobs *j = user;

	if (node >= j->n || j->jobs[node].queued ||
	    j->jobs[node].kind == JOB_NONE)
		return 0;
	j->jobs[node].queued = true;
	j->queue[j->tail] = node;
	j->tail = (j->tail + 1) % (j->n + 1);
	return 0;
}

static void look_around(struct jobs *j, uint32_t node)
{
	order_each(j->order, node, ORDER_SUCCESSORS, look_at, j);
	order_each(j->order, node, ORDER_PREDECESSORS, look_at, j);
}

static void go(struct jobs *j)
{
	if (j->busy)
		return;
	j->busy = true;
	while (j->head != j->tail) {
		uint32_t node = j->queue[j->head];
		struct job *job = &j->jobs[node];

		j->head = (j->head + 1) % (j->n + 1);
		job->queued = false;
		if (!may_begin(j, node))
			continue;
		job->begun = true;
		if (job->kind == JOB_START)
			j->ops->start(j->user, node);
		else
			j->ops->stop(j->user, node);
	}
	j->busy = false;
}

/* --- new jobs ------------------------------------------------------------ */

static void give(struct jobs *j, uint32_t node, enum job_kind kind)
{
	struct job *job = &j->jobs[node], old = *job;

	if (job->kind == JOB_NONE)
		j->pending++;
	if (kind == JOB_START && old.kind == JOB_STOP &&
	    (old.begun || old.then_start)) {
		job->then_start = true;
	} else if (kind == JOB_START) {
		job->kind = JOB_START;
		job->begun = old.kind == JOB_START && old.begun;
		job->then_start = false;
	} else {
		job->kind = JOB_STOP;
		job->begun = old.kind == JOB_STOP && old.begun;
		job->then_start = kind == JOB_RESTART;
	}
}

/* Would any wait for itself? Those that have begun wait no more, but a stop
 * that has may become a start. */
static int check(struct jobs *j, const struct order_plan *plan,
		 struct order_problem *ret_problem)
{
	_cleanup_(freep) uint32_t *nodes = NULL;
	struct order_plan all = { 0 };
	size_t n = 0;
	int r;

	nodes = malloc((j->pending + plan->n + 1) * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	for (uint32_t i = 0; j->pending > 0 && i < j->n; i++)
		if (j->jobs[i].kind != JOB_NONE)
			nodes[n++] = i;
	for (size_t i = 0; i < plan->n; i++)
		nodes[n++] = plan->steps[i].node;
	r = order_plan_exactly(j->order, nodes, n, &all, ret_problem);
	order_plan_deinit(&all);
	return r;
}

int jobs_add(struct jobs *j, const struct order_plan *plan, enum job_kind kind,
	     struct order_problem *ret_problem)
{
	bool unordered = false;
	int r = make_room(j);

	ret_problem->text[0] = '\0';
	if (r == 0)
		r = check(j, plan, ret_problem);
	/* Definitions may have changed since a start; a stop must be. */
	if (r == -ELOOP && kind == JOB_STOP) {
		unordered = true;
		r = 0;
	}
	if (r < 0)
		return r;
	for (size_t i = 0; i < plan->n; i++) {
		give(j, plan->steps[i].node, kind);
		j->jobs[plan->steps[i].node].unordered = unordered;
	}
	for (size_t i = 0; i < plan->n; i++) {
		look_at(j, plan->steps[i].node);
		/* a start that became a stop, for instance */
		look_around(j, plan->steps[i].node);
	}
	go(j);
	return 0;
}

/* --- ends ---------------------------------------------------------------- */

static void remove_job(struct jobs *j, uint32_t node)
{
	bool queued = j->jobs[node].queued;

	j->jobs[node] = (struct job){ .kind = JOB_NONE, .queued = queued };
	j->pending--;
	look_around(j, node);
}

struct dropping {
	struct jobs *jobs;
	uint32_t because;
	uint32_t *nodes; /* dropped, to be gone on from */
	size_t n;
};

static int drop(void *user, uint32_t node)
{
	struct dropping *d = user;
	struct jobs *j = d->jobs;

	if (node >= j->n || j->jobs[node].kind != JOB_START ||
	    j->jobs[node].begun)
		return 0;
	remove_job(j, node);
	j->ops->dropped(j->user, node, d->because);
	if (d->nodes)
		d->nodes[d->n++] = node;
	return 0;
}

/* All that require @node, however far, in one go: deep chains do not nest.
 * Without memory the nearest are dropped, and theirs when they fail. */
static void drop_those_that_require(struct jobs *j, uint32_t node)
{
	struct dropping d = { .jobs = j, .because = node };

	d.nodes = malloc((j->pending + 1) * sizeof(*d.nodes));
	order_each(j->order, node, ORDER_REQUIRED_BY, drop, &d);
	for (size_t i = 0; i < d.n; i++) {
		d.because = d.nodes[i];
		order_each(j->order, d.nodes[i], ORDER_REQUIRED_BY, drop, &d);
	}
	free(d.nodes);
}

void jobs_done(struct jobs *j, uint32_t node, bool ok)
{
	struct job *job;

	if (node >= j->n || !j->jobs[node].begun)
		return;
	job = &j->jobs[node];
	if (job->kind == JOB_STOP && job->then_start) {
		*job = (struct job){ .kind = JOB_START, .queued = job->queued };
		look_at(j, node);
		look_around(j, node);
	} else if (job->kind == JOB_START && !ok) {
		remove_job(j, node);
		drop_those_that_require(j, node);
	} else {
		remove_job(j, node);
	}
	go(j);
}

enum job_kind jobs_of(const struct jobs *j, uint32_t node, bool *ret_begun)
{
	if (node >= j->n)
		return JOB_NONE;
	if (ret_begun)
		*ret_begun = j->jobs[node].begun;
	return (enum job_kind)j->jobs[node].kind;
}

bool jobs_restarts(const struct jobs *j, uint32_t node)
{
	return node < j->n && j->jobs[node].then_start;
}

size_t jobs_pending(const struct jobs *j)
{
	return j->pending;
}
