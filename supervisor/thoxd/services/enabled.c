/*
 * Steps 4, for services: what was enabled and disabled, kept on disk.
 *
 * A file of lines, `enabled NAME` or `disabled NAME`, written anew as a whole
 * and renamed, so that it is the old or the new one after a crash.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/util.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"
#include "thoxd/services/services.h"
#include "thoxd/state_file.h"

#define FILE_NAME "services"

struct said {
	struct list list;
	bool on;
	char name[];
};

static struct said *find(const struct services *m, const char *name)
{
	struct said *said, *after;

	list_each(said, after, &m->enabled, list)
	{
		if (strcmp(said->name, name) == 0)
			return said;
	}
	return NULL;
}

static int say(struct services *m, const char *name, bool on)
{
	struct said *said = find(m, name);

	if (!said) {
		said = calloc(1, sizeof(*said) + strlen(name) + 1);
		if (!said)
			return -ENOMEM;
		strcpy(said->name, name);
		list_append(&m->enabled, &said->list);
	}
	said->on = on;
	return 0;
}

bool services_enabled(const struct service *sv)
{
	const struct said *said = find(sv->services, sv->name);

	if (said)
		return said->on;
	return sv->config && !sv->gone && sv->config->definition->autostart;
}

/* --- the file ------------------------------------------------------------- */

static int write_lines(int fd, const void *user)
{
	const struct services *m = user;
	struct said *said, *after;
	int r = 0;

	list_each(said, after, &m->enabled, list)
	{
		char line[SERVICE_NAME_BYTES + 16];
		int n = snprintf(line, sizeof(line), "%s %s\n",
				 said->on ? "enabled" : "disabled", said->name);

		if (r == 0)
			r = fd_write_all(fd, line, (size_t)n);
	}
	if (r == 0 && fdatasync(fd) < 0)
		r = -errno;
	return r;
}

static int save(const struct services *m)
{
	return state_file_replace(m->server, FILE_NAME, write_lines, m);
}

int services_enable(struct services *m, const char *name, bool on)
{
	struct said *said = find(m, name);
	bool was_said = said, was = said && said->on;
	int r = say(m, name, on);

	if (r == 0)
		r = save(m);
	if (r == 0) {
		struct service *sv = services_find(m, name);

		if (sv)
			service_schedule_follow(sv);
		return 0;
	}
	/* what is not kept was not said */
	said = find(m, name);
	if (said && was_said) {
		said->on = was;
	} else if (said) {
		list_remove(&said->list);
		free(said);
	}
	return r;
}

static void read_line(struct services *m, const char *line)
{
	char word[16], name[SERVICE_NAME_BYTES];
	struct service_ref ref;

	if (sscanf(line, "%15s %257s", word, name) != 2 ||
	    service_ref_parse(name, &ref, NULL) < 0)
		return;
	service_ref_format(ref.name, ref.instance, name);
	if (strcmp(word, "enabled") == 0 || strcmp(word, "disabled") == 0)
		(void)say(m, name, strcmp(word, "enabled") == 0);
}

int services_enabled_load(struct services *m)
{
	char path[STATE_FILE_PATH_BYTES], line[SERVICE_NAME_BYTES + 32];
	FILE *f;

	state_file_path(m->server, FILE_NAME, path);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : -errno;
	while (fgets(line, sizeof(line), f))
		read_line(m, line);
	fclose(f);
	return 0;
}

int services_each_enabled(struct services *m,
			  int (*fn)(struct services *m, const char *name))
{
	struct said *said, *after;
	int r = 0;

	list_each(said, after, &m->enabled, list)
	{
		if (r == 0 && said->on)
			r = fn(m, said->name);
	}
	return r;
}
