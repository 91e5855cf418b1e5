#pragma once

/*
 * Publishing for processes: a text is checked and becomes a version, or a
 * name is removed; both in the worker, since both wait for a disk.
 *
 * thoxd parses no text: thox-verifier does, started with the first one. What
 * is refused is kept as rejected, as it is of a `cp`.
 */

#include <stdint.h>

#include "fs/name.h"
#include "fs/store.h"
#include "fs/verify.h"
#include "rpc/mp.h"
#include "thoxd/worker.h"

#define PUBLISH_BYTES_MAX (32U << 20) /* of texts that wait, of everybody */

struct server;

/* Owned by whoever made it until publish_start(); by itself from then on. */
struct publication {
	struct server *server;
	enum store_dir dir;
	char name[NAME_MAX_BYTES + 1];
	bool remove; /* instead of a text */
	char *text;  /* owned */
	size_t size;
	struct store_writer writer;
	/* told in the loop, once; NULL: nobody wants to know any more */
	void (*told)(struct publication *p);
	void *user;

	/* how it went: 0, or -errno; a text that was refused: -EINVAL and the
	 * reason in @verdict */
	int result;
	struct verdict verdict;
	uint64_t version;

	struct job job;
};

/* @text is copied. -ENOMEM; -EDQUOT: too much waits already. */
int publication_new(struct server *s, enum store_dir dir, const char *name,
		    struct mp_bytes text, struct publication **ret);
/* -errno: nothing will come of it, and it is freed. */
int publication_start(struct publication *p);
