/* Looking after the store: is every byte still what it was? */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

static int verify_content(struct store *s, const struct store_entry *e)
{
	_cleanup_(fd_closep) int fd = -1;
	uint8_t sha256[RECORD_SHA256_BYTES] = { 0 };
	char hex[STORE_SHA256_HEX + 1];
	int r;

	if (e->target[0])
		return 0;
	r = store_read_id(s, e->id, NULL, NULL, &fd);
	if (r == 0)
		r = content_hash(fd, e->size_bytes, sha256);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(sha256); i++)
		snprintf(hex + 2 * i, 3, "%02x", sha256[i]);
	return strcmp(hex, e->sha256) == 0 ? 0 : -EBADMSG;
}

struct verify {
	struct store *s;
	enum store_dir dir;
	const char *name;
	store_verify_fn fn;
	void *user;
};

static int verify_entry(const struct store_entry *e, void *user)
{
	struct verify *v = user;

	if (e->builtin || e->event == STORE_REMOVED)
		return 0;
	/* Of refused texts only the newest is kept. */
	if (e->event == STORE_REJECTED)
		return 0;
	return v->fn(v->dir, v->name, e, verify_content(v->s, e), v->user);
}

/* Names with a past, live or not. */
static int past_names(struct store *s, enum store_dir dir, char ***ret_names,
		      size_t *ret_count)
{
	struct index *ix = &s->index;
	size_t n = 0;
	char **names;
	int r;

	pthread_mutex_lock(&s->memory);
	r = index_follow(ix);
	names = r < 0 ? NULL : calloc(ix->node_count + 1, sizeof(char *));
	for (size_t i = 0; names && i < ix->table_size; i++)
		if (ix->table[i] && ix->table[i]->dir == dir &&
		    ix->table[i]->last) {
			names[n] = strdup(ix->table[i]->name);
			n += names[n] != NULL;
		}
	pthread_mutex_unlock(&s->memory);
	if (!names)
		return r < 0 ? r : -ENOMEM;
	*ret_names = names;
	*ret_count = n;
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int store_verify(struct store *s, store_verify_fn fn, void *user)
{
	int r = 0;

	for (int i = 0; i < DIR_DATA && r == 0; i++) {
		struct verify v = {
			.s = s, .dir = (enum store_dir)i, .fn = fn, .user = user
		};
		char **names;
		size_t count;

		r = past_names(s, v.dir, &names, &count);
		if (r < 0)
			return r;
		qsort(names, count, sizeof(*names), by_text);
		for (size_t j = 0; j < count; j++) {
			v.name = names[j];
			if (r == 0)
				r = store_log(s, v.dir, v.name, verify_entry,
					      &v);
			if (r == -ENOENT) /* purged meanwhile */
				r = 0;
			free(names[j]);
		}
		free(names);
	}
	return r;
}
