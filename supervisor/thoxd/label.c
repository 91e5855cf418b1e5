/*
 * Step 4, once, and by command: the machine's label.
 */

#include "thoxd/label.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "thoxd/server.h"
#include "thoxd/state_file.h"

#define LABEL_FILE    "label"
#define LABEL_UNNAMED "localhost"

static bool take(struct server *s, const char *label)
{
	if (!label || !name_valid(label))
		return false;
	strcpy(s->label, label); /* a valid name fits */
	return true;
}

static bool take_kept(struct server *s)
{
	_cleanup_(fd_closep) int fd = -1;
	char path[STATE_FILE_PATH_BYTES], label[NAME_MAX_BYTES + 2];
	ssize_t n;

	state_file_path(s, LABEL_FILE, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	n = fd_read_full(fd, label, sizeof(label) - 1);
	label[n > 0 ? n : 0] = '\0';
	label[strcspn(label, "\n")] = '\0';
	if (take(s, label))
		return true;
	log_warnx("%s holds no label, ignoring", path);
	return false;
}

void label_init(struct server *s)
{
	char host[NAME_MAX_BYTES + 1] = "";

	if (take_kept(s) || take(s, s->config.label))
		return;
	if (s->config.label)
		log_warnx("'%s' in thoxd.conf is no label, ignoring",
			  log_quote(s->config.label));
	if (gethostname(host, sizeof(host) - 1) < 0 || !take(s, host))
		strcpy(s->label, LABEL_UNNAMED);
}

static int write_label(int fd, const void *user)
{
	char line[NAME_MAX_BYTES + 2];

	return fd_write_all(fd, line,
			    (size_t)snprintf(line, sizeof(line), "%s\n",
					     (const char *)user));
}

int label_set(struct server *s, const char *label)
{
	int r = -EINVAL;

	if (name_valid(label))
		r = state_file_replace(s, LABEL_FILE, write_label, label);
	if (r == 0)
		take(s, label);
	return r;
}
