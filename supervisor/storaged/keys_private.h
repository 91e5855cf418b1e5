#pragma once

/*
 * What the files of keys share. Everyone else includes keys.h.
 */

#include "storaged/keys.h"

/* keys.c */
/* A database of @k is open, and was just used; others may have to close. */
void keys_count_open(struct keys *k);
int keys_load(struct keys *k);
/* The loop's connection; -ENOENT when there is no database. */
int keys_reader(struct keys *k, struct database **ret_db);
/* What memory or the database has of @key; expired ones included. */
int keys_lookup(struct keys *k, struct mp_bytes key, struct entry **ret_entry);
bool keys_expired(const struct entry *e, uint64_t now_ms);
/* A failure of the database met in the loop. One that is damaged is set aside
 * when this turn is over; until then everything fails. Returns @error. */
int keys_failed(struct keys *k, int error);

/* keys_write.c */
/* Is so much, or such a thing, on its way that writes have to wait? */
bool keys_pressed(const struct keys *k);
/* Take @e away as expired. */
int keys_expire(struct keys *k, struct entry *e);

/* keys_commit.c */
void keys_commit_init(struct keys *k);
void keys_batches_free(struct keys *k);
/* Room for @count more changes in the batch that is filling. */
int keys_batch_room(struct keys *k, size_t count);
/* There is something to commit, at the end of this turn or soon. */
void keys_schedule(struct keys *k, bool urgent);

/* keys_list.c */
void keys_expiry_init(struct keys *k);
/* Something expires then. */
void keys_due_at(struct keys *k, uint64_t deadline_ms);
void keys_due_load(struct keys *k);
