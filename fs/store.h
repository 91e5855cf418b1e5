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
 *   call (the index is followed, not cached blindly), and inotify on
 *   store_watch_path() tells of it at once.
 *
 * Does not: know FUSE, check texts (the caller verifies a frozen text before
 * it commits it; verify.h), log, or exit. Calls that write may block for a
 * disk.
 *
 * Threads: every call may run in any thread of the process. store_commit(),
 * store_rename(), store_purge(), store_touch() and store_idle() exclude each
 * other and block for the disk; all others never wait for a sync. The one
 * exception: a draft is used by one thread at a time, but its frozen texts
 * (struct store_text) may be committed by another thread meanwhile.
 *
 * Errors are negative errno: -EINVAL bad name, -ENOENT, -EROFS after a failed
 * sync or on a read-only store (until it is opened again), -EFBIG over the
 * file limit, -ENOSPC disk full or over the store's own quota, -ESTALE for an
 * id that is gone, -EBUSY for a name that others keep changing, -EPERM for what a store does not have (links elsewhere,
 * removal of a built-in).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "fs/name.h"

struct store;
struct store_draft;
struct store_text;

#define STORE_KEEP_DEFAULT	 16U
#define STORE_FILE_BYTES_DEFAULT (16ULL << 20)
#define STORE_SHA256_HEX	 64
#define STORE_COMMAND_BYTES	 32
#define STORE_REASON_BYTES	 256
#define STORE_CONFINED_BYTES	 65
/* Ids fit below this, so that a node id has room for a kind on top. */
#define STORE_ID_BITS 56

enum store_flags {
	STORE_RELAXED = 1 << 0,	   /* no syncs */
	STORE_READONLY = 1 << 1,   /* never write; replay is left to a writer */
	STORE_CREATE = 1 << 2,	   /* make the root where there is none */
	STORE_OWN_IS_OLD = 1 << 3, /* store_follow() tells what others did */
};

struct store_options {
	unsigned flags;
	unsigned keep;		   /* versions kept of each name; 0: default */
	uint64_t file_limit_bytes; /* 0: default */
	uint64_t quota_bytes;	   /* of all that is stored; 0: none */
	const char *builtin_path;  /* the layer below, read-only; NULL: none */
};

/* Who wrote a version: what FUSE or the system said, not the writer. */
struct store_writer {
	uid_t uid;
	pid_t pid;
	char command[STORE_COMMAND_BYTES];
	/* of a process of thox: what it was confined by, in words of the
	 * supervisor's; else "" */
	char confined[STORE_CONFINED_BYTES];
};

enum store_event {
	STORE_PUBLISHED,
	STORE_REJECTED,
	STORE_REMOVED,
};

/* A line of `thoxctl store log`; also what lookup tells about a file. */
struct store_entry {
	enum store_event event;
	uint64_t id;	  /* of this very content, never used again; of a
			   * built-in: its inode number */
	uint64_t version; /* from 1; of a rejected one or a built-in: 0 */
	uint64_t size_bytes;
	struct timespec time;  /* of the event */
	struct timespec mtime; /* of the file: what utimens set, or the last
				* write */
	char sha256[STORE_SHA256_HEX + 1]; /* "" of a built-in */
	char runtime[NAME_MAX_BYTES + 1];  /* of a `thox-exec -r` first line */
	struct store_writer writer;
	char reason[STORE_REASON_BYTES]; /* of a rejected one */
	char target[NAME_MAX_BYTES + 1]; /* of a symbolic link, else "" */
	char name[NAME_MAX_BYTES + 1];	 /* as stored: after store_resolve()
					  * perhaps not as asked */
	uint64_t draft_id;    /* of the draft that it was made from */
	uint64_t rejected_id; /* of a live one: a newer text was refused, and
			       * this is its id; else 0 */
	bool builtin;	      /* from the layer below */
	bool live;	      /* what the name shows now */
};

/*
 * life: @path is the root. A directory that cannot be written is opened as if
 * STORE_READONLY had been said (store_writable() tells). -EPERM when the root
 * belongs to neither the caller nor root, -ENOTDIR or -ELOOP when what should
 * be a directory is not one.
 */
int store_open(const char *path, const struct store_options *options,
	       struct store **ret_store);
struct store *store_free(struct store *s);

/* Be the one supervisor of this store until it is freed. -EBUSY when another
 * process is, and its PID in @ret_holder (NULL allowed; 0 when unknown). */
int store_claim(struct store *s, pid_t *ret_holder);

/* 0, or -EROFS. */
int store_writable(struct store *s);

struct store_usage {
	uint64_t used_bytes;  /* live, versions, rejected, data, drafts */
	uint64_t quota_bytes; /* 0: none */
	uint64_t total_bytes; /* what statfs shall say: the quota or the disk */
	uint64_t free_bytes;
	uint64_t names;	   /* with a live content */
	uint64_t versions; /* contents kept */
};
int store_usage(struct store *s, struct store_usage *ret_usage);
uint64_t store_file_limit(struct store *s);

