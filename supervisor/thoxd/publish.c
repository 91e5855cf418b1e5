/*
 * Beside step 4: what a process wrote becomes a program, library or runtime.
 */

#include "thoxd/publish.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/instance.h"
#include "base/log.h"
#include "thoxd/server.h"

/* --- in the worker --------------------------------------------------------
 */

static void text_freep(struct store_text **t)
{
	*t = store_text_free(*t);
}

static int verify_once(struct publication *p, int fd)
{
	static struct verifier *verifier; /* the worker's alone */
	char path[PATH_MAX];
	int r = 0;

	snprintf(path, sizeof(path), "%s/thox-verifier",
		 instance_libexec_dir());
	if (!verifier)
		r = verifier_new(path, &verifier);
	if (r == 0)
		r = verifier_check(verifier, p->dir, p->name, fd, &p->verdict);
	if (r < 0)
		verifier = verifier_free(verifier);
	return r;
}

static int commit(struct publication *p, struct store_change *change)
{
	int r = store_commit(p->server->store, change, 1);

	return r < 0 ? r : change->result;
}

static int put(struct publication *p)
{
	_cleanup_(text_freep) struct store_text *text = NULL;
	struct store_change change = {
		.event = STORE_PUBLISHED,
		.dir = p->dir,
		.name = p->name,
		.writer = p->writer,
		.runtime = p->verdict.runtime,
	};
	int r = store_text_from_bytes(p->server->store, p->dir, p->name,
				      p->text, p->size, &text);

	if (r < 0)
		return r;
	r = verify_once(p, store_text_fd(text));
	if (r == -EPIPE) /* it had died; a new one is asked */
		r = verify_once(p, store_text_fd(text));
	if (r < 0)
		return r;
	change.text = text;
	if (p->verdict.result < 0) {
		change.event = STORE_REJECTED;
		change.reason = p->verdict.reason;
	}
	r = commit(p, &change);
	p->version = change.ret_entry.version;
	return r < 0 ? r : p->verdict.result;
}

static int take_away(struct publication *p)
{
	struct store_change change = {
		.event = STORE_REMOVED,
		.dir = p->dir,
		.name = p->name,
		.writer = p->writer,
	};

	return commit(p, &change);
}

static void work(struct job *j)
{
	struct publication *p = container_of(j, struct publication, job);

	p->result = p->remove ? take_away(p) : put(p);
}

/* --- in the loop ----------------------------------------------------------
 */

static void publication_free(struct publication *p)
{
	p->server->publishing_bytes -= p->size;
	free(p->text);
	free(p);
}

static void done(struct job *j)
{
	struct publication *p = container_of(j, struct publication, job);

	log_debug("%s %s/%s for pid=%d: %s", p->remove ? "remove" : "publish",
		  store_dir_name(p->dir), p->name, (int)p->writer.pid,
		  p->result == 0	  ? "done"
		  : p->verdict.result < 0 ? p->verdict.reason
					  : strerror(-p->result));
	if (p->told)
		p->told(p);
	publication_free(p);
}

int publication_new(struct server *s, enum store_dir dir, const char *name,
		    struct mp_bytes text, struct publication **ret)
{
	struct publication *p;

	if (text.size > PUBLISH_BYTES_MAX - s->publishing_bytes)
		return -EDQUOT;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->text = malloc(text.size + 1);
	if (!p->text) {
		free(p);
		return -ENOMEM;
	}
	if (text.size > 0)
		memcpy(p->text, text.p, text.size);
	p->size = text.size;
	p->server = s;
	p->dir = dir;
	snprintf(p->name, sizeof(p->name), "%s", name);
	s->publishing_bytes += p->size;
	*ret = p;
	return 0;
}

int publication_start(struct publication *p)
{
	struct server *s = p->server;
	int r = s->worker ? 0 : worker_new(s->loop, &s->worker);

	if (r < 0) {
		publication_free(p);
		return r;
	}
	p->job = (struct job){ .work = work, .done = done };
	worker_add(s->worker, &p->job);
	return 0;
}
