/*
 * Step 9, in thoxctl: what a backup is made of, member by member.
 *
 * The store is as of one moment, each program's keys are, and each stream is.
 * Nobody is held up for it.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/client.h"
#include "cli/ctl_backup_private.h"
#include "cli/ctl_storage.h"
#include "cli/ctl_store.h"
#include "cli/say.h"
#include "native/connect.h"
#include "rpc/storaged.h"
#include "storaged/database.h"

/* --- members ---------------------------------------------------------------
 */

static int begin(struct backing *b, uint64_t size, int64_t time_s)
{
	struct archive_member m = { .size = size };

	m.time_s = time_s > 0 ? (uint64_t)time_s : 0;
	strcpy(m.name, b->member);
	SHA256Init(&b->sum);
	return archive_begin(&b->out, &m);
}

static int put(struct backing *b, const void *data, size_t size)
{
	if (backup_interrupted())
		return -EINTR;
	SHA256Update(&b->sum, data, size);
	if (b->terminal)
		backup_tell(b->bytes, size);
	b->bytes += size;
	return archive_write(&b->out, data, size);
}

static int end(struct backing *b)
{
	char line[BACKUP_LINE_BYTES];
	uint8_t sha256[32];
	int r = archive_write(&b->out, "", 0); /* also of no bytes */

	SHA256Final(sha256, &b->sum);
	mp_write_raw(&b->sums, line, backup_line(b->member, sha256, line));
	return r;
}

static int put_whole(struct backing *b, const char *member, const void *data,
		     size_t size)
{
	int r;

	snprintf(b->member, sizeof(b->member), "%s", member);
	r = begin(b, size, (int64_t)time(NULL));
	if (r == 0)
		r = put(b, data, size);
	return r == 0 ? end(b) : r;
}

/* From the start of @fd, which nobody writes. */
static int put_file(struct backing *b, int fd, uint64_t size, int64_t time_s)
{
	int r = begin(b, size, time_s);
	uint64_t at = 0;

	while (r == 0 && at < size) {
		size_t want = size - at < BACKUP_PIECE_BYTES
				      ? (size_t)(size - at)
				      : BACKUP_PIECE_BYTES;
		ssize_t n = pread(fd, b->piece, want, (off_t)at);

		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* shorter than it was */
		r = put(b, b->piece, (size_t)n);
		at += (uint64_t)n;
	}
	return r == 0 ? end(b) : r;
}

/* The archive goes on without something. */
static int miss(struct backing *b, const char *what, const char *why)
{
	if (b->terminal)
		fputs("\r\033[K", stderr);
	say("%s: %s: left out", what, why);
	b->problems++;
	return 0;
}

/* --- texts ----------------------------------------------------------------- */

static int put_manifest(struct backing *b)
{
	struct backup_manifest m = { .format = BACKUP_FORMAT,
				     .thox = PACKAGE_VERSION,
				     .time_s = (uint64_t)time(NULL) };
	struct record rec;
	char *text;
	int r;

	for (size_t i = 0; i < backup_count(b->texts); i++)
		if (backup_record(b->texts, i, &rec) != BACKUP_NOWHERE) {
			m.texts++;
			m.bytes += rec.size_bytes;
		}
	text = backup_manifest_write(&m);
	if (!text)
		return -ENOMEM;
	r = put_whole(b, BACKUP_MANIFEST, text, strlen(text));
	free(text);
	return r;
}

/* Is @fd what the store once wrote? */
static bool is_whole(struct backing *b, int fd, const struct record *rec)
{
	uint8_t sha256[RECORD_SHA256_BYTES];
	struct stat st;
	SHA2_CTX sum;
	ssize_t n;
	off_t at = 0;

	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != rec->size_bytes)
		return false;
	SHA256Init(&sum);
	while ((n = pread(fd, b->piece, BACKUP_PIECE_BYTES, at)) > 0) {
		SHA256Update(&sum, (uint8_t *)b->piece, (size_t)n);
		at += n;
	}
	SHA256Final(sha256, &sum);
	return n == 0 && memcmp(sha256, rec->sha256, sizeof(sha256)) == 0;
}

