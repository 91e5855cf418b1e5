#pragma once

/*
 * The archive of `thoxctl backup`: a tar whose first member says what it is
 * and whose last one has the SHA-256 of all others.
 *
 *	manifest		JSON: format, thox, time, texts, bytes
 *	store/programs/NAME ...	texts, as they lie in a store
 *	store/.versions/ID	older versions
 *	store/.rejected/ID	refused texts
 *	records			what the store knows of them, fs/record.h
 *	store/.storage/keys/NAME.db
 *	store/data/NAME
 *	state/services ...	what thoxd keeps of itself
 *	config/thoxd.conf
 *	sums			as sha256sum(1) prints them
 *
 * It may come from anywhere: -EBADMSG is what a damaged or an invented one is.
 */

#include <sha2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/archive.h"

#define BACKUP_FORMAT	      1U
#define BACKUP_MANIFEST_BYTES 65536U
#define BACKUP_SMALL_BYTES    (1U << 20) /* of state and configuration */
#define BACKUP_RECORDS_BYTES  (1U << 30)
#define BACKUP_PIECE_BYTES    (1U << 18)

#define BACKUP_MANIFEST "manifest"
#define BACKUP_RECORDS	"records"
#define BACKUP_SUMS	"sums"
#define BACKUP_STORE	"store/"
#define BACKUP_STATE	"state/"
#define BACKUP_CONFIG	"config/thoxd.conf"

/* Of the state directory; what thoxd keeps by state_file.h. */
extern const char *const backup_states[]; /* ends with NULL */

struct backup_manifest {
	uint64_t format;
	char thox[32];	 /* the version that made it */
	uint64_t time_s; /* since 1970 */
	uint64_t texts;	 /* all versions, refused ones too; with ... */
	uint64_t bytes;	 /* ... so many bytes: before streams and keys */
};
/* The caller frees it; NULL: no memory. */
char *backup_manifest_write(const struct backup_manifest *m);
/* -EBADMSG, or -EPROTONOSUPPORT: of a newer thox, which @ret_manifest names. */
int backup_manifest_read(const void *data, size_t size,
			 struct backup_manifest *ret_manifest);

/* The line of a member. */
#define BACKUP_LINE_BYTES (SHA256_DIGEST_STRING_LENGTH + ARCHIVE_NAME_BYTES + 8)
size_t backup_line(const char *name, const uint8_t sha256[32],
		   char ret_line[BACKUP_LINE_BYTES]);

/* SIGINT, SIGTERM, SIGHUP: the first one is heard of here, so that things can
 * be tidied up; the second one ends the process. */
void backup_catch_signals(void);
bool backup_interrupted(void);
/* On a terminal: how far it has come with @more bytes behind @bytes. */
void backup_tell(uint64_t bytes, uint64_t more);
