/*
 * Step 9: a process reads and changes the store.
 *
 * Whoever may change a text decides what runs for all who use it, so the
 * policy of kind `store` is asked, for `programs.NAME` and so on. What is
 * read is read in the loop: texts are small, and mostly in the kernel's
 * memory. What is written goes through the worker (publish.h).
 */

#include "thoxd/native_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/util.h"
#include "thoxd/native.h"
#include "thoxd/publish.h"
#include "thoxd/server.h"

/* --- which text -----------------------------------------------------------
 */

static const struct {
	const char *word;
	enum store_dir dir;
} kinds[] = {
	{ "program", DIR_PROGRAMS },
	{ "library", DIR_LIBRARIES },
	{ "runtime", DIR_RUNTIMES },
};

/* By the first part of the call's name, which the table has. */
static enum store_dir dir_of(const struct native_call *c)
{
	struct mp_bytes word = c->name;
	const char *dot = memchr(word.p, '.', word.size);

	if (dot)
		word.size = (size_t)(dot - word.p);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (mp_bytes_equal(word, kinds[i].word))
			return kinds[i].dir;
	return DIR_PROGRAMS;
}

static int read_reference(struct native_call *c, struct name_ref *ret)
{
	struct mp_bytes text = mp_read_str(&c->args);
	char copy[NAME_MAX_BYTES + 32];
	const char *rule = "too long";

	if (c->args.bad)
		return native_complain(c, STATUS_INVALID, "a name is wanted");
	if (mp_bytes_copy(text, copy, sizeof(copy)) < 0 ||
	    name_parse(copy, false, ret, &rule) < 0)
		return native_complain(c, STATUS_INVALID,
				       "not a name of the store: %s", rule);
	return STATUS_OK;
}

/* One that may be written: itself, no version of it. */
static int read_name(struct native_call *c, struct name_ref *ret)
{
	int r = read_reference(c, ret);

	if (r != STATUS_OK)
		return r;
	if (ret->kind != REF_LIVE || name_scratch(ret->name))
		return native_complain(c, STATUS_INVALID,
				       "'%s' is no name that a text can have",
				       ret->name);
	return STATUS_OK;
}

static int check_store(struct native_call *c, const char *name)
{
	char full[NAME_MAX_BYTES + 32];
	int n = snprintf(full, sizeof(full), "%s.%s", store_dir_name(dir_of(c)),
			 name);

	return native_check(c, POLICY_STORE,
			    (struct mp_bytes){ full, (size_t)n });
}

static int complain_store(struct native_call *c, int error)
{
	switch (error) {
	case -ENOENT:
		return native_complain(c, STATUS_NOT_FOUND,
				       "there is no such name");
	case -EPERM:
		return native_complain(c, STATUS_DENIED,
				       "it is built in, and cannot be removed");
	case -EROFS:
		return native_complain(c, STATUS_ERROR,
				       "the store cannot be written");
	case -EFBIG:
		return native_complain(c, STATUS_TOO_LARGE,
				       "the text is over the store's limit "
				       "(file-limit in thoxd.conf)");
	case -ENOSPC:
		return native_complain(c, STATUS_TOO_LARGE,
				       "the store is full");
	case -EDQUOT:
		return native_complain(c, STATUS_TOO_LARGE,
				       "too many texts wait to be published");
	}
	return native_complain(c, STATUS_ERROR, "%s", strerror(-error));
}

/* --- reading --------------------------------------------------------------
 */

static int write_text(struct native_call *c, int fd, uint64_t version)
{
	struct stat st;
	uint8_t *text;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return complain_store(c, -errno);
	if (st.st_size > (off_t)NATIVE_TEXT_BYTES)
		return native_complain(c, STATUS_TOO_LARGE,
				       "the text has more than %u bytes",
				       NATIVE_TEXT_BYTES);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return complain_store(c, -ENOMEM);
	n = fd_read_full(fd, text, (size_t)st.st_size);
	if (n >= 0) {
		mp_write_strn(&c->values, (char *)text, (size_t)n);
		mp_write_uint(&c->values, version);
		c->n_values = 2;
	}
	free(text);
	return n < 0 ? complain_store(c, (int)n) : STATUS_OK;
}

