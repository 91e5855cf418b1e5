/* Looking after the store: one made of an archive's files and records. */

#include "fs/restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "fs/backup.h"
#include "fs/private.h"

/* Where files may be. The first five are those of enum store_dir. */
enum place {
	PLACE_DATA = DIR_DATA,
	PLACE_VERSIONS = DIR_COUNT,
	PLACE_REJECTED,
	PLACE_KEYS,
	PLACE_ORPHANS,
	PLACE_OWNERS,
	PLACE_COUNT,
};

static const char *const place_names[PLACE_COUNT] = {
	[DIR_PROGRAMS] = "programs",
	[DIR_LIBRARIES] = "libraries",
	[DIR_RUNTIMES] = "runtimes",
	[DIR_SERVICES] = "services",
	[PLACE_DATA] = "data",
	[PLACE_VERSIONS] = ".versions",
	[PLACE_REJECTED] = ".rejected",
	[PLACE_KEYS] = ".storage/keys",
	[PLACE_ORPHANS] = ".storage/orphans",
	[PLACE_OWNERS] = ".storage/owners",
};

struct restore {
	int fd[PLACE_COUNT];
	size_t unclaimed; /* texts that no record named yet */
	struct index index;
	int rootfd; /* borrowed */
};

/* --- files ----------------------------------------------------------------- */

