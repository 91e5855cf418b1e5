/* A name's past: since when is it the same program? */

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "fs/private.h"

struct since {
	uint64_t version; /* newer ones are another's */
	int64_t absence_ns;
	int64_t published_ns; /* the oldest text of it so far; 0: none */
	int64_t since_ns;
};

/* From the newest back. */
static int look(const struct record *rec, uint32_t at, void *user)
{
	struct since *s = user;

	(void)at;
	if (rec->type == RECORD_PURGED)
		return 1;
	if (rec->type == RECORD_PUBLISHED && rec->version <= s->version)
		s->published_ns = rec->time_ns;
	if (rec->type != RECORD_REMOVED || s->published_ns == 0 ||
	    s->published_ns - rec->time_ns < s->absence_ns)
		return 0;
	s->since_ns = s->published_ns;
	return 1;
}

int store_since(struct store *s, enum store_dir dir, const char *name,
		uint64_t version, int64_t absence_ns, uint64_t *ret_since_ns)
{
	struct since since = { .version = version, .absence_ns = absence_ns };
	struct index_node *node;
	int r;

	*ret_since_ns = 0;
	if (!name_valid(name) || (unsigned)dir >= DIR_DATA)
		return -EINVAL;
	pthread_mutex_lock(&s->memory);
	r = index_follow(&s->index);
	node = r < 0 ? NULL : index_find(&s->index, dir, name);
	if (node)
		r = index_walk(&s->index, node, look, &since);
	pthread_mutex_unlock(&s->memory);
	if (r >= 0 && since.since_ns > 0)
		*ret_since_ns = (uint64_t)since.since_ns;
	return r < 0 ? r : 0;
}
