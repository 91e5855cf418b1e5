/*
 * Step 2, in thoxctl: the store, opened beside thoxd and without it.
 */

#include "cli/ctl_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/exit.h"
#include "base/util.h"
#include "cli/say.h"
#include "cli/value.h"
#include "thoxd/config.h"

static void warn(const char *file, int line, const char *message, void *user)
{
	(void)user;
	say("%s:%d: %s", file, line, message);
}

/* The limits are thoxd's, from the same file. */
static void read_limits(const struct ctl *ctl, struct store_options *options,
			uint64_t *ret_absence_ms)
{
	struct config config;
	char path[PATH_MAX];

	config_init(&config, &ctl->in);
	snprintf(path, sizeof(path), "%.*s/thoxd.conf", PATH_MAX - 16,
		 ctl->in.config);
	config_read(&config, path, warn, NULL);
	options->keep = (unsigned)config.keep_versions;
	options->file_limit_bytes = config.file_limit_bytes;
	options->quota_bytes = config.quota_bytes;
	*ret_absence_ms = config.absence_ms;
	config_deinit(&config);
}

int ctl_store_since(const struct ctl *ctl, struct store *s, const char *program,
		    uint64_t *ret_since_ns)
{
	struct store_options options = { 0 };
	uint64_t absence_ms;

	read_limits(ctl, &options, &absence_ms);
	return store_since(s, DIR_PROGRAMS, program, UINT64_MAX,
			   (int64_t)absence_ms * 1000000, ret_since_ns);
}

int ctl_store_open(const struct ctl *ctl, struct store **ret_store)
{
	uint64_t absence_ms;
	struct store_options options = {
		.flags = STORE_CREATE,
		.builtin_path = instance_data_dir(),
	};
	int r;

	read_limits(ctl, &options, &absence_ms);
	r = instance_make_dirs(&ctl->in);
	/* A system's store may be looked at by those who do not own it. */
	if (r < 0 && r != -EACCES && r != -EPERM && r != -EROFS)
		return ctl_fail(ctl->in.store, r);
	r = store_open(ctl->in.store, &options, ret_store);
	if (r < 0) {
		r = ctl_fail(ctl->in.store, r);
		return r == CTL_NO_SUCH ? CTL_FAILED : r;
	}
	return CTL_OK;
}

int ctl_store_name(const char *text, bool versions, struct store_name *ret_name)
{
	const char *slash = strchr(text, '/'), *name = text, *rule = NULL;
	struct store_name n = { .dir = DIR_PROGRAMS, .text = text };
	char dir[16];

	if (slash) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - text), text);
		name = slash + 1;
		if (slash - text >= (ptrdiff_t)sizeof(dir) ||
		    store_dir_parse(dir, &n.dir) < 0) {
			say("%s: before the slash stands programs, libraries, "
			    "runtimes, services or data",
			    text);
			return CTL_USAGE;
		}
	}
	if (name_parse(name, false, &n.ref, &rule) < 0) {
		say("%s: not a name: %s", text,
		    rule ? rule : "see thox-store(5)");
		return CTL_USAGE;
	}
	if (n.ref.kind != REF_LIVE && !versions) {
		say("%s: a version has no place here", text);
		return CTL_USAGE;
	}
	*ret_name = n;
	return CTL_OK;
}

void ctl_store_label(const struct store_name *name, char ret[STORE_LABEL_BYTES])
{
	int n = snprintf(ret, STORE_LABEL_BYTES, "%s/%s",
			 store_dir_name(name->dir), name->ref.name);

	if (name->ref.kind == REF_VERSION)
		snprintf(ret + n, STORE_LABEL_BYTES - (size_t)n, "@%llu",
			 (unsigned long long)name->ref.version);
	else if (name->ref.kind == REF_REJECTED)
		snprintf(ret + n, STORE_LABEL_BYTES - (size_t)n, "@rejected");
}

static int read_stream(struct store *s, const struct store_name *name,
		       struct store_entry *ret_entry, int *ret_fd)
{
	struct stat st;
	int r;

	if (name->ref.kind != REF_LIVE)
		return -ENOENT;
	r = store_file_stat(s, DIR_DATA, name->ref.name, &st);
	if (r < 0)
		return r;
	*ret_entry = (struct store_entry){
		.size_bytes = (uint64_t)st.st_size,
		.time = st.st_mtim,
		.mtime = st.st_mtim,
		.live = true,
		.writer.uid = st.st_uid,
	};
	strcpy(ret_entry->name, name->ref.name);
	return ret_fd ? store_file_open(s, DIR_DATA, name->ref.name, 0, ret_fd)
		      : 0;
}

int ctl_store_read(struct store *s, const struct store_name *name,
		   struct store_entry *ret_entry, int *ret_fd)
{
	char label[STORE_LABEL_BYTES];
	int r;

