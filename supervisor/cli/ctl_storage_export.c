/*
 * Step 9, in thoxctl: a program's storage as an archive, and back.
 *
 * NAME/keys is MessagePack, one array [key, value, seconds left | nil] after
 * another; NAME/stream are its bytes.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/fd.h"
#include "base/util.h"
#include "cli/archive.h"
#include "cli/ctl_ask.h"
#include "cli/ctl_storage.h"
#include "cli/say.h"
#include "fs/name.h"

#define KEYS_BYTES_MAX (1U << 30)
#define PIECE_BYTES    (1U << 20)
#define BATCH_KEYS     500U
#define TRIES	       5

/* --- export: keys -----------------------------------------------------------
 */

struct exporting {
	struct mp_writer keys;
	uint64_t count;
	bool terminal; /* is shown how far it is */
};

static int on_key(const struct ctl_key *key, void *user)
{
	struct exporting *e = user;

	mp_write_array(&e->keys, 3);
	mp_write_strn(&e->keys, key->key.p, key->key.size);
	mp_write_raw(&e->keys, key->value.p, key->value.size);
	if (key->ttl > 0)
		mp_write_double(&e->keys, key->ttl);
	else
		mp_write_nil(&e->keys);
	if (++e->count % 1000 == 0 && e->terminal)
		fprintf(stderr, "\r%llu keys", (unsigned long long)e->count);
	return CTL_OK;
}

/* The newest version: whether anything was written. */
static int newest(struct ctl_storage *s, uint64_t *ret)
{
	struct native_answer answer;
	struct mp_reader r;
	int code = ctl_storage_ask(s, "storage.stat", NULL, &answer);

	if (code != CTL_OK)
		return code;
	mp_reader_init(&r, answer.args.p, answer.args.size);
	(void)mp_read_array(&r);
	for (uint32_t n = mp_read_map(&r); n > 0 && !r.bad; n--) {
		struct mp_bytes key = mp_read_str(&r);

		if (mp_bytes_equal(key, "version"))
			*ret = mp_read_uint(&r);
		else
			mp_skip(&r);
	}
	native_answer_deinit(&answer);
	return CTL_OK;
}

/* As they are at one time, unless somebody never stops writing. */
static int collect(struct ctl_storage *s, struct exporting *e)
{
	uint64_t before = 0, after = 0;
	int code = CTL_OK;

	for (int i = 0; i < TRIES; i++) {
		e->keys.used = 0;
		e->count = 0;
		code = newest(s, &before);
		if (code == CTL_OK)
			code = ctl_storage_keys(s, "", true, on_key, e);
		if (code == CTL_OK)
			code = newest(s, &after);
		if (code != CTL_OK || before == after)
			break;
	}
	if (e->terminal && e->count >= 1000)
		fputs("\r\033[K", stderr);
	if (code == CTL_OK && before != after)
		say("%s: keys were written meanwhile; some are older than "
		    "others",
		    s->program);
	if (code == CTL_OK && mp_writer_end(&e->keys) < 0) {
		say("%s: out of memory", s->program);
		return CTL_FAILED;
	}
	return code;
}

/* --- export: the archive ----------------------------------------------------
 */

static int write_keys(struct archive_writer *w, const char *program,
		      const struct mp_writer *keys)
{
	struct archive_member m = { .size = keys->used };
	int r;

	snprintf(m.name, sizeof(m.name), "%s/keys", program);
	r = archive_begin(w, &m);
	return r < 0 ? r : archive_write(w, keys->data, keys->used);
}

/* Exactly as long as was said, whatever becomes of the file meanwhile. */
static int copy_stream(struct archive_writer *w, int fd, uint64_t left)
{
	char *piece = calloc(1, PIECE_BYTES);
	int r = piece ? 0 : -ENOMEM;

	while (r == 0 && left > 0) {
		size_t size = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
		ssize_t n = fd_read_full(fd, piece, size);

		if (n >= 0 && (size_t)n < size)
			memset(piece + n, 0, size - (size_t)n);
		r = n < 0 ? (int)n : archive_write(w, piece, size);
		left -= size;
	}
	free(piece);
	return r;
}

static int write_stream(struct archive_writer *w, const struct ctl *ctl,
			const char *program)
{
	_cleanup_(fd_closep) int fd = -1;
	struct archive_member m = { 0 };
	char path[PATH_MAX + NAME_MAX_BYTES + 16];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "%s/data/%s", ctl->in.store, program);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EPERM;
	snprintf(m.name, sizeof(m.name), "%s/stream", program);
	m.size = (uint64_t)st.st_size;
	m.time_s = (uint64_t)st.st_mtim.tv_sec;
	r = archive_begin(w, &m);
	if (r == 0 && m.size == 0)
		return archive_write(w, "", 0);
	return r < 0 ? r : copy_stream(w, fd, m.size);
}

