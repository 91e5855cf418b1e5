/* Changes made of others: a rename, other times. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/private.h"

#define RENAME_TRIES 20

void store_writer_self(struct store_writer *ret_writer)
{
	_cleanup_(fd_closep) int fd = -1;
	ssize_t n = 0;

	memset(ret_writer, 0, sizeof(*ret_writer));
	ret_writer->uid = getuid();
	ret_writer->pid = getpid();
	fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, ret_writer->command,
			 sizeof(ret_writer->command) - 1);
	if (n > 0 && ret_writer->command[n - 1] == '\n')
		ret_writer->command[n - 1] = '\0';
}

static void text_freep(struct store_text **t)
{
	*t = store_text_free(*t);
}

/* @from's content as a text of @to, with its time. */
static int copy_text(struct store *s, enum store_dir dir, const char *to,
		     const struct store_entry *e, struct store_text **ret_text)
{
	_cleanup_(fd_closep) int fd = -1;
	struct store_text *text = NULL;
	int r;

	r = store_read_id(s, e->id, NULL, NULL, &fd);
	if (r == 0)
		r = store_text_from_fd(s, dir, to, fd, &text);
	if (r < 0 || !text)
		return r;
	(void)text_touch(text, &e->mtime);
	*ret_text = text;
	return 0;
}

static int rename_once(struct store *s, enum store_dir dir, const char *from,
		       const char *to, bool noreplace,
		       const struct store_writer *writer,
		       struct store_entry *ret_entry)
{
	_cleanup_(text_freep) struct store_text *text = NULL;
	struct store_change changes[2] = {
		{ .event = STORE_PUBLISHED,
		  .dir = dir,
		  .name = to,
		  .exclusive = noreplace,
		  .writer = *writer },
		{ .event = STORE_REMOVED,
		  .dir = dir,
		  .name = from,
		  .moved = true,
		  .writer = *writer },
	};
	struct store_entry e;
	int r;

	r = store_lookup(s, dir, from, &e);
	if (r < 0)
		return r;
	if (e.builtin)
		return -EPERM;
	if (strcmp(from, to) == 0)
		return 0;
	changes[1].only_id = e.id;
	if (e.target[0])
		changes[0].target = e.target;
	else
		r = copy_text(s, dir, to, &e, &text);
	if (r < 0)
		return r == -ESTALE ? -EAGAIN : r;
	changes[0].text = text;
	changes[0].runtime = e.runtime;
	r = commit_together(s, changes, ARRAY_SIZE(changes));
	if (r == 0 && ret_entry)
		*ret_entry = changes[0].ret_entry;
	return r;
}

int store_rename(struct store *s, enum store_dir dir, const char *from,
		 const char *to, bool noreplace,
		 const struct store_writer *writer,
		 struct store_entry *ret_entry)
{
	int r = -EAGAIN;

	if (!name_valid(to))
		return -EINVAL;
	/* Somebody may publish @from between the look and the commit. */
	for (int i = 0; i < RENAME_TRIES && r == -EAGAIN; i++)
		r = rename_once(s, dir, from, to, noreplace, writer, ret_entry);
	return r == -EAGAIN ? -EBUSY : r;
}

int store_touch(struct store *s, enum store_dir dir, const char *name,
		const struct timespec *mtime)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, *mtime };
	struct index_node *node;
	struct record rec;
	struct stat st;
	int r;

	if (!name_valid(name) || (unsigned)dir >= DIR_DATA)
		return -EINVAL;
	r = store_begin(s);
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->memory);
	node = index_find(&s->index, dir, name);
	r = node && node->live ? index_record(&s->index, node->live, &rec)
			       : -ENOENT;
	if (r == 0 &&
	    utimensat(s->dirfd[dir], name, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r == 0 &&
	    fstatat(s->dirfd[dir], name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r == 0) {
		rec.mtime_ns = timespec_ns(&st.st_mtim);
		rec.flags |= RECORD_TOUCHED;
		rec.journal_epoch = rec.journal_seq = 0;
		r = index_append(&s->index, &rec, 1);
	}
	pthread_mutex_unlock(&s->memory);
	store_end(s);
	return r;
}
