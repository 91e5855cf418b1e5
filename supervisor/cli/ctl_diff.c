/*
 * Step 3, in thoxctl: two versions side by side.
 *
 * diff(1) does it, from descriptors: it is on every Debian, and nobody reads
 * another's unified format as gladly. It gets the versions' files themselves.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl_store.h"
#include "cli/say.h"
#include "cli/table.h"
#include "cli/value.h"

struct side {
	struct store_name name;
	struct store_entry entry;
	char label[STORE_LABEL_BYTES];
	int fd;
};

static void store_freep(struct store **s)
{
	store_free(*s);
}

static int open_side(struct store *s, struct side *side)
{
	int r = ctl_store_read(s, &side->name, &side->entry, &side->fd);

	if (r != CTL_OK)
		return r;
	if (side->name.ref.kind == REF_LIVE && side->entry.version > 0) {
		side->name.ref.kind = REF_VERSION;
		side->name.ref.version = side->entry.version;
	}
	ctl_store_label(&side->name, side->label);
	return CTL_OK;
}

/* `hello` alone: the one before it, and it. `hello@3` alone: 3, and it. */
static int complete(struct store *s, struct side sides[2])
{
	int r;

	sides[1].name = sides[0].name;
	sides[1].name.ref.kind = REF_LIVE;
	if (sides[0].name.ref.kind != REF_LIVE)
		return CTL_OK;
	r = ctl_store_previous(s, &sides[0].name, &sides[0].name.ref.version);
	if (r < 0) {
		say("%s: no older version to compare with", sides[0].name.text);
		return CTL_NO_SUCH;
	}
	sides[0].name.ref.kind = REF_VERSION;
	return CTL_OK;
}

static _Noreturn void child(struct side sides[2], int out_fd)
{
	char paths[2][32];

	for (int i = 0; i < 2; i++) {
		fd_set_cloexec(sides[i].fd, 0);
		snprintf(paths[i], sizeof(paths[i]), "/dev/fd/%d", sides[i].fd);
	}
	if (out_fd >= 0)
		dup2(out_fd, STDOUT_FILENO);
	execlp("diff", "diff", "-u",
	       *table_colour(COLOUR_BOLD) ? "--color=always" : "--color=never",
	       "--label", sides[0].label, "--label", sides[1].label, "--",
	       paths[0], paths[1], (char *)NULL);
	_exit(127);
}

/* 0: alike, 1: they differ, else trouble: diff's own exit codes. */
static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (WIFEXITED(status) && WEXITSTATUS(status) <= 1)
		return WEXITSTATUS(status);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE)
		return 1; /* a pager was left */
	return -EIO;
}

static int run_diff(struct side sides[2], int out_fd)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(sides, out_fd);
	return wait_for(pid);
}

static int diff_json(struct side sides[2])
{
	FILE *file = tmpfile();
	json_t *o = json_object();
	char *text = NULL;
	long size = 0;
	int r = file ? run_diff(sides, fileno(file)) : -errno;

	if (r >= 0) {
		fseek(file, 0, SEEK_END);
		size = ftell(file);
		rewind(file);
		text = malloc((size_t)size + 1);
		if (!text || fread(text, 1, (size_t)size, file) != (size_t)size)
			r = -EIO;
	}
	if (r >= 0) {
		json_object_set_new(o, "from", ctl_store_json(&sides[0].entry));
		json_object_set_new(o, "to", ctl_store_json(&sides[1].entry));
		json_object_set_new(o, "differ", json_boolean(r == 1));
		json_object_set_new(o, "diff",
				    value_string(text, (size_t)size));
		value_dump(o);
	}
	free(text);
	json_decref(o);
	if (file)
		fclose(file);
	return r;
}

static int parse_sides(struct ctl *ctl, struct store *s, struct side sides[2])
{
	int r = ctl_store_name(ctl->argv[0], true, &sides[0].name);

	if (r == CTL_OK && sides[0].name.dir == DIR_DATA) {
		say("%s: streams of data/ have no versions",
		    sides[0].name.text);
		r = CTL_USAGE;
	}
	if (r == CTL_OK)
		r = ctl->argc > 1
			    ? ctl_store_name(ctl->argv[1], true, &sides[1].name)
			    : complete(s, sides);
	for (int i = 0; i < 2 && r == CTL_OK; i++)
		r = open_side(s, &sides[i]);
	return r;
}

int ctl_store_diff(struct ctl *ctl)
{
	_cleanup_(store_freep) struct store *s = NULL;
	struct side sides[2] = { { .fd = -1 }, { .fd = -1 } };
	int r = ctl_store_open(ctl, &s);

	if (r != CTL_OK)
		return r;
	r = parse_sides(ctl, s, sides);
	if (r == CTL_OK) {
		r = ctl->json ? diff_json(sides) : run_diff(sides, -1);
		r = r < 0 ? ctl_fail("diff", r) : CTL_OK;
	}
	fd_close(sides[0].fd);
	fd_close(sides[1].fd);
	return r;
}