int native_store_get(struct native_call *c)
{
	_cleanup_(fd_closep) int fd = -1;
	struct store_entry entry;
	struct name_ref ref;
	int r = read_reference(c, &ref);

	if (r != STATUS_OK)
		return r;
	r = store_resolve(c->server->store, dir_of(c), &ref, &entry, &fd);
	if (r == -ENOENT) {
		mp_write_nil(&c->values);
		c->n_values = 1;
		return STATUS_OK;
	}
	return r < 0 ? complain_store(c, r) : write_text(c, fd, entry.version);
}

static int on_name(const char *name, uint64_t id, bool builtin, bool symlink,
		   void *user)
{
	struct mp_writer *w = user;

	(void)id;
	(void)builtin;
	(void)symlink;
	mp_write_str(w, name);
	return 0;
}

static int on_count(const char *name, uint64_t id, bool builtin, bool symlink,
		    void *user)
{
	uint32_t *n = user;

	(void)name;
	(void)id;
	(void)builtin;
	(void)symlink;
	(*n)++;
	return 0;
}

int native_store_list(struct native_call *c)
{
	struct store *s = c->server->store;
	uint32_t n = 0;
	int r = store_names(s, dir_of(c), on_count, &n);

	if (r < 0)
		return complain_store(c, r);
	mp_write_array(&c->values, n);
	c->n_values = 1;
	r = store_names(s, dir_of(c), on_name, &c->values);
	return r < 0 ? complain_store(c, r) : STATUS_OK;
}

/* --- writing --------------------------------------------------------------
 */

static void on_told(struct publication *p)
{
	struct native_call *c = p->user;
	int status = STATUS_OK;

	if (p->verdict.result < 0)
		status = native_complain(c, STATUS_INVALID, "%s",
					 p->verdict.reason);
	else if (p->result < 0)
		status = complain_store(c, p->result);
	else if (!p->remove) {
		mp_write_uint(&c->values, p->version);
		c->n_values = 1;
	}
	native_finish(c, status);
}

/* What was asked is done all the same. */
static void on_drop(struct native_call *c)
{
	struct publication *p = c->user;

	p->told = NULL;
}

static int start(struct native_call *c, const char *name, struct mp_bytes text,
		 bool remove)
{
	struct publication *p;
	int r = publication_new(c->server, dir_of(c), name, text, &p);

	if (r < 0)
		return complain_store(c, r);
	p->remove = remove;
	p->writer.uid = geteuid();
	p->writer.pid = c->as->pid;
	snprintf(p->writer.command, sizeof(p->writer.command), "%s",
		 c->as->program);
	policy_digest(c->as->policy, p->writer.confined);
	p->told = on_told;
	p->user = c;
	r = publication_start(p);
	if (r < 0)
		return complain_store(c, r);
	c->user = p;
	c->on_drop = on_drop;
	return NATIVE_LATER;
}

int native_store_set(struct native_call *c)
{
	struct mp_bytes text;
	struct name_ref ref;
	int r = read_name(c, &ref);

	if (r != STATUS_OK)
		return r;
	text = mp_read_str(&c->args);
	if (c->args.bad || c->n_args != 2)
		return native_complain(c, STATUS_INVALID,
				       "a name and a text are wanted");
	r = check_store(c, ref.name);
	return r != STATUS_OK ? r : start(c, ref.name, text, false);
}

int native_store_remove(struct native_call *c)
{
	struct mp_bytes none = { "", 0 };
	struct store_entry entry;
	struct name_ref ref;
	int r = read_name(c, &ref);

	if (r == STATUS_OK)
		r = check_store(c, ref.name);
	if (r != STATUS_OK)
		return r;
	r = store_lookup(c->server->store, dir_of(c), ref.name, &entry);
	if (r == 0 && entry.builtin)
		r = -EPERM;
	return r < 0 ? complain_store(c, r) : start(c, ref.name, none, true);
}
