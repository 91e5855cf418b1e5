#pragma once

/*
 * Intrusive lists: a ring through its members; the head is a member of none.
 * A member that was initialised may be removed any number of times.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/util.h"

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* At the end. */
static inline void list_append(struct list *head, struct list *l)
{
	l->next = head;
	l->prev = head->prev;
	head->prev->next = l;
	head->prev = l;
}

static inline void list_remove(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

#define list_entry(l, type, member) container_of(l, type, member)

/* The first member, which must be there. */
#define list_first(head, type, member) list_entry((head)->next, type, member)

/* The body may remove @at, but not @after. */
#define list_each(at, after, head, member)                                     \
	for (at = list_first(head, __typeof__(*at), member),                   \
	    after = list_entry(at->member.next, __typeof__(*at), member);      \
	     &at->member != (head); at = after,                                \
	    after = list_entry(at->member.next, __typeof__(*at), member))