static int write_archive(const struct ctl *ctl, int fd,
			 const struct mp_writer *keys)
{
	struct archive_writer w = { .fd = fd };
	int r = write_keys(&w, ctl->argv[0], keys);

	if (r == 0)
		r = write_stream(&w, ctl, ctl->argv[0]);
	return r < 0 ? r : archive_end(&w);
}

static int save(const struct ctl *ctl, const struct mp_writer *keys)
{
	const char *file = ctl->argv[1];
	int fd = ctl_is_dash(file)
			 ? STDOUT_FILENO
			 : open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
				0600);
	int r;

	if (fd < 0)
		return ctl_fail(file, -errno);
	r = write_archive(ctl, fd, keys);
	if (r == 0 && !ctl_is_dash(file) && (fsync(fd) < 0 && errno != EINVAL))
		r = -errno;
	if (!ctl_is_dash(file))
		fd_close(fd);
	return r < 0 ? ctl_fail(file, r) : CTL_OK;
}

int ctl_storage_export(struct ctl *ctl)
{
	_cleanup_(ctl_storage_close) struct ctl_storage s = { 0 };
	struct exporting e = { .terminal = isatty(STDERR_FILENO) };
	int r = ctl_storage_open(ctl, ctl->argv[0], &s);

	if (r != CTL_OK)
		return r;
	if (ctl_is_dash(ctl->argv[1]) && isatty(STDOUT_FILENO)) {
		say("an archive is not for a terminal");
		return CTL_USAGE;
	}
	mp_writer_init_heap(&e.keys);
	r = collect(&s, &e);
	if (r == CTL_OK)
		r = save(ctl, &e.keys);
	mp_writer_deinit(&e.keys);
	return r;
}

/* --- import -----------------------------------------------------------------
 */

struct importing {
	struct ctl *ctl;
	const char *file;
	struct archive_reader reader;
	struct archive_member member;
	char program[NAME_MAX_BYTES + 1]; /* that the archive is of */
	struct ctl_storage storage;
	uint64_t count;
};

static int bad_archive(const struct importing *im, int r)
{
	if (r != -EBADMSG)
		return ctl_fail(im->file, r);
	say("%s: not an archive of `thoxctl storage export`, or damaged",
	    im->file);
	return CTL_FAILED;
}

/* NAME/WHAT, the same NAME as before. */
static bool member_is(struct importing *im, const char *what)
{
	char name[NAME_MAX_BYTES + 16];

	snprintf(name, sizeof(name), "%s/%s", im->program, what);
	return strcmp(name, im->member.name) == 0;
}

static int read_program(struct importing *im)
{
	size_t n = strcspn(im->member.name, "/");

	if (n >= sizeof(im->program))
		return -EBADMSG;
	memcpy(im->program, im->member.name, n);
	im->program[n] = '\0';
	return name_valid(im->program) && member_is(im, "keys") ? 0 : -EBADMSG;
}

/* One key, which the writer gets as a transaction wants it. */
static bool read_key(struct mp_reader *r, struct mp_writer *to)
{
	struct mp_bytes key, value, ttl;

	if (mp_read_array(r) != 3)
		return false;
	key = mp_read_str(r);
	value = mp_read_raw(r);
	ttl = mp_read_raw(r);
	if (r->bad || !to)
		return !r->bad;
	mp_write_str(to, "set");
	mp_write_strn(to, key.p, key.size);
	mp_write_raw(to, value.p, value.size);
	mp_write_raw(to, ttl.p, ttl.size);
	return true;
}

static bool keys_good(struct mp_bytes keys)
{
	struct mp_reader r;

	mp_reader_init(&r, keys.p, keys.size);
	while (r.p < r.end)
		if (!read_key(&r, NULL))
			return false;
	return true;
}

static int send_batch(struct importing *im, const struct mp_writer *batch,
		      uint32_t n)
{
	struct native_values v;
	int code;

	native_values_init(&v);
	mp_write_array(&v.w, 2 + 4 * n);
	mp_write_nil(&v.w);
	mp_write_uint(&v.w, 0);
	mp_write_raw(&v.w, batch->data, batch->used);
	code = ctl_storage_do(&im->storage, "storage.keys.transaction", &v);
	native_values_deinit(&v);
	im->count += n;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%llu keys", (unsigned long long)im->count);
	return code;
}

