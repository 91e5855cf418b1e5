/*
 * Step 4: a name becomes a text and a runtime.
 *
 * The store is asked each time: what `cp` published before this call is what
 * runs, whether or not its event was read yet. Its open files are followed,
 * not its mount, so nothing here waits for FUSE.
 */

#include "thoxd/program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/suggest.h"
#include "rpc/status.h"
#include "thoxd/server.h"

#define NATIVE "native"

static int refuse(struct refusal *why, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct refusal *why, int status, const char *format, ...)
{
	va_list ap;

	why->status = status;
	va_start(ap, format);
	vsnprintf(why->message, sizeof(why->message), format, ap);
	va_end(ap);
	return -1;
}

static int on_name(const char *name, uint64_t id, bool builtin, bool symlink,
		   void *user)
{
	(void)id;
	(void)builtin;
	(void)symlink;
	suggest_offer(user, name);
	return 0;
}

static void hint(struct server *s, enum store_dir dir, const char *name,
		 struct refusal *why)
{
	struct suggest best;

	suggest_init(&best, name);
	(void)store_names(s->store, dir, on_name, &best);
	snprintf(why->hint, sizeof(why->hint), "%s", best.name);
}

/* A name that never had a good text: a shell's redirection did not say so. */
static bool was_refused(struct server *s, enum store_dir dir,
			const struct name_ref *ref,
			struct store_entry *ret_entry)
{
	struct name_ref newest = *ref;

	if (ref->kind != REF_LIVE)
		return false;
	newest.kind = REF_REJECTED;
	return store_resolve(s->store, dir, &newest, ret_entry, NULL) == 0;
}

/* What the store says no with, in words; @what is the kind of thing. */
static int refuse_store(struct server *s, enum store_dir dir, const char *what,
			const struct name_ref *ref, int error,
			struct refusal *why)
{
	char version[32] = "";
	struct store_entry entry;

	if (ref->kind == REF_VERSION)
		snprintf(version, sizeof(version), "@%llu",
			 (unsigned long long)ref->version);
	else if (ref->kind == REF_REJECTED)
		snprintf(version, sizeof(version), "@rejected");
	if (error != -ENOENT)
		return refuse(why, STATUS_ERROR, "%s '%s%s' cannot be read: %s",
			      what, ref->name, version, strerror(-error));
	if (was_refused(s, dir, ref, &entry))
		return refuse(why, STATUS_NOT_FOUND,
			      "no such %s: '%s'; the text written to it was "
			      "refused: %s",
			      what, entry.name, entry.reason);
	hint(s, dir, ref->name, why);
	return refuse(why, STATUS_NOT_FOUND, "no such %s: '%s%s'", what,
		      ref->name, version);
}

static int open_runtime(struct server *s, const char *text, struct program *p,
			struct refusal *why)
{
	struct store_entry entry;
	struct name_ref ref;
	const char *rule;
	int r;

	strcpy(p->runtime, NATIVE);
	if (text[0] == '\0' || strcmp(text, NATIVE) == 0)
		return 0;
	if (name_parse(text, false, &ref, &rule) < 0)
		return refuse(why, STATUS_INVALID,
			      "%s is no name of a runtime: %s", log_quote(text),
			      rule);
	r = store_resolve(s->store, DIR_RUNTIMES, &ref, &entry, &p->runtime_fd);
	if (r < 0)
		return refuse_store(s, DIR_RUNTIMES, "runtime", &ref, r, why);
	strcpy(p->runtime, entry.name);
	p->runtime_version = entry.version;
	p->runtime_id = entry.id;
	strcpy(p->runtime_confined, entry.writer.confined);
	return 0;
}

static void notice_rejected(const struct name_ref *ref,
			    const struct store_entry *entry, struct program *p)
{
	char version[40] = "the built-in one";

	if (ref->kind != REF_LIVE || entry->rejected_id == 0)
		return;
	if (entry->version > 0)
		snprintf(version, sizeof(version), "version %llu",
			 (unsigned long long)entry->version);
	snprintf(p->notice, sizeof(p->notice),
		 "the newest text of '%s' was refused; %s runs (thoxctl store "
		 "log %s)",
		 entry->name, version, entry->name);
}

