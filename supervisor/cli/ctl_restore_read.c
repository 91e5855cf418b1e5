/* Step 9, in thoxctl: an archive of `thoxctl backup` is read, without belief. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "cli/ctl_restore_private.h"

/* --- reading ----------------------------------------------------------------
 */

static int read_piece(struct restoring *rs, void *data, size_t size,
		      size_t *ret_size)
{
	int r = backup_interrupted()
			? -EINTR
			: archive_read(&rs->in, data, size, ret_size);

	if (r < 0)
		return r;
	SHA256Update(&rs->sum, data, *ret_size);
	if (rs->terminal)
		backup_tell(rs->bytes, *ret_size);
	rs->bytes += *ret_size;
	return 0;
}

/* The member was read: its line is one of those that the last one has. */
static void count_line(struct restoring *rs)
{
	char line[BACKUP_LINE_BYTES];
	uint8_t sha256[32];

	SHA256Final(sha256, &rs->sum);
	SHA256Update(&rs->sums, (uint8_t *)line,
		     backup_line(rs->member.name, sha256, line));
}

static int next_member(struct restoring *rs)
{
	SHA256Init(&rs->sum);
	return archive_next(&rs->in, &rs->member);
}

/* All of the member, which the caller frees. */
static int read_whole(struct restoring *rs, size_t limit, char **ret_bytes,
		      size_t *ret_size)
{
	_cleanup_(freep) char *bytes = NULL;
	size_t size = 0, n = 0;
	int r = 0;

	if (rs->member.size > limit)
		return -EBADMSG;
	bytes = malloc((size_t)rs->member.size + 1);
	if (!bytes)
		return -ENOMEM;
	while (r == 0 && size < rs->member.size) {
		size_t left = (size_t)rs->member.size - size;

		r = read_piece(rs, bytes + size,
			       left < BACKUP_PIECE_BYTES ? left
							 : BACKUP_PIECE_BYTES,
			       &n);
		size += n;
	}
	if (r < 0)
		return r;
	count_line(rs);
	*ret_bytes = steal(&bytes);
	*ret_size = size;
	return 0;
}

static int read_into(struct restoring *rs, int fd)
{
	uint64_t left = rs->member.size;
	int r = 0;

	while (r == 0 && left > 0) {
		size_t n = 0;

		r = read_piece(rs, rs->piece, BACKUP_PIECE_BYTES, &n);
		if (r == 0)
			r = fd_write_all(fd, rs->piece, n);
		left -= n;
	}
	if (r == 0)
		count_line(rs);
	return r;
}

/* --- members ---------------------------------------------------------------
 */

static int read_manifest(struct restoring *rs)
{
	_cleanup_(freep) char *text = NULL;
	size_t size = 0;
	int r = next_member(rs);

	if (r != 1)
		return r < 0 ? r : -EBADMSG;
	if (strcmp(rs->member.name, BACKUP_MANIFEST) != 0)
		return -EBADMSG;
	r = read_whole(rs, BACKUP_MANIFEST_BYTES, &text, &size);
	return r < 0 ? r : backup_manifest_read(text, size, &rs->manifest);
}

static int read_file(struct restoring *rs, const char *path)
{
	_cleanup_(fd_closep) int fd = -1;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	int r = restore_file(rs->restore, path, &fd);

	if (r == 0)
		r = read_into(rs, fd);
	if (r < 0)
		return r;
	if (strncmp(path, "data/", 5) == 0)
		rs->n_streams++;
	else if (strncmp(path, ".storage/", 9) != 0)
		rs->n_texts++;
	else if (strcmp(path + strlen(path) - 3, ".db") == 0)
		rs->n_storages++;
	times[1].tv_sec = (time_t)rs->member.time_s;
	(void)!futimens(fd, times);
	return 0;
}

static int read_small(struct restoring *rs, struct small *s)
{
	if (s->bytes)
		return -EBADMSG; /* twice */
	return read_whole(rs, BACKUP_SMALL_BYTES, &s->bytes, &s->size);
}

static int read_state(struct restoring *rs, const char *name)
{
	for (size_t i = 0; backup_states[i]; i++)
		if (strcmp(backup_states[i], name) == 0)
			return read_small(rs, &rs->states[i]);
	return -EBADMSG;
}

static int read_records(struct restoring *rs)
{
	if (rs->records)
		return -EBADMSG;
	return read_whole(rs, BACKUP_RECORDS_BYTES, &rs->records,
			  &rs->records_size);
}

static int read_member(struct restoring *rs)
{
	const char *name = rs->member.name;

	if (strncmp(name, BACKUP_STORE, strlen(BACKUP_STORE)) == 0)
		return read_file(rs, name + strlen(BACKUP_STORE));
	if (strncmp(name, BACKUP_STATE, strlen(BACKUP_STATE)) == 0)
		return read_state(rs, name + strlen(BACKUP_STATE));
	if (strcmp(name, BACKUP_CONFIG) == 0)
		return read_small(rs, &rs->config);
	if (strcmp(name, BACKUP_RECORDS) == 0)
		return read_records(rs);
	return -EBADMSG;
}

/* The last member: what all others were when the archive was made. */
static int check_sums(struct restoring *rs)
{
	uint8_t said[32], seen[32];
	uint64_t left = rs->member.size;
	int r = 0;

	while (r == 0 && left > 0) {
		size_t n = 0;

		r = read_piece(rs, rs->piece, BACKUP_PIECE_BYTES, &n);
		left -= n;
	}
	SHA256Final(said, &rs->sum);
	SHA256Final(seen, &rs->sums);
	if (r == 0 && memcmp(said, seen, sizeof(said)) != 0)
		r = -EBADMSG;
	if (r == 0)
		r = next_member(rs);
	return r > 0 ? -EBADMSG : r; /* something behind it */
}

static int read_members(struct restoring *rs)
{
	int r;

	for (;;) {
		r = next_member(rs);
		if (r != 1)
			return r < 0 ? r : -EBADMSG; /* without sums */
		if (strcmp(rs->member.name, BACKUP_SUMS) == 0)
			return check_sums(rs);
		r = read_member(rs);
		if (r < 0)
			return r;
	}
}

static int use_records(struct restoring *rs)
{
	size_t at = 0;
	int r = rs->records ? 0 : -EBADMSG;

	while (r == 0 && at < rs->records_size) {
		struct record rec;
		ssize_t n = record_read(&rec, rs->records + at,
					rs->records_size - at);

		if (n <= 0)
			return -EBADMSG;
		r = backup_interrupted() ? -EINTR
					 : restore_record(rs->restore, &rec);
		at += (size_t)n;
	}
	return r == 0 ? restore_end(rs->restore) : r;
}

int restoring_read(struct restoring *rs)
{
	int r;

	SHA256Init(&rs->sums);
	r = read_manifest(rs);
	if (r == 0)
		r = restore_begin(rs->root_fd, &rs->restore);
	if (r == 0)
		r = read_members(rs);
	if (r == 0)
		r = use_records(rs);
	rs->restore = restore_free(rs->restore);
	return r;
}
