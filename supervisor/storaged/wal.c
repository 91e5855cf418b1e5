/* Storage, step 1: below SQLite, frames of a WAL on their way to the file. */

#include "storaged/wal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_BYTES  (64U << 10) /* 31 frames of 2 KiB */
#define STEP_BYTES  (16 << 10)
#define AHEAD_BYTES (1 << 20)

/* The default VFS's own file lies behind it, in memory that SQLite gives. */
struct wal {
	sqlite3_file base;
	char *kept;	     /* KEPT_BYTES; NULL: nothing was kept yet */
	sqlite3_int64 at;    /* where in the file it belongs */
	size_t used;	     /* how much of it there is */
	sqlite3_int64 asked; /* for how many bytes wal_grow() was called */
	sqlite3_int64 grown; /* the file is as large; 0: who knows */
	int failed;	     /* and SQLite was not told in a way that counts */
	bool joins;
};

#define WAL_BYTES ((sizeof(struct wal) + 15) / 16 * 16)

static sqlite3_vfs *below;
static sqlite3_vfs vfs;

static sqlite3_file *real_of(sqlite3_file *file)
{
	return (sqlite3_file *)((char *)file + WAL_BYTES);
}

/* What is kept reaches the file, or never will. */
static int flush(struct wal *w)
{
	sqlite3_file *real = real_of(&w->base);
	size_t used = w->used;
	int code;

	if (used == 0)
		return SQLITE_OK;
	w->used = 0;
	code = real->pMethods->xWrite(real, w->kept, (int)used, w->at);
	if (code != SQLITE_OK)
		w->failed = code;
	return code;
}

/* The same, by a call after which there is no commit unless it succeeds. */
static int flush_told(struct wal *w)
{
	int code;

	(void)flush(w);
	code = w->failed;
	w->failed = SQLITE_OK;
	return code;
}

/* --- a WAL ---------------------------------------------------------------- */

static int wal_close(sqlite3_file *file)
{
	struct wal *w = (struct wal *)file;
	sqlite3_file *real = real_of(file);

	(void)flush(w);
	free(w->kept);
	w->kept = NULL;
	return real->pMethods->xClose(real);
}

static int wal_read(sqlite3_file *file, void *data, int size, sqlite3_int64 at)
{
	sqlite3_file *real = real_of(file);
	int code = flush((struct wal *)file);

	return code != SQLITE_OK ? code
				 : real->pMethods->xRead(real, data, size, at);
}

static bool may_keep(struct wal *w, int size)
{
	if (!w->joins || (size_t)size > KEPT_BYTES)
		return false;
	if (!w->kept)
		w->kept = malloc(KEPT_BYTES);
	return w->kept;
}

static int wal_write(sqlite3_file *file, const void *data, int size,
		     sqlite3_int64 at)
{
	struct wal *w = (struct wal *)file;
	sqlite3_file *real = real_of(file);
	bool follows = w->used > 0 && at == w->at + (sqlite3_int64)w->used &&
		       w->used + (size_t)size <= KEPT_BYTES;
	int code = follows ? SQLITE_OK : flush_told(w);

	if (code != SQLITE_OK)
		return code;
	if (!may_keep(w, size))
		return real->pMethods->xWrite(real, data, size, at);
	if (!follows)
		w->at = at;
	memcpy(w->kept + w->used, data, (size_t)size);
	w->used += (size_t)size;
	return SQLITE_OK;
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct wal *w = (struct wal *)file;
	sqlite3_file *real = real_of(file);
	int code = flush(w);

	w->grown = 0;
	return code != SQLITE_OK ? code : real->pMethods->xTruncate(real, size);
}

static int wal_sync(sqlite3_file *file, int flags)
{
	sqlite3_file *real = real_of(file);
	int code = flush_told((struct wal *)file);

	return code != SQLITE_OK ? code : real->pMethods->xSync(real, flags);
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
	sqlite3_file *real = real_of(file);
	int code = flush((struct wal *)file);

	return code != SQLITE_OK ? code
				 : real->pMethods->xFileSize(real, ret_size);
}

