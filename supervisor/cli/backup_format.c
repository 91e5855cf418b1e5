/* Step 8, in thoxctl: what an archive of an instance says of itself. */

#include "cli/backup_format.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

const char *const backup_states[] = { "services", "schedules", "label", NULL };

/* --- the manifest ----------------------------------------------------------
 */

char *backup_manifest_write(const struct backup_manifest *m)
{
	json_t *object = json_pack(
		"{s:I, s:s, s:I, s:I, s:I}", "format", (json_int_t)m->format,
		"thox", m->thox, "time", (json_int_t)m->time_s, "texts",
		(json_int_t)m->texts, "bytes", (json_int_t)m->bytes);
	char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;

	json_decref(object);
	return text;
}

static int read_count(const json_t *object, const char *key, uint64_t *ret)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return -EBADMSG;
	*ret = (uint64_t)json_integer_value(value);
	return 0;
}

/* A version is shown to people: nothing but printable ASCII. */
static int read_version(const json_t *object, char *ret, size_t size)
{
	const char *text = json_string_value(json_object_get(object, "thox"));

	if (!text || strlen(text) >= size)
		return -EBADMSG;
	for (const char *p = text; *p; p++)
		if (*p < ' ' || *p > '~')
			return -EBADMSG;
	strcpy(ret, text);
	return 0;
}

static int read_object(const json_t *object, struct backup_manifest *m)
{
	int r = read_count(object, "format", &m->format);

	if (r == 0)
		r = read_version(object, m->thox, sizeof(m->thox));
	if (r < 0)
		return r;
	/* What a newer one means by the others is not known. */
	if (m->format > BACKUP_FORMAT)
		return -EPROTONOSUPPORT;
	if (m->format == 0 || read_count(object, "time", &m->time_s) < 0 ||
	    read_count(object, "texts", &m->texts) < 0 ||
	    read_count(object, "bytes", &m->bytes) < 0)
		return -EBADMSG;
	return 0;
}

int backup_manifest_read(const void *data, size_t size,
			 struct backup_manifest *ret_manifest)
{
	struct backup_manifest m = { 0 };
	json_t *object;
	int r;

	if (size > BACKUP_MANIFEST_BYTES)
		return -EBADMSG;
	object = json_loadb(data, size, JSON_REJECT_DUPLICATES, NULL);
	r = json_is_object(object) ? read_object(object, &m) : -EBADMSG;
	json_decref(object);
	if (r == 0 || r == -EPROTONOSUPPORT)
		*ret_manifest = m;
	return r;
}

/* --- sums ------------------------------------------------------------------ */

size_t backup_line(const char *name, const uint8_t sha256[32],
		   char ret_line[BACKUP_LINE_BYTES])
{
	size_t n = 0;

	for (size_t i = 0; i < 32; i++)
		n += (size_t)sprintf(ret_line + n, "%02x", sha256[i]);
	n += (size_t)snprintf(ret_line + n, BACKUP_LINE_BYTES - n, "  %s\n",
			      name);
	return n;
}

/* --- signals --------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

void backup_catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal,
				    .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool backup_interrupted(void)
{
	return interrupted;
}

void backup_tell(uint64_t bytes, uint64_t more)
{
	/* small pieces are many, and mostly change nothing */
	if (bytes == 0 || bytes >> 20 != (bytes + more) >> 20)
		fprintf(stderr, "\r%llu MiB",
			(unsigned long long)((bytes + more) >> 20));
}