static void label_of(const struct record *rec, char ret[STORE_LABEL_BYTES])
{
	char which[24] = "rejected";

	if (rec->type != RECORD_REJECTED)
		snprintf(which, sizeof(which), "%llu",
			 (unsigned long long)rec->version);
	snprintf(ret, STORE_LABEL_BYTES, "%s/%s@%s", store_dir_name(rec->dir),
		 rec->name, which);
}

static int put_text(struct backing *b, size_t i)
{
	_cleanup_(fd_closep) int fd = -1;
	char label[STORE_LABEL_BYTES], path[BACKUP_PATH_BYTES];
	struct record rec;
	enum backup_place place = backup_record(b->texts, i, &rec);
	int r;

	if (place == BACKUP_NOWHERE)
		return 0;
	r = backup_open(b->texts, i, &fd);
	if (r == -ESTALE) { /* thrown away meanwhile */
		backup_leave_out(b->texts, i);
		return 0;
	}
	label_of(&rec, label);
	if (r < 0 || !is_whole(b, fd, &rec)) {
		backup_leave_out(b->texts, i);
		return miss(b, label, r < 0 ? strerror(-r) : "damaged");
	}
	backup_path(&rec, place, path);
	snprintf(b->member, sizeof(b->member), BACKUP_STORE "%s", path);
	b->n_texts++;
	return put_file(b, fd, rec.size_bytes, rec.mtime_ns / 1000000000);
}

/* A refused text that is gone leaves its line in the history. */
static bool is_told(const struct backing *b, size_t i, struct record *ret_rec)
{
	(void)backup_record(b->texts, i, ret_rec);
	return !backup_left_out(b->texts, i) ||
	       ret_rec->type == RECORD_REJECTED;
}

static int put_records(struct backing *b)
{
	uint8_t bytes[RECORD_MAX_BYTES];
	struct mp_writer records;
	struct record rec;
	int r;

	mp_writer_init_heap(&records);
	for (size_t i = 0; i < backup_count(b->texts); i++)
		if (is_told(b, i, &rec))
			mp_write_raw(&records, (char *)bytes,
				     record_write(&rec, bytes));
	r = mp_writer_end(&records);
	if (r == 0 && records.used > BACKUP_RECORDS_BYTES)
		r = -EFBIG;
	if (r == 0)
		r = put_whole(b, BACKUP_RECORDS, records.data, records.used);
	mp_writer_deinit(&records);
	return r;
}

static int put_texts(struct backing *b)
{
	int r = backup_begin(b->store, &b->texts);

	if (r == 0)
		r = put_manifest(b);
	for (size_t i = 0; r == 0 && i < backup_count(b->texts); i++)
		r = put_text(b, i);
	return r == 0 ? put_records(b) : r;
}

/* --- keys ------------------------------------------------------------------ */

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), k = strlen(end);

	return n > k && strcmp(text + n - k, end) == 0;
}

/* `NAME.db`: its NAME. */
static bool program_of(const char *file, char ret[NAME_MAX_BYTES + 1])
{
	if (!ends_with(file, ".db") ||
	    snprintf(ret, NAME_MAX_BYTES + 1, "%.*s", (int)strlen(file) - 3,
		     file) > NAME_MAX_BYTES)
		return false;
	return name_valid(ret);
}

/* @dir: below `.storage` */
typedef int (*file_fn)(struct backing *b, const char *dir, const char *file);

