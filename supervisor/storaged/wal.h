#pragma once

/*
 * The writes to a WAL, joined.
 *
 * SQLite writes each frame of a WAL in two, its header and its page. A VFS of
 * the name WAL_VFS lies in front of the default one and takes no part in
 * anything but a WAL: writes that follow on each other are kept, and become
 * one before whatever could tell the difference.
 *
 * What is kept reaches the file before a sync, a read, a truncation or a
 * question about its size by the same connection, and before a write that does
 * not follow on it; so the file sees all writes in their order. Others could
 * see less of it meanwhile. They know from the wal-index alone how much of a
 * WAL is valid, and SQLite puts a transaction in there when its frames were
 * written and then synced (sqlite.org/walformat.html and /wal.html). Frames of
 * no finished transaction are nobody's but the writer's; recovery, which reads
 * a WAL without its index, waits for the writer's lock. So:
 *
 * Only for connections with `synchronous = FULL`: without the sync at the end
 * of each transaction others would be told of frames that are not there. A
 * file that SQLite writes to after that sync (one that is not
 * SQLITE_IOCAP_POWERSAFE_OVERWRITE) is left alone.
 *
 * A write that was kept and then failed (a full disk) is told by the call that
 * made it reach the file, and by the next write or sync if that call was
 * neither: no transaction is committed without it. When a process is killed,
 * what it kept was not written yet, and no more.
 */

#include <sqlite3.h>
#include <stdint.h>

#define WAL_VFS "thox-wal"

/* Once in a process, before the first open. Returns SQLite's code. */
int wal_register(void);

/*
 * @used bytes of the file are a WAL's: let it grow ahead of them by zeros,
 * which are no frames. To sync what makes a file longer takes the file system
 * a commit of its own, to sync what is written over does not. For how large
 * the file is the kernel is asked only when that can matter: who asks for a
 * file's times with it has the next write note the time exactly, and the next
 * sync write that down (multigrain timestamps, Linux 6.13).
 *
 * Only between BEGIN and COMMIT. Errors show in what is really to be written.
 * A file that is not of WAL_VFS is left alone.
 */
void wal_grow(sqlite3_file *file, int64_t used);
