/*
 * Step 8: a process wants a pipe.
 *
 * An end counts among the process's links as long as it has it.
 */

#include "thoxd/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "rpc/control.h"
#include "rpc/status.h"
#include "thoxd/principal.h"
#include "thoxd/server.h"

static void close_end(struct principal *p, struct pipe *pipe, bool writer)
{
	if (pipe->fds[writer] < 0)
		return;
	pipe->fds[writer] = fd_close(pipe->fds[writer]);
	p->n_links--;
	if (pipe->fds[!writer] >= 0)
		return;
	list_remove(&pipe->list);
	p->n_pipes--;
	free(pipe);
}

static struct pipe *find(struct principal *p, uint64_t number)
{
	struct pipe *pipe, *after;

	list_each(pipe, after, &p->pipes,
		  list) if (pipe->number == number) return pipe;
	return NULL;
}

static int make(struct principal *p, struct pipe **ret_pipe)
{
	struct pipe *pipe;

	if (p->n_pipes >= PRINCIPAL_PIPES_MAX || p->n_links + 2 > p->links_max)
		return -ENOSPC;
	pipe = calloc(1, sizeof(*pipe));
	if (!pipe)
		return -ENOMEM;
	if (pipe2(pipe->fds, O_CLOEXEC) < 0) {
		free(pipe);
		return -errno;
	}
	pipe->number = ++p->server->last_pipe;
	list_append(&p->pipes, &pipe->list);
	p->n_pipes++;
	p->n_links += 2;
	*ret_pipe = pipe;
	return 0;
}

static int answer(struct principal *p, uint64_t id, const struct pipe *pipe,
		  int status, const char *message)
{
	uint8_t buf[256];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 4);
	mp_write_uint(&w, CONTROL_PIPE);
	mp_write_uint(&w, id);
	mp_write_int(&w, status);
	if (pipe)
		mp_write_uint(&w, pipe->number);
	else
		mp_write_str(&w, message);
	return principal_send(p, &w, pipe ? pipe->fds : NULL, pipe ? 2 : 0);
}

int pipe_want(struct principal *p, uint64_t id)
{
	struct pipe *pipe = NULL;
	int r = make(p, &pipe);

	if (r == 0) {
		r = answer(p, id, pipe, STATUS_OK, NULL);
		if (r == 0)
			return 0;
		close_end(p, pipe, false);
		close_end(p, pipe, true);
	}
	if (r == -ENOSPC)
		return answer(p, id, NULL, STATUS_TOO_LARGE,
			      "too many pipes and contexts");
	return answer(p, id, NULL, STATUS_ERROR, strerror(-r));
}

void pipe_closed(struct principal *p, uint64_t number, bool writer)
{
	struct pipe *pipe = find(p, number);

	if (pipe)
		close_end(p, pipe, writer);
}

void pipe_principal_gone(struct principal *p)
{
	while (!list_empty(&p->pipes)) {
		struct pipe *pipe = list_first(&p->pipes, struct pipe, list);

		close_end(p, pipe,
			  pipe->fds[1] >= 0); /* it goes with the last */
	}
}

int pipe_copy(struct principal *p, uint64_t number, bool writer, int *ret_fd)
{
	struct pipe *pipe = find(p, number);
	int fd;

	if (!pipe || pipe->fds[writer] < 0)
		return -ENOENT;
	fd = fcntl(pipe->fds[writer], F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}