static int make_dir(struct restore *r, enum place p)
{
	if (p == PLACE_KEYS && mkdirat(r->rootfd, ".storage", 0700) < 0)
		return -errno;
	if (mkdirat(r->rootfd, place_names[p], 0700) < 0)
		return -errno;
	r->fd[p] = openat(r->rootfd, place_names[p],
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return r->fd[p] < 0 ? -errno : 0;
}

int restore_begin(int rootfd, struct restore **ret_restore)
{
	struct restore *r = calloc(1, sizeof(*r));
	int error = 0;

	if (!r)
		return -ENOMEM;
	r->rootfd = rootfd;
	r->index.fd = -1;
	for (int p = 0; p < PLACE_COUNT; p++)
		r->fd[p] = -1;
	for (int p = 0; error == 0 && p < PLACE_COUNT; p++)
		error = make_dir(r, (enum place)p);
	if (error == 0)
		error = index_open(&r->index, rootfd, true);
	if (error < 0) {
		restore_free(r);
		return error;
	}
	*ret_restore = r;
	return 0;
}

struct restore *restore_free(struct restore *r)
{
	if (!r)
		return NULL;
	for (int p = 0; p < PLACE_COUNT; p++)
		fd_close(r->fd[p]);
	if (r->index.fd >= 0)
		index_close(&r->index);
	free(r);
	return NULL;
}

/* An id as id_name() writes it. */
static bool id_good(const char *text)
{
	char again[ID_NAME_BYTES];
	unsigned long long id;
	char *end;

	if (strspn(text, "0123456789abcdef") != strlen(text) ||
	    strlen(text) >= ID_NAME_BYTES)
		return false;
	id = strtoull(text, &end, 16);
	if (id == 0 || id >> STORE_ID_BITS)
		return false;
	id_name(id, again);
	return strcmp(text, again) == 0;
}

/* NAME.db; NAME@NUMBER.db or NAME@NUMBER.stream where @orphan. */
static bool kept_good(const char *file, bool orphan)
{
	char text[NAME_MAX_BYTES + 32];
	struct name_ref ref;
	const char *end = strrchr(file, '.');

	if (!end || (size_t)(end - file) >= sizeof(text) ||
	    (strcmp(end, ".db") != 0 &&
	     !(orphan && strcmp(end, ".stream") == 0)))
		return false;
	memcpy(text, file, (size_t)(end - file));
	text[end - file] = '\0';
	if (!orphan)
		return name_valid(text);
	return name_parse(text, false, &ref, NULL) == 0 &&
	       ref.kind == REF_VERSION;
}

static bool file_good(enum place p, const char *file)
{
	switch (p) {
	case PLACE_VERSIONS:
	case PLACE_REJECTED:
		return id_good(file);
	case PLACE_KEYS:
	case PLACE_ORPHANS:
		return kept_good(file, p == PLACE_ORPHANS);
	default:
		return name_valid(file);
	}
}

int restore_file(struct restore *r, const char *path, int *ret_fd)
{
	for (int p = 0; p < PLACE_COUNT; p++) {
		size_t n = strlen(place_names[p]);
		mode_t mode = p >= PLACE_KEYS ? 0600 : 0644;
		int fd;

		if (strncmp(path, place_names[p], n) != 0 || path[n] != '/')
			continue;
		if (!file_good((enum place)p, path + n + 1))
			return -EBADMSG;
		fd = openat(r->fd[p], path + n + 1,
			    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			    mode);
		if (fd < 0)
			return errno == EEXIST ? -EBADMSG : -errno;
		r->unclaimed += p != PLACE_DATA && p < PLACE_KEYS;
		*ret_fd = fd;
		return 0;
	}
	return -EBADMSG;
}

/* --- records --------------------------------------------------------------- */

static bool record_good(const struct record *rec)
{
	if ((unsigned)rec->dir >= DIR_DATA || !name_valid(rec->name) ||
	    rec->id == 0 || rec->id >> STORE_ID_BITS ||
	    rec->draft_id >> STORE_ID_BITS || rec->version > UINT32_MAX ||
	    rec->flags & ~(unsigned)RECORD_MOVED)
		return false;
	switch (rec->type) {
	case RECORD_PUBLISHED:
		return rec->version > 0 &&
		       (!rec->target[0] || name_valid(rec->target));
	case RECORD_REJECTED:
	case RECORD_REMOVED:
		return !rec->target[0] || name_valid(rec->target);
	default:
		return false;
	}
}

/* 1: the file is there, is what @rec says, and has its time; 0: not there. */
static int claim(struct restore *r, enum place p, const char *file,
		 const struct record *rec, ino_t *ret_ino)
{
	_cleanup_(fd_closep) int fd = -1;
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	uint8_t sha256[RECORD_SHA256_BYTES];
	struct stat st;
	int error = content_open(r->fd[p], file, &st, &fd);

	if (error < 0)
		return error == -ENOENT ? 0 : error;
	if ((uint64_t)st.st_size != rec->size_bytes)
		return -EBADMSG;
	error = content_hash(fd, rec->size_bytes, sha256);
	if (error < 0)
		return error;
	if (memcmp(sha256, rec->sha256, sizeof(sha256)) != 0 ||
	    r->unclaimed == 0)
		return -EBADMSG;
	times[1].tv_sec = rec->mtime_ns / 1000000000;
	times[1].tv_nsec = rec->mtime_ns % 1000000000;
	(void)!futimens(fd, times);
	r->unclaimed--;
	*ret_ino = st.st_ino;
	return 1;
}

int restore_record(struct restore *r, const struct record *rec)
{
	struct record own = *rec;
	char id[ID_NAME_BYTES];
	ino_t ino = 0;
	int error = 0;

	if (!record_good(rec))
		return -EBADMSG;
	own.prev = own.ino = 0;
	own.journal_epoch = own.journal_seq = 0;
	id_name(rec->id, id);
	if (rec->type == RECORD_REJECTED)
		error = claim(r, PLACE_REJECTED, id, rec, &ino);
	if (rec->type == RECORD_PUBLISHED && !rec->target[0]) {
		error = claim(r, PLACE_VERSIONS, id, rec, &ino);
		if (error == 0) {
			error = claim(r, (enum place)rec->dir, rec->name, rec,
				      &ino);
			own.ino = ino;
		}
		if (error == 0)
			error = -EBADMSG; /* nowhere */
	}
	return error < 0 ? error : index_append(&r->index, &own, 1);
}

/* The last record of a name that is live is the one that its file is. */
static int place_live(struct restore *r, const struct index_node *node)
{
	struct record rec;
	struct stat st;
	int error = index_record(&r->index, node->live, &rec);

	if (error < 0)
		return error;
	if (rec.target[0] &&
	    symlinkat(rec.target, r->fd[rec.dir], rec.name) < 0)
		return errno == EEXIST ? -EBADMSG : -errno;
	if (fstatat(r->fd[rec.dir], rec.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? -EBADMSG : -errno;
	if (!rec.target[0])
		return rec.ino == st.st_ino ? 0 : -EBADMSG;
	rec.ino = st.st_ino;
	rec.flags |= RECORD_TOUCHED;
	return index_append(&r->index, &rec, 1);
}

static size_t count_live(const struct index *ix)
{
	size_t n = 0;

	for (int i = 0; i < DIR_DATA; i++)
		n += ix->live_count[i];
	return n;
}

static int place_all(struct restore *r, enum store_dir dir)
{
	struct index_node **nodes;
	size_t n;
	int error = index_sorted(&r->index, dir, &nodes, &n);

	for (size_t i = 0; error == 0 && i < n; i++)
		error = place_live(r, nodes[i]);
	return error;
}

/* A file that is not live is in the way of nothing, but is no store's. */
static size_t count_files(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	size_t n = 0;
	const struct dirent *e;

	if (!list)
		fd_close(fd);
	while (list && (e = readdir(list)))
		n += e->d_name[0] != '.';
	if (list)
		closedir(list);
	return n;
}

int restore_end(struct restore *r)
{
	size_t files = 0;
	int error = r->unclaimed > 0 ? -EBADMSG : 0;

	for (int i = 0; error == 0 && i < DIR_DATA; i++) {
		error = place_all(r, (enum store_dir)i);
		files += count_files(r->fd[i]);
	}
	if (error == 0 && files != count_live(&r->index))
		error = -EBADMSG;
	return error < 0 ? error : index_sync(&r->index);
}