	if (name->dir == DIR_DATA)
		r = read_stream(s, name, ret_entry, ret_fd);
	else
		r = store_resolve(s, name->dir, &name->ref, ret_entry, ret_fd);
	if (r == 0)
		return CTL_OK;
	ctl_store_label(name, label);
	if (r != -ENOENT)
		return ctl_fail(label, r);
	if (name->ref.kind == REF_VERSION)
		say("%s: no such version; see 'thoxctl store log'", label);
	else if (name->ref.kind == REF_REJECTED)
		say("%s: no text of that name was refused", label);
	else
		say("%s: no such name", label);
	return CTL_NO_SUCH;
}

void ctl_store_time(const struct timespec *time, char ret[STORE_TIME_BYTES])
{
	struct tm tm;

	localtime_r(&time->tv_sec, &tm);
	strftime(ret, STORE_TIME_BYTES, "%Y-%m-%d %H:%M:%S", &tm);
}

static json_t *json_time(const struct timespec *time)
{
	char text[STORE_TIME_BYTES], whole[STORE_TIME_BYTES + 24];
	struct tm tm;

	gmtime_r(&time->tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(whole, sizeof(whole), "%s.%03ldZ", text,
		 time->tv_nsec / 1000000);
	return json_string(whole);
}

static json_t *text_or_null(const char *text)
{
	return *text ? value_string(text, strlen(text)) : json_null();
}

json_t *ctl_store_json(const struct store_entry *e)
{
	static const char *const events[] = {
		[STORE_PUBLISHED] = "published",
		[STORE_REJECTED] = "rejected",
		[STORE_REMOVED] = "removed",
	};
	json_t *o = json_object();

	json_object_set_new(o, "name", text_or_null(e->name));
	json_object_set_new(o, "event", json_string(events[e->event]));
	json_object_set_new(o, "version",
			    e->version ? json_integer((json_int_t)e->version)
				       : json_null());
	json_object_set_new(o, "live", json_boolean(e->live));
	json_object_set_new(o, "time", json_time(&e->time));
	json_object_set_new(o, "size_bytes",
			    json_integer((json_int_t)e->size_bytes));
	json_object_set_new(
		o, "sha256",
		text_or_null(e->event == STORE_REMOVED ? "" : e->sha256));
	json_object_set_new(o, "runtime", text_or_null(e->runtime));
	json_object_set_new(o, "target", text_or_null(e->target));
	json_object_set_new(o, "reason", text_or_null(e->reason));
	json_object_set_new(o, "builtin", json_boolean(e->builtin));
	json_object_set_new(o, "refused_newer",
			    json_boolean(e->rejected_id != 0));
	if (!e->builtin) {
		json_object_set_new(o, "uid", json_integer(e->writer.uid));
		json_object_set_new(o, "pid", json_integer(e->writer.pid));
		json_object_set_new(o, "command",
				    text_or_null(e->writer.command));
		json_object_set_new(o, "by_process",
				    json_boolean(e->writer.confined[0]));
	}
	return o;
}

/* The newest published version that is not the live one. */
struct previous {
	uint64_t live;
	uint64_t version;
};

static int on_previous(const struct store_entry *e, void *user)
{
	struct previous *p = user;

	if (e->event == STORE_PUBLISHED && e->version != p->live &&
	    e->version > 0)
		p->version = e->version;
	return 0;
}

int ctl_store_previous(struct store *s, const struct store_name *name,
		       uint64_t *ret_version)
{
	struct previous p = { 0 };
	struct store_entry live;
	int r;

	if (store_lookup(s, name->dir, name->ref.name, &live) == 0)
		p.live = live.version;
	r = store_log(s, name->dir, name->ref.name, on_previous, &p);
	if (r < 0)
		return r;
	if (p.version == 0)
		return -ENOENT;
	*ret_version = p.version;
	return 0;
}

/* The newest published version with another text than the live one, that was
 * not refused later (by a service that could not go over to it). */
struct good {
	char live[65];
	json_t *refused; /* hashes, as keys */
	uint64_t version;
};

static int on_refused(const struct store_entry *e, void *user)
{
	struct good *p = user;

	if (e->event == STORE_REJECTED)
		json_object_set_new(p->refused, e->sha256, json_true());
	return 0;
}

static int on_good(const struct store_entry *e, void *user)
{
	struct good *p = user;

	if (e->event == STORE_PUBLISHED && e->version > 0 &&
	    strcmp(e->sha256, p->live) != 0 &&
	    !json_object_get(p->refused, e->sha256))
		p->version = e->version;
	return 0;
}

int ctl_store_good(struct store *s, const struct store_name *name,
		   uint64_t *ret_version)
{
	struct good p = { .refused = json_object() };
	struct store_entry live;
	int r;

	if (store_lookup(s, name->dir, name->ref.name, &live) == 0)
		snprintf(p.live, sizeof(p.live), "%s", live.sha256);
	r = store_log(s, name->dir, name->ref.name, on_refused, &p);
	if (r == 0)
		r = store_log(s, name->dir, name->ref.name, on_good, &p);
	json_decref(p.refused);
	if (r < 0)
		return r;
	if (p.version == 0)
		return -ENOENT;
	*ret_version = p.version;
	return 0;
}