/*
 * Reading. lookup is about the name itself and does not follow a symbolic
 * link; read and resolve do (one step, to a sibling). A name that is not
 * there is tried with its alternate spelling only by store_resolve(). @ret_fd
 * is O_RDONLY|O_CLOEXEC and the caller's; NULL to only look. @ret_entry may
 * be NULL. The layer below answers where the store has nothing.
 */
int store_lookup(struct store *s, enum store_dir dir, const char *name,
		 struct store_entry *ret_entry);
int store_read(struct store *s, enum store_dir dir, const struct name_ref *ref,
	       struct store_entry *ret_entry, int *ret_fd);
int store_resolve(struct store *s, enum store_dir dir,
		  const struct name_ref *ref, struct store_entry *ret_entry,
		  int *ret_fd);

/* By id: published, older or rejected content, -ESTALE when it is gone. Also
 * takes the id of a draft for what was last made from it. @ret_dir and
 * @ret_fd may be NULL; the name is in @ret_entry. */
int store_read_id(struct store *s, uint64_t id, enum store_dir *ret_dir,
		  struct store_entry *ret_entry, int *ret_fd);
/* A built-in by its inode number. */
int store_read_builtin(struct store *s, uint64_t ino, enum store_dir *ret_dir,
		       struct store_entry *ret_entry, int *ret_fd);

/*
 * Listing, sorted by name, both layers; a callback that returns non-zero ends
 * it with that value, and may call the store. store_names() is the cheap one:
 * it reads no file. Not for DIR_DATA (store_file_list).
 */
typedef int (*store_names_fn)(const char *name, uint64_t id, bool builtin,
			      bool symlink, void *user);
int store_names(struct store *s, enum store_dir dir, store_names_fn fn,
		void *user);
typedef int (*store_list_fn)(const char *name, const struct store_entry *entry,
			     void *user);
int store_list(struct store *s, enum store_dir dir, store_list_fn fn,
	       void *user);

/* History, oldest first, removals and refusals included. -ENOENT when the
 * name never was. */
typedef int (*store_log_fn)(const struct store_entry *entry, void *user);
int store_log(struct store *s, enum store_dir dir, const char *name,
	      store_log_fn fn, void *user);

/*
 * Since when @name is the program that version @version is of: when the first
 * text came after the name had been away for @absence_ns or longer. 0: always,
 * as far as its history tells (a name that was replaced by a rename, or that
 * an editor took away for a moment, is the same all the time).
 */
#define STORE_ABSENCE_MS 10000U
int store_since(struct store *s, enum store_dir dir, const char *name,
		uint64_t version, int64_t absence_ns, uint64_t *ret_since_ns);

/*
 * Following: what happened since this struct store last asked (first call:
 * since it was opened), whoever did it. Of several events of one name only
 * the last may be told. With STORE_OWN_IS_OLD what this struct store did
 * itself is left out, but for what came after something of another's. @fn may
 * be NULL. Inotify (IN_MODIFY | IN_MOVED_TO | IN_CREATE) on
 * store_watch_path(), a directory, says when it is worth calling; the path is
 * owned by the store.
 */
typedef int (*store_follow_fn)(enum store_dir dir,
			       const struct store_entry *entry, void *user);
int store_follow(struct store *s, store_follow_fn fn, void *user);
const char *store_watch_path(struct store *s);

/*
 * Drafts: a private file that becomes a version. @base_id is the content to
 * start from, 0 for nothing. A draft survives its process: store_drafts()
 * lists those that were left, store_draft_reopen() goes on with one, also
 * with one that was published already. Its id never changes; it is the id of
 * the first content that is made from it, later contents have their own.
 *
 * Write through store_draft_write() only: it goes on in a copy when the
 * content was frozen, and keeps the limits.
 */
int store_draft_new(struct store *s, enum store_dir dir, const char *name,
		    uint64_t base_id, struct store_draft **ret_draft);
int store_draft_reopen(struct store *s, uint64_t id,
		       struct store_draft **ret_draft);
/* @fd: a text of it, for the time of the call, to be looked at. */
typedef int (*store_drafts_fn)(uint64_t id, enum store_dir dir,
			       const char *name, int fd, void *user);
int store_drafts(struct store *s, store_drafts_fn fn, void *user);

uint64_t store_draft_id(const struct store_draft *d);
enum store_dir store_draft_dir(const struct store_draft *d);
const char *store_draft_name(const struct store_draft *d);
/* Written, truncated or filled since it was made or last frozen. After a
 * reopen: true when a file was found in .drafts. */
bool store_draft_dirty(const struct store_draft *d);
/* The version last made from it, 0 if none. */
uint64_t store_draft_version(const struct store_draft *d);
/* To read: the draft's own, valid until the next write. */
int store_draft_fd(const struct store_draft *d);
/* Its size, blocks and times, which are those that the version will have. */
int store_draft_stat(const struct store_draft *d, struct stat *ret_stat);

ssize_t store_draft_write(struct store_draft *d, const void *data, size_t size,
			  off_t offset);