static int wal_lock(sqlite3_file *file, int level)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xLock(real, level);
}

static int wal_unlock(sqlite3_file *file, int level)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xUnlock(real, level);
}

static int wal_reserved(sqlite3_file *file, int *ret_reserved)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xCheckReservedLock(real, ret_reserved);
}

/* What it does with the file is not known in here. */
static int wal_control(sqlite3_file *file, int what, void *with)
{
	struct wal *w = (struct wal *)file;
	sqlite3_file *real = real_of(file);
	int code = flush(w);

	w->grown = 0;
	return code != SQLITE_OK
		       ? code
		       : real->pMethods->xFileControl(real, what, with);
}

static int wal_sector(sqlite3_file *file)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xSectorSize(real);
}

static int wal_device(sqlite3_file *file)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xDeviceCharacteristics(real);
}

/* The first version: shared memory and mappings are the database's. */
static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = wal_close,
	.xRead = wal_read,
	.xWrite = wal_write,
	.xTruncate = wal_truncate,
	.xSync = wal_sync,
	.xFileSize = wal_size,
	.xLock = wal_lock,
	.xUnlock = wal_unlock,
	.xCheckReservedLock = wal_reserved,
	.xFileControl = wal_control,
	.xSectorSize = wal_sector,
	.xDeviceCharacteristics = wal_device,
};

void wal_grow(sqlite3_file *file, int64_t used)
{
	static const char zeros[STEP_BYTES];
	struct wal *w = (struct wal *)file;
	sqlite3_file *real = real_of(file);
	sqlite3_int64 size, enough = used + STEP_BYTES, end = enough;

	if (file->pMethods != &methods || used < STEP_BYTES)
		return;
	if (used < w->asked) /* it began anew; somebody may have cut it */
		w->grown = 0;
	w->asked = used;
	if (w->grown > enough)
		return;
	w->grown = 0;
	if (flush(w) != SQLITE_OK ||
	    real->pMethods->xFileSize(real, &size) != SQLITE_OK)
		return;
	if (size <= enough)
		end = used + (used < AHEAD_BYTES ? used : AHEAD_BYTES);
	for (; size < end; size += STEP_BYTES)
		if (real->pMethods->xWrite(real, zeros, STEP_BYTES, size) !=
		    SQLITE_OK)
			return;
	w->grown = size;
}

/* --- the files of a database ---------------------------------------------- */

static int vfs_open(sqlite3_vfs *self, const char *name, sqlite3_file *file,
		    int flags, int *ret_flags)
{
	struct wal *w = (struct wal *)file;
	sqlite3_file *real = real_of(file);
	int code;

	(void)self;
	if (!(flags & SQLITE_OPEN_WAL))
		return below->xOpen(below, name, file, flags, ret_flags);
	memset(w, 0, sizeof(*w));
	real->pMethods = NULL;
	code = below->xOpen(below, name, real, flags, ret_flags);
	if (!real->pMethods)
		return code;
	/* To be closed even if it could not be opened. */
	w->base.pMethods = &methods;
	w->joins = code == SQLITE_OK &&
		   (real->pMethods->xDeviceCharacteristics(real) &
		    SQLITE_IOCAP_POWERSAFE_OVERWRITE);
	return code;
}

int wal_register(void)
{
	if (below)
		return SQLITE_OK;
	below = sqlite3_vfs_find(NULL);
	if (!below)
		return SQLITE_ERROR;
	/* All but xOpen is its own, which does not ask by whose name. */
	vfs = *below;
	vfs.zName = WAL_VFS;
	vfs.pNext = NULL;
	vfs.szOsFile = (int)WAL_BYTES + below->szOsFile;
	vfs.xOpen = vfs_open;
	return sqlite3_vfs_register(&vfs, 0);
}
