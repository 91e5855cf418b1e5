#pragma once

/*
 * The store: named texts in five flat directories, each with its versions.
 *
 * Guarantees
 * - Publication is atomic and, unless STORE_RELAXED, durable: when
 *   store_commit() has returned 0 for a publication, a crash at any later
 *   point finds it; a crash at an earlier point finds the old version or the
 *   new one, whole.
 * - The backing is plain files, always current: `DIR/NAME` under the root is
 *   the live text, `.versions/ID` an older one. Readers need neither the
 *   journal nor a lock. A file is never written again once it was live; a
 *   descriptor keeps its bytes whatever happens to the name.
 * - Several processes may have one store open. Writers exclude each other by
 *   a lock on `.lock`; everyone notices what others published at the next
 *   call (the index is followed, not cached blindly), and inotify on the
 *   plain directories tells of it at once (store_watch_paths).
 *
 * Does not: know FUSE, check texts (the caller verifies a draft before it
 * commits it; verify.h), log, or exit. Calls that write may block for a disk.
 * One struct store is used by one thread at a time, except for store_commit(),
 * which may run in one thread beside reads and drafts in another.
 *
 * Errors are negative errno: -EINVAL bad name, -ENOENT, -EROFS after a failed
 * sync or on a read-only store (until it is opened again), -EFBIG over the
 * file limit, -ENOSPC disk full or -EDQUOT over the store's own quota, -EBUSY.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "fs/name.h"

struct store;
struct store_draft;

#define STORE_KEEP_DEFAULT	 16U
#define STORE_FILE_BYTES_DEFAULT (16ULL << 20)
#define STORE_SHA256_HEX	 64
#define STORE_COMMAND_BYTES	 32
#define STORE_REASON_BYTES	 256

enum store_flags {
	STORE_RELAXED = 1 << 0,	 /* no syncs */
	STORE_READONLY = 1 << 1, /* never write; replay is left to a writer */
	STORE_CREATE = 1 << 2,	 /* make the root where there is none */
};

struct store_options {
	unsigned flags;
	unsigned keep;		   /* versions kept of each name; 0: default */
	uint64_t file_limit_bytes; /* 0: default */
	uint64_t quota_bytes;	   /* of all versions and drafts; 0: none */
	const char *builtin_path;  /* the layer below, read-only; NULL: none */
};

/* Who wrote a version: what FUSE or the system said, not the writer. */
struct store_writer {
	uid_t uid;
	pid_t pid;
	char command[STORE_COMMAND_BYTES];
};

enum store_event {
	STORE_PUBLISHED,
	STORE_REJECTED,
	STORE_REMOVED,
};

/* A line of `thoxctl store log`; also what lookup tells about a file. */
struct store_entry {
	enum store_event event;
	uint64_t id;	  /* of this very content, never used again */
	uint64_t version; /* from 1; of a rejected one: 0; built-in: 0 */
	uint64_t size_bytes;
	struct timespec time;
	char sha256[STORE_SHA256_HEX + 1];
	char runtime[NAME_MAX_BYTES + 1]; /* of a `thox-exec -r` first line */
	struct store_writer writer;
	char reason[STORE_REASON_BYTES]; /* of a rejected one */
	bool builtin;			 /* from the layer below */
	bool symlink;			 /* `reason` holds the target's name */
};

/* life: @path is the root; -EWOULDBLOCK never: locks are held briefly only */
int store_open(const char *path, const struct store_options *options,
	       struct store **ret_store);
struct store *store_free(struct store *s);

/*
 * Reading. A name that is not there is tried with its alternate spelling
 * only by store_resolve(); a symbolic link is followed by both (one step, to
 * a sibling). @ret_fd is O_RDONLY|O_CLOEXEC and the caller's; NULL to only
 * look. @ret_entry may be NULL. The layer below answers where the store
 * has nothing.
 */
int store_lookup(struct store *s, enum store_dir dir, const char *name,
		 struct store_entry *ret_entry);
int store_read(struct store *s, enum store_dir dir, const struct name_ref *ref,
	       struct store_entry *ret_entry, int *ret_fd);
int store_resolve(struct store *s, enum store_dir dir,
		  const struct name_ref *ref, struct store_entry *ret_entry,
		  int *ret_fd);
int store_read_id(struct store *s, uint64_t id, struct store_entry *ret_entry,
		  int *ret_fd);

/* Listing, sorted by name, both layers; a callback that returns non-zero
 * ends it with that value. Names stay valid during the callback only. */
typedef int (*store_list_fn)(const char *name, const struct store_entry *entry,
			     void *user);
int store_list(struct store *s, enum store_dir dir, store_list_fn fn,
	       void *user);

/* History, oldest first. */
typedef int (*store_log_fn)(const struct store_entry *entry, void *user);
int store_log(struct store *s, enum store_dir dir, const char *name,
	      store_log_fn fn, void *user);

/*
 * Drafts: a private file that becomes a version. @base_id is the content to
 * start from, 0 for nothing. A draft survives its process: store_drafts()
 * lists those that were left, store_draft_reopen() goes on with one.
 */
int store_draft_new(struct store *s, enum store_dir dir, const char *name,
		    uint64_t base_id, struct store_draft **ret_draft);
int store_draft_reopen(struct store *s, uint64_t id,
		       struct store_draft **ret_draft);
int store_draft_fd(struct store_draft *d); /* O_RDWR, stays the draft's */
uint64_t store_draft_id(struct store_draft *d);
/* Remove the file unless it was published; NULL allowed; returns NULL. */
struct store_draft *store_draft_free(struct store_draft *d);

/*
 * Publication. Each element takes one draft (its content as it is now; the
 * draft may be written and committed again later: content that was live is
 * never touched, the draft goes on in a copy) or one removal. Elements share
 * one sync. @result is set for each; the return value is for the store.
 */
struct store_change {
	enum store_event event;
	enum store_dir dir;
	const char *name;
	struct store_draft *draft; /* NULL for STORE_REMOVED */
	uint64_t replaces; /* version to replace, made by this draft; or 0 */
	struct store_writer writer;
	const char *runtime; /* NULL or "" */
	const char *reason;  /* of STORE_REJECTED */
	struct store_entry ret_entry;
	int result;
};
int store_commit(struct store *s, struct store_change *changes, size_t count);

/* Names: publish @from's live content as the next version of @to, and remove
 * @from; a symbolic link to a sibling. */
int store_rename(struct store *s, enum store_dir dir, const char *from,
		 const char *to, const struct store_writer *writer);
int store_symlink(struct store *s, enum store_dir dir, const char *target,
		  const char *name, const struct store_writer *writer);
int store_purge(struct store *s, enum store_dir dir, const char *name);

/* Read every file again and compare it with its recorded SHA-256; @fn gets
 * the name, its entry and 0, -EBADMSG (differs) or the read's error. */
typedef int (*store_verify_fn)(enum store_dir dir, const char *name,
			       const struct store_entry *entry, int result,
			       void *user);
int store_verify(struct store *s, store_verify_fn fn, void *user);

/* Housekeeping when idle: syncfs, cut the journal, drop what nobody needs. */
int store_idle(struct store *s);

/* For inotify: the absolute path of a plain directory; owned by the store. */
const char *store_dir_path(struct store *s, enum store_dir dir);