int store_draft_truncate(struct store_draft *d, uint64_t size);
/* Replace the content by what @fd holds (from 0; its offset is untouched). */
int store_draft_fill(struct store_draft *d, int fd);
int store_draft_utimens(struct store_draft *d, const struct timespec *mtime);
/* It will become another name: a rename before the publication. */
int store_draft_rename(struct store_draft *d, const char *name);
/* Remove the file unless its content was committed; NULL allowed; returns
 * NULL. store_draft_leave() keeps the file for a later reopen. */
struct store_draft *store_draft_free(struct store_draft *d);
struct store_draft *store_draft_leave(struct store_draft *d);

/*
 * A frozen text: a draft's content of one moment, which nothing changes any
 * more; what is verified and what is committed is the same. It may outlive
 * its draft. Freed without a commit, its file goes back to the draft, or away
 * with it.
 */
int store_draft_freeze(struct store_draft *d, struct store_text **ret_text);
int store_text_fd(const struct store_text *t); /* the text's; only read it */
struct store_text *store_text_free(struct store_text *t);
/* Freeze-free shorthand for a text from memory or a descriptor. */
int store_text_from_fd(struct store *s, enum store_dir dir, const char *name,
		       int fd, struct store_text **ret_text);
int store_text_from_bytes(struct store *s, enum store_dir dir, const char *name,
			  const void *data, size_t size,
			  struct store_text **ret_text);

/*
 * Publication. Elements share one lock and one sync, and take effect in
 * order; a text is used up by it (freeing it stays the caller's). @result is
 * set for each; the return value is 0, or the first failure of the store
 * itself (then every @result holds one).
 *
 * STORE_PUBLISHED: @text, or @target for a symbolic link. STORE_REJECTED:
 * @text and @reason. STORE_REMOVED: neither.
 */
struct store_change {
	enum store_event event;
	enum store_dir dir;
	const char *name;
	struct store_text *text;
	const char *target;
	/* This version was made by the same draft: if it is still live, the
	 * text takes its place instead of becoming the next one. 0: never.
	 * store_draft_version() has the value. */
	uint64_t replaces;
	uint64_t only_id; /* -EAGAIN when another content is live; 0: any */
	bool follows;	  /* fails as the one before it in the array did */
	bool exclusive;	  /* -EEXIST when the name has a content already */
	bool moved;	  /* of a removal: the name became another one */
	struct store_writer writer;
	const char *runtime; /* NULL or "" */
	const char *reason;
	struct store_entry ret_entry;
	int result;
};
int store_commit(struct store *s, struct store_change *changes, size_t count);

/* The caller itself as a writer: uid, pid and command of this process. */
void store_writer_self(struct store_writer *ret_writer);

/* Publish @from's live content as the next version of @to and remove @from,
 * in one step. A @from that had a single version leaves no history. The
 * caller verifies where a directory's rules ask for it (the same directory:
 * it was verified). @noreplace: -EEXIST when @to is there. */
int store_rename(struct store *s, enum store_dir dir, const char *from,
		 const char *to, bool noreplace,
		 const struct store_writer *writer,
		 struct store_entry *ret_entry);
/* Forget the name with all its versions and refusals. */
int store_purge(struct store *s, enum store_dir dir, const char *name);
/* utimens of a live file; makes no version. */
int store_touch(struct store *s, enum store_dir dir, const char *name,
		const struct timespec *mtime);

/*
 * Plain files: the streams of DIR_DATA, and the scratch names
 * (name_scratch()) of every directory. Never versioned, never synced, written
 * in place. -EINVAL for a name that is neither. @flags: O_RDONLY or O_RDWR,
 * O_CREAT, O_EXCL, O_TRUNC. Write with store_file_write() (limits); the
 * inode number is the id. store_file_rename() takes both names within @dir,
 * scratch or (in DIR_DATA) not; from or to a text is the caller's to do by
 * store_draft_fill().
 */
int store_file_open(struct store *s, enum store_dir dir, const char *name,
		    int flags, int *ret_fd);
ssize_t store_file_write(struct store *s, int fd, const void *data, size_t size,
			 off_t offset);
int store_file_truncate(struct store *s, int fd, uint64_t size);
int store_file_stat(struct store *s, enum store_dir dir, const char *name,
		    struct stat *ret_stat);
int store_file_remove(struct store *s, enum store_dir dir, const char *name);
int store_file_rename(struct store *s, enum store_dir dir, const char *from,
		      const char *to, bool noreplace);
typedef int (*store_file_fn)(const char *name, const struct stat *stat,
			     void *user);
int store_file_list(struct store *s, enum store_dir dir, bool scratch,
		    store_file_fn fn, void *user);
/* Remove all scratch files: at unmount. */
int store_scratch_clear(struct store *s);

/* Read every file again and compare it with its recorded SHA-256; @fn gets
 * the name, its entry and 0, -EBADMSG (differs) or the read's error. */
typedef int (*store_verify_fn)(enum store_dir dir, const char *name,
			       const struct store_entry *entry, int result,
			       void *user);
int store_verify(struct store *s, store_verify_fn fn, void *user);

/* Housekeeping when idle: remove versions beyond the kept ones, syncfs and
 * cut the journal, rewrite the index when most of it is dead. Cheap when
 * there is nothing to do. */
int store_idle(struct store *s);