/* A program of the store; its runtime: asked for, `#`, its first line. */
static int open_stored(struct server *s, const struct run_spec *q,
		       const char *runtime, struct program *p,
		       struct refusal *why)
{
	char text[2 * NAME_MAX_BYTES + 32];
	struct store_entry entry;
	struct name_ref ref;
	const char *rule = "too long";
	int r;

	if (mp_bytes_copy(q->name, text, sizeof(text)) < 0 ||
	    name_parse(text, true, &ref, &rule) < 0) {
		char cut[128];

		snprintf(cut, sizeof(cut), "%.*s",
			 (int)(q->name.size < 100 ? q->name.size : 100),
			 q->name.p);
		return refuse(why, STATUS_INVALID,
			      "%s is no name of a program: %s", log_quote(cut),
			      rule);
	}
	r = store_resolve(s->store, DIR_PROGRAMS, &ref, &entry, &p->text_fd);
	if (r < 0)
		return refuse_store(s, DIR_PROGRAMS, "program", &ref, r, why);
	strcpy(p->name, entry.name);
	p->version = entry.version;
	p->stored = true;
	notice_rejected(&ref, &entry, p);
	if (!runtime[0])
		runtime = ref.runtime[0] ? ref.runtime : entry.runtime;
	return open_runtime(s, runtime, p, why);
}

static int open_given(struct server *s, const struct run_spec *q,
		      const char *runtime, struct program *p,
		      struct refusal *why)
{
	size_t size = q->name.size;

	if (size >= sizeof(p->name))
		size = sizeof(p->name) - 1;
	for (size_t i = 0; i < size; i++)
		p->name[i] = q->name.p[i] ? q->name.p[i] : '?';
	p->name[size] = '\0';
	return open_runtime(s, runtime, p, why);
}

/*
 * A file that lies in our own mount is the program that it shows there (so
 * that a shebang line works). The path is only compared: nothing here waits
 * for the mount.
 */
static bool is_mounted(struct server *s, const struct run_spec *q,
		       struct run_spec *ret_stored)
{
	static const char dir[] = "/programs/";
	size_t point = strlen(s->mount.point), size = point + strlen(dir);
	char name[2 * NAME_MAX_BYTES];
	struct name_ref ref;

	if (s->mount.state != MOUNT_SERVED || q->file.size <= size ||
	    memcmp(q->file.p, s->mount.point, point) != 0 ||
	    memcmp(q->file.p + point, dir, strlen(dir)) != 0)
		return false;
	*ret_stored = *q;
	ret_stored->name =
		(struct mp_bytes){ q->file.p + size, q->file.size - size };
	return mp_bytes_copy(ret_stored->name, name, sizeof(name)) == 0 &&
	       name_parse(name, false, &ref, NULL) == 0;
}

int program_open(struct server *s, const struct run_spec *q,
		 struct program *ret_program, struct refusal *ret_why)
{
	struct program p = { .text_fd = -1, .runtime_fd = -1 };
	struct refusal why = { 0 };
	struct run_spec stored;
	char runtime[2 * NAME_MAX_BYTES];
	int r;

	if (mp_bytes_copy(q->runtime, runtime, sizeof(runtime)) < 0)
		r = refuse(&why, STATUS_INVALID, "no name of a runtime: %s",
			   "too long");
	else if (q->text && is_mounted(s, q, &stored))
		r = open_stored(s, &stored, runtime, &p, &why);
	else if (q->text || q->interactive)
		r = open_given(s, q, runtime, &p, &why);
	else
		r = open_stored(s, q, runtime, &p, &why);
	if (r < 0) {
		program_close(&p);
		*ret_why = why;
		return r;
	}
	*ret_program = p;
	return 0;
}

void program_close(struct program *p)
{
	p->text_fd = fd_close(p->text_fd);
	p->runtime_fd = fd_close(p->runtime_fd);
}
