/* Step 1 of everything: requests come from the kernel, for ever. */

#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "ops.h"
#include "thoxfs.h"

/* Newer than Debian 12's headers. */
#define NOTIFY_RESEND	 7
#define NOTIFY_INC_EPOCH 8
#define INIT_HAS_RESEND	 (1U << 7) /* bit 39, in flags2 */
#define UNIQUE_RESENT	 (1ULL << 63)

#define RECORD_BYTES 4096
/* How long a request is looked for before the loop sleeps. */
#define SPIN_NS (20 * 1000)

/*
 * Set while the recorded INIT is played: its reply was sent long ago. The
 * library offers no other place for it, and there is one session a process.
 */
static bool swallow_replies;
/* There is another processor for who asks. */
static bool spins;

_Thread_local int session_through_teller = -1;

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	ssize_t total = 0;

	(void)userdata;
	if (swallow_replies) {
		for (int i = 0; i < count; i++)
			total += (ssize_t)iov[i].iov_len;
		return total;
	}
	if (session_through_teller < 0)
		return writev(fd, iov, count);
	total = writev(session_through_teller, iov, count);
	/* Answers would be lost from here on: to a successor they are not. */
	if (total < 0 && errno == EPIPE)
		_exit(SESSION_EXIT_AGAIN);
	return total;
}

/*
 * Who has just been answered most often asks again at once, and to be woken
 * for that costs more than all else in a request: look for a moment first,
 * unless he waits for the committer, which was just woken and shall have the
 * processor.
 * The descriptor does not block, so that a look is also the reading.
 */
static ssize_t io_read(int fd, void *data, size_t size, void *userdata)
{
	const struct thoxfs *fs = userdata;
	bool looks = spins && !fs->woke_committer;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t until = 0;
	ssize_t n;

	while ((n = read(fd, data, size)) < 0 && errno == EAGAIN) {
		if (looks && !until)
			until = clock_ns() + SPIN_NS;
		else if ((!looks || clock_ns() >= until) && poll(&p, 1, -1) < 0)
			return -1;
	}
	return n;
}

static const struct fuse_custom_io custom_io = {
	.writev = io_writev,
	.read = io_read,
};

static const struct fuse_in_header *header_of(const struct fuse_buf *buf,
					      size_t size)
{
	return size >= sizeof(struct fuse_in_header) ? buf->mem : NULL;
}

static void process(struct thoxfs *fs, const struct fuse_buf *buf)
{
	const struct fuse_in_header *header = header_of(buf, buf->size);

	pthread_mutex_lock(&fs->lock);
	fs->resent = header && header->unique & UNIQUE_RESENT;
	fs->woke_committer = false;
	fuse_session_process_buf(fs->session, buf);
	pthread_mutex_unlock(&fs->lock);
}

static int session_new(struct thoxfs *fs, struct session *session)
{
	const char *argv[] = { "thoxfs", "-d", NULL };
	struct fuse_args args =
		FUSE_ARGS_INIT(session->debug ? 2 : 1, (char **)argv);

	fs->session =
		fuse_session_new(&args, &thoxfs_ops, sizeof(thoxfs_ops), fs);
	fuse_opt_free_args(&args);
	if (!fs->session)
		return -ENOMEM;
	return fuse_session_custom_io(fs->session, &custom_io,
				      session->fuse_fd);
}

/* Is there a request right now? A new mount's INIT always is. */
static bool is_waiting(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static bool can_resend(const void *init, size_t size)
{
	const struct fuse_in_header *header = init;
	const struct fuse_init_in *in = (const void *)(header + 1);

	if (size < sizeof(*header) + sizeof(*in) || header->opcode != FUSE_INIT)
		return false;
	return in->flags & FUSE_INIT_EXT && in->flags2 & INIT_HAS_RESEND;
}

static void record_init(struct session *session, const struct fuse_buf *buf)
{
	session->can_resend = can_resend(buf->mem, buf->size);
	if (session->record_fd < 0)
		return;
	if (ftruncate(session->record_fd, 0) < 0 ||
	    pwrite(session->record_fd, buf->mem, buf->size, 0) !=
		    (ssize_t)buf->size)
		(void)!ftruncate(session->record_fd, 0);
}

/* The recorded INIT again, for the library's sake. */
static int replay_init(struct thoxfs *fs, struct session *session)
{
	_Alignas(8) char record[RECORD_BYTES];
	struct fuse_buf buf = { .mem = record };
	ssize_t n = -1;

	if (session->record_fd >= 0)
		n = pread(session->record_fd, record, sizeof(record), 0);
	if (n <= 0 || !can_resend(record, (size_t)n))
		return -EPROTO;
	buf.size = (size_t)n;
	session->resumed = session->can_resend = true;
	swallow_replies = true;
	process(fs, &buf);
	swallow_replies = false;
	return 0;
}

int session_open(struct thoxfs *fs, struct session *session)
{
	struct fuse_buf first = { 0 };
	const struct fuse_in_header *header;
	int r;

	spins = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	r = fd_set_nonblocking(session->fuse_fd);
	if (r < 0)
		return r;
	r = session_new(fs, session);
	if (r < 0)
		return r;
	if (!is_waiting(session->fuse_fd))
		return replay_init(fs, session);
	r = fuse_session_receive_buf(fs->session, &first);
	if (r <= 0)
		return r == 0 || r == -ENODEV ? -ENOTCONN : r;
	first.size = (size_t)r;
	header = header_of(&first, first.size);
	if (header && header->opcode == FUSE_INIT) {
		record_init(session, &first);
		process(fs, &first);
		r = 0;
	} else {
		/* It is sent again, as all that was never answered. */
		r = replay_init(fs, session);
	}
	free(first.mem);
	return r;
}

static int notify_raw(struct session *session, int code)
{
	struct fuse_out_header header = { .len = sizeof(header),
					  .error = code };

	return write(session->fuse_fd, &header, sizeof(header)) < 0 ? -errno
								    : 0;
}

int session_resume(struct session *session)
{
	if (!session->resumed)
		return 0;
	/* Linux 6.16: all names at once; else notify_everything() alone. */
	(void)notify_raw(session, NOTIFY_INC_EPOCH);
	return notify_raw(session, NOTIFY_RESEND);
}

int session_run(struct thoxfs *fs, struct session *session)
{
	struct fuse_buf buf = { 0 };
	int r = 0;

	while (!fuse_session_exited(fs->session)) {
		r = fuse_session_receive_buf(fs->session, &buf);
		if (r == -EINTR)
			continue;
		if (r == 0 || r == -ENODEV)
			session->unmounted = true;
		if (r <= 0)
			break;
		buf.size = (size_t)r;
		process(fs, &buf);
		r = 0;
	}
	free(buf.mem);
	return session->unmounted ? 0 : r;
}

void session_close(struct thoxfs *fs)
{
	if (fs->session)
		fuse_session_destroy(fs->session);
	fs->session = NULL;
}