static int each_file(struct backing *b, const char *dir, file_fn fn)
{
	char path[PATH_MAX + 32];
	const struct dirent *e;
	DIR *list;
	int r = 0;

	snprintf(path, sizeof(path), "%s/.storage/%s", b->ctl->in.store, dir);
	list = opendir(path);
	if (!list)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (e = readdir(list)))
		if (e->d_name[0] != '.' &&
		    strlen(e->d_name) <= NAME_MAX_BYTES + 32)
			r = fn(b, dir, e->d_name);
	closedir(list);
	return r;
}

/* What is in thox-storaged's memory only goes to the disk. */
static int flush_one(struct native *native, const char *program)
{
	struct ctl_storage s = { .program = program, .native = native };
	struct native_values v;
	int r;

	native_values_init(&v);
	mp_write_array(&v.w, 1);
	mp_write_str(&v.w, program);
	r = ctl_storage_take(&s, STORAGED_OPEN, &v, &s.link);
	native_values_deinit(&v);
	if (r == CTL_OK)
		r = ctl_storage_do(&s, "storage.keys.flush", NULL);
	native_link_close(s.link);
	return r;
}

static int flush(struct backing *b, const char *dir, const char *file)
{
	char program[NAME_MAX_BYTES + 1];

	(void)dir;
	/* What went wrong has been said; the file is what there is. */
	if (program_of(file, program) &&
	    flush_one(b->native, program) != CTL_OK)
		b->problems++;
	return backup_interrupted() ? -EINTR : 0;
}

/* An instance that does not run has all of it on the disk. */
static int flush_all(struct backing *b)
{
	struct link l;
	int r = client_open(&b->ctl->in, false, &l);

	if (r == -ENOENT || r == -ECONNREFUSED)
		return 0;
	if (r == 0)
		r = native_attach(&l, "thoxctl", CONNECT_HELLO_MS, &b->native);
	if (r < 0)
		return r;
	r = each_file(b, "keys", flush);
	native_free(b->native);
	return r;
}

void backing_clear_spool(const struct backing *b)
{
	(void)unlinkat(b->spool_fd, SPOOL_STREAM, 0);
	(void)unlinkat(b->spool_fd, SPOOL_KEYS, 0);
	(void)unlinkat(b->spool_fd, SPOOL_KEYS "-wal", 0);
	(void)unlinkat(b->spool_fd, SPOOL_KEYS "-shm", 0);
}

static int copy_keys(struct backing *b, const char *from, const char *path)
{
	struct database *db = NULL;
	int r;

	backing_clear_spool(b);
	r = database_open(from, "", false, &db);
	if (r == 0)
		r = database_copy(db, path);
	db = database_close(db);
	if (r == 0)
		r = database_open(path, "", false, &db);
	if (r == 0)
		r = database_verify(db);
	database_close(db);
	return r;
}

#define FILE_BYTES (PATH_MAX + NAME_MAX_BYTES + 64)

static void name_file(struct backing *b, const char *dir, const char *file,
		      char ret_path[FILE_BYTES])
{
	snprintf(ret_path, FILE_BYTES, "%s/.storage/%s/%s", b->ctl->in.store,
		 dir, file);
	snprintf(b->member, sizeof(b->member),
		 BACKUP_STORE ".storage/%.20s/%.200s", dir, file);
}

