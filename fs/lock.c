/* The store, step 2: one writer at a time, one supervisor, no id twice. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/private.h"

/*
 * `.lock` holds the next free id (8 bytes) and three lockable bytes. The locks
 * are of the open file description, so a process that dies lets go of them.
 */
#define LOCK_WRITER 0
#define LOCK_IDS    1
#define LOCK_CLAIM  2
#define ID_BLOCK    1024U

static int lock_byte(int fd, short type, off_t byte, bool wait)
{
	struct flock lock = { .l_type = type, .l_start = byte, .l_len = 1 };
	int r;

	do {
		r = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int store_lock(struct store *s)
{
	int r = store_writable(s);

	return r < 0 ? r : lock_byte(s->lockfd, F_WRLCK, LOCK_WRITER, true);
}

void store_unlock(struct store *s)
{
	lock_byte(s->lockfd, F_UNLCK, LOCK_WRITER, false);
}

int store_settle(struct store *s)
{
	bool lost;
	int r;

	pthread_mutex_lock(&s->memory);
	r = index_follow(&s->index);
	if (r >= 0)
		r = index_settle(&s->index);
	pthread_mutex_unlock(&s->memory);
	if (r < 0)
		return r;
	r = store_recover(s);
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->memory);
	lost = s->index.lost;
	pthread_mutex_unlock(&s->memory);
	return lost ? store_adopt(s) : 0;
}

int store_begin(struct store *s)
{
	int r;

	pthread_mutex_lock(&s->commit);
	r = store_lock(s);
	if (r == 0) {
		r = store_settle(s);
		if (r < 0)
			store_unlock(s);
	}
	if (r < 0)
		pthread_mutex_unlock(&s->commit);
	return r;
}

void store_end(struct store *s)
{
	store_unlock(s);
	pthread_mutex_unlock(&s->commit);
}

/* A block of ids; what of it is not used is never used. */
static int reserve_ids(struct store *s)
{
	uint64_t next = 0, end;
	int r;

	r = store_writable(s);
	if (r == 0)
		r = lock_byte(s->lockfd, F_WRLCK, LOCK_IDS, true);
	if (r < 0)
		return r;
	if (pread(s->lockfd, &next, sizeof(next), 0) < 0)
		r = -errno;
	/* max_id: the file may be older than the index after a crash. */
	if (next <= s->index.max_id)
		next = s->index.max_id + 1;
	end = next + ID_BLOCK;
	if (r == 0 && end >> STORE_ID_BITS)
		r = -EOVERFLOW;
	if (r == 0 && pwrite(s->lockfd, &end, sizeof(end), 0) != sizeof(end))
		r = -ENOSPC;
	lock_byte(s->lockfd, F_UNLCK, LOCK_IDS, false);
	if (r < 0)
		return r;
	s->next_id = next;
	s->end_id = end;
	return 0;
}

int store_new_id(struct store *s, uint64_t *ret_id)
{
	int r = 0;

	pthread_mutex_lock(&s->ids);
	if (s->next_id == s->end_id)
		r = reserve_ids(s);
	if (r == 0)
		*ret_id = s->next_id++;
	pthread_mutex_unlock(&s->ids);
	return r;
}

int store_claim(struct store *s, pid_t *ret_holder)
{
	uint32_t pid = (uint32_t)getpid();
	int r;

	if (ret_holder)
		*ret_holder = 0;
	if (s->readonly)
		return -EROFS;
	r = lock_byte(s->lockfd, F_WRLCK, LOCK_CLAIM, false);
	if (r == -EAGAIN || r == -EACCES) {
		if (ret_holder &&
		    pread(s->lockfd, &pid, sizeof(pid), 8) == sizeof(pid))
			*ret_holder = (pid_t)pid;
		return -EBUSY;
	}
	if (r == 0 && pwrite(s->lockfd, &pid, sizeof(pid), 8) < 0)
		r = -errno;
	return r;
}
