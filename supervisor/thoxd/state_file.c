/* At any step: what thoxd keeps on disk of itself. */

#include "thoxd/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "thoxd/server.h"

static void path_of(const struct server *s, const char *name,
		    const char *suffix, char ret[STATE_FILE_PATH_BYTES])
{
	snprintf(ret, STATE_FILE_PATH_BYTES, "%s/%s%s", s->instance->state,
		 name, suffix);
}

void state_file_path(const struct server *s, const char *name,
		     char ret_path[STATE_FILE_PATH_BYTES])
{
	path_of(s, name, "", ret_path);
}

int state_file_replace(const struct server *s, const char *name,
		       state_file_fn fill, const void *user)
{
	char path[STATE_FILE_PATH_BYTES], draft[STATE_FILE_PATH_BYTES];
	_cleanup_(fd_closep) int fd = -1;
	int r;

	path_of(s, name, "", path);
	path_of(s, name, ".new", draft);
	fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fill(fd, user);
	if (r == 0 && rename(draft, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(draft);
	return r;
}
