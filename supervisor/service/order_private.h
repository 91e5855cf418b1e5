#pragma once

/* What order.c and plan.c share. */

#include "service/order.h"

/* What a service says of another. */
enum said {
	REQUIRES = 1,
	WANTS = 2,
	AFTER = 4,
	BEFORE = 8,
	PART_OF = 16,
};

struct edge {
	uint32_t node;
	unsigned said;
};

struct edges {
	struct edge *items;
	uint32_t n, capacity;
};

struct node {
	struct edges out, in;
	void *user;
	uint32_t index;
	bool present;
	/* of the plan that is being made */
	bool chosen;
	bool placed;
	uint32_t wave;
	uint32_t waits;	  /* for so many of the plan */
	const char *name; /* behind the node; a key's is its caller's */
};

struct order {
	struct node **nodes;
	uint32_t n, capacity;
	void *by_name; /* a tree of tsearch() */
};
