/*
 * Step 9, in thoxctl: the last lines of one service, for its status.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl_logs.h"
#include "logd/reader.h"

#define SCANNED_LINES 2000U /* among which they are looked for */

/* A line, as a copy. */
struct kept {
	struct line line;
	char *text; /* owned */
};

static bool is_wanted(const struct logs_tail *t, const struct line *line)
{
	if (t->instance[0] && strcmp(line->instance, t->instance) != 0)
		return false;
	return t->pid == 0 || (line->error && line->pid == t->pid);
}

static void keep(struct kept *k, const struct line *line)
{
	char *text = malloc(line->size + 1);

	if (!text)
		return; /* one line less */
	memcpy(text, line->text, line->size);
	free(k->text);
	k->text = text;
	k->line = *line;
	k->line.text = text;
}

static size_t print(const struct logs_tail *t, struct reader *r)
{
	struct kept ring[LOGS_TAIL_MAX] = { 0 };
	size_t n = 0, first;
	struct line line;

	while (reader_next(r, &line) > 0)
		if (is_wanted(t, &line))
			keep(&ring[n++ % t->lines], &line);
	first = n > t->lines ? n - t->lines : 0;
	if (n > 0 && t->head)
		printf("%12s:\n", t->head);
	for (size_t i = first; i < n; i++) {
		const struct kept *k = &ring[i % t->lines];

		if (!k->text)
			continue;
		printf("    ");
		logs_print(t->pid ? LOGS_TEXT : LOGS_SHORT, t->service,
			   &k->line);
	}
	for (size_t i = 0; i < LOGS_TAIL_MAX; i++)
		free(ring[i].text);
	return n;
}

size_t logs_tail(const struct logs_tail *t)
{
	_cleanup_(fd_closep) int fd = -1;
	struct reader *reader;
	char path[PATH_MAX + 8];
	size_t n = 0;

	snprintf(path, sizeof(path), "%s/logs", t->state_dir);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || reader_open(fd, t->service, &reader) < 0)
		return 0;
	if (reader_seek_last(reader, SCANNED_LINES) == 0)
		n = print(t, reader);
	reader_free(reader);
	return n;
}