/* Nobody writes it, or it is replaced as a whole. */
static int put_plain(struct backing *b, const char *dir, const char *file)
{
	_cleanup_(fd_closep) int fd = -1;
	char path[FILE_BYTES];
	struct stat st;

	name_file(b, dir, file, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return put_file(b, fd, (uint64_t)st.st_size, st.st_mtim.tv_sec);
}

static int put_keys(struct backing *b, const char *dir, const char *file)
{
	_cleanup_(fd_closep) int fd = -1;
	char from[FILE_BYTES], path[PATH_MAX + 32];
	struct stat st;
	int r;

	if (!ends_with(file, ".db"))
		return ends_with(file, ".stream") ? put_plain(b, dir, file) : 0;
	name_file(b, dir, file, from);
	snprintf(path, sizeof(path), "%s/" SPOOL "/" SPOOL_KEYS,
		 b->ctl->in.store);
	r = copy_keys(b, from, path);
	if (r == -ENOENT) /* removed meanwhile */
		return 0;
	if (r == -ENOSPC)
		return r;
	if (r < 0)
		return miss(b, b->member + strlen(BACKUP_STORE),
			    database_reason());
	fd = openat(b->spool_fd, SPOOL_KEYS, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	b->n_storages++;
	return put_file(b, fd, (uint64_t)st.st_size, st.st_mtim.tv_sec);
}

/* --- streams --------------------------------------------------------------- */

static int put_stream(const char *name, const struct stat *stat, void *user)
{
	_cleanup_(fd_closep) int fd = -1;
	struct backing *b = user;
	struct stat st = *stat, copy;
	int r;

	backing_clear_spool(b);
	fd = openat(b->spool_fd, SPOOL_STREAM,
		    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = backup_stream(b->store, name, fd, &st);
	if (r == -ENOENT)
		return 0;
	snprintf(b->member, sizeof(b->member), BACKUP_STORE "data/%s", name);
	if (r < 0)
		return r;
	if (r > 0)
		say("data/%s: was written all the time; some of it is older "
		    "than the rest",
		    name);
	if (fstat(fd, &copy) < 0)
		return -errno;
	b->n_streams++;
	return put_file(b, fd, (uint64_t)copy.st_size, st.st_mtim.tv_sec);
}

/* --- state and configuration ------------------------------------------------ */

static int put_small(struct backing *b, const char *path, const char *member)
{
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct mp_writer text;
	ssize_t n;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	mp_writer_init_heap(&text);
	do {
		n = fd_read_full(fd, b->piece, BACKUP_PIECE_BYTES);
		if (n > 0)
			mp_write_raw(&text, b->piece, (size_t)n);
	} while (n > 0 && text.used <= BACKUP_SMALL_BYTES);
	r = n < 0 ? (int)n : mp_writer_end(&text);
	if (r == 0)
		r = text.used > BACKUP_SMALL_BYTES
			    ? miss(b, path, "larger than 1 MiB")
			    : put_whole(b, member,
					text.used ? (const char *)text.data
						  : "",
					text.used);
	mp_writer_deinit(&text);
	return r;
}

static int put_state(struct backing *b)
{
	char path[PATH_MAX + 32], member[64];
	int r = 0;

	for (size_t i = 0; r == 0 && backup_states[i]; i++) {
		snprintf(path, sizeof(path), "%s/%s", b->ctl->in.state,
			 backup_states[i]);
		snprintf(member, sizeof(member), BACKUP_STATE "%s",
			 backup_states[i]);
		r = put_small(b, path, member);
	}
	snprintf(path, sizeof(path), "%s/thoxd.conf", b->ctl->in.config);
	return r == 0 ? put_small(b, path, BACKUP_CONFIG) : r;
}

/* --- all of it ----------------------------------------------------------- */

static int put_sums(struct backing *b)
{
	struct mp_writer sums = b->sums;
	int r = mp_writer_end(&sums);

	mp_writer_init_heap(&b->sums); /* its own is nowhere */
	if (r == 0)
		r = put_whole(b, BACKUP_SUMS, sums.data, sums.used);
	mp_writer_deinit(&sums);
	return r == 0 ? archive_end(&b->out) : r;
}

int backing_put_all(struct backing *b)
{
	int r = flush_all(b);

	if (r == 0)
		r = put_texts(b);
	if (r == 0)
		r = each_file(b, "keys", put_keys);
	if (r == 0)
		r = each_file(b, "orphans", put_keys);
	if (r == 0)
		r = each_file(b, "owners", put_plain);
	if (r == 0)
		r = store_file_list(b->store, DIR_DATA, false, put_stream, b);
	if (r == 0)
		r = put_state(b);
	return r == 0 ? put_sums(b) : r;
}