static int send_keys(struct importing *im, struct mp_bytes keys)
{
	struct mp_writer batch;
	struct mp_reader r;
	int code = CTL_OK;

	mp_writer_init_heap(&batch);
	mp_reader_init(&r, keys.p, keys.size);
	while (code == CTL_OK && r.p < r.end) {
		uint32_t n = 0;

		batch.used = 0;
		while (r.p < r.end && n < BATCH_KEYS &&
		       batch.used < PIECE_BYTES) {
			if (!read_key(&r, &batch))
				break;
			n++;
		}
		code = send_batch(im, &batch, n);
	}
	if (im->count > 0 && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	mp_writer_deinit(&batch);
	return code;
}

/* Nothing is removed before it is known that there is something else. */
static int import_keys(struct importing *im)
{
	size_t size = (size_t)im->member.size, done = 0;
	struct mp_bytes keys = { 0 };
	char *bytes;
	int code;

	if (im->member.size > KEYS_BYTES_MAX)
		return bad_archive(im, -EFBIG);
	bytes = malloc(size + 1);
	if (!bytes)
		return bad_archive(im, -ENOMEM);
	code = archive_read(&im->reader, bytes, size, &done);
	keys = (struct mp_bytes){ bytes, done };
	if (code == 0 && !keys_good(keys))
		code = -EBADMSG;
	code = code < 0 ? bad_archive(im, code)
			: ctl_storage_do(&im->storage, "storage.keys.flush",
					 NULL);
	if (code == CTL_OK)
		code = ctl_storage_do(&im->storage, "storage.remove", NULL);
	if (code == CTL_OK)
		code = send_keys(im, keys);
	free(bytes);
	return code;
}

static int write_piece(struct importing *im, uint64_t offset, const char *bytes,
		       size_t size)
{
	struct native_values v;
	int code;

	native_values_init(&v);
	mp_write_array(&v.w, 2);
	mp_write_uint(&v.w, offset);
	mp_write_strn(&v.w, bytes, size);
	code = ctl_storage_do(&im->storage, "storage.stream.write", &v);
	native_values_deinit(&v);
	return code;
}

static int import_stream(struct importing *im)
{
	char *piece = malloc(PIECE_BYTES);
	uint64_t at = 0;
	int code = CTL_OK;

	if (!piece)
		return bad_archive(im, -ENOMEM);
	do { /* also when there is nothing: the stream is to be there */
		size_t n = 0;
		int r = archive_read(&im->reader, piece, PIECE_BYTES, &n);

		code = r < 0 ? bad_archive(im, r)
			     : write_piece(im, at, piece, n);
		at += n;
	} while (code == CTL_OK && at < im->member.size);
	free(piece);
	return code == CTL_OK ? ctl_storage_do(&im->storage,
					       "storage.stream.sync", NULL)
			      : code;
}

/* Is it whole? A pipe shows that at its end only. */
static int look_through(struct importing *im)
{
	off_t from = lseek(im->reader.fd, 0, SEEK_CUR);
	struct archive_reader reader = { .fd = im->reader.fd };
	struct archive_member m;
	int r = 0;

	if (from < 0)
		return 0;
	do {
		r = archive_next(&reader, &m);
	} while (r == 1);
	if (r == 0 && lseek(im->reader.fd, from, SEEK_SET) < 0)
		r = -errno;
	return r;
}

static int import(struct importing *im)
{
	const char *target = im->ctl->argc > 1 ? im->ctl->argv[1] : NULL;
	int r = look_through(im), code;

	if (r == 0)
		r = archive_next(&im->reader, &im->member);
	r = r == 1 ? read_program(im) : r < 0 ? r : -EBADMSG;
	if (r < 0)
		return bad_archive(im, r);
	code = ctl_storage_open(im->ctl, target ? target : im->program,
				&im->storage);
	if (code == CTL_OK)
		code = import_keys(im);
	if (code != CTL_OK)
		return code;
	r = archive_next(&im->reader, &im->member);
	if (r == 1 && member_is(im, "stream"))
		code = import_stream(im);
	else if (r != 0)
		return bad_archive(im, r < 0 ? r : -EBADMSG);
	if (code == CTL_OK)
		code = ctl_storage_do(&im->storage, "storage.keys.flush", NULL);
	return code;
}

int ctl_storage_import(struct ctl *ctl)
{
	struct importing im = { .ctl = ctl, .file = ctl->argv[0] };
	int code;

	im.reader.fd = ctl_is_dash(im.file)
			       ? STDIN_FILENO
			       : open(im.file, O_RDONLY | O_CLOEXEC);
	if (im.reader.fd < 0)
		return ctl_fail(im.file, -errno);
	code = import(&im);
	ctl_storage_close(&im.storage);
	if (!ctl_is_dash(im.file))
		fd_close(im.reader.fd);
	return code;
}
