#pragma once

/*
 * What the store's commands share: the store, a name, an entry as JSON.
 */

#include <jansson.h>

#include "cli/ctl.h"
#include "fs/name.h"
#include "fs/store.h"

/* Open this instance's store, made when it is not there. An exit code; what
 * went wrong has been said. */
int ctl_store_open(const struct ctl *ctl, struct store **ret_store);

/* Since when @program is the program that it is (store_since()). */
int ctl_store_since(const struct ctl *ctl, struct store *s, const char *program,
		    uint64_t *ret_since_ns);

struct store_name {
	enum store_dir dir;
	struct name_ref ref;
	const char *text; /* as typed */
};

/* `[DIR/]NAME[@VERSION]`, said and CTL_USAGE when it is none. Versions only
 * where @versions. */
int ctl_store_name(const char *text, bool versions,
		   struct store_name *ret_name);

/* The text that @name means, the alternate spelling included; @ret_fd may be
 * NULL. Streams of data/ have no version. */
int ctl_store_read(struct store *s, const struct store_name *name,
		   struct store_entry *ret_entry, int *ret_fd);

json_t *ctl_store_json(const struct store_entry *entry);

#define STORE_TIME_BYTES 40
void ctl_store_time(const struct timespec *time, char ret[STORE_TIME_BYTES]);

/* The version before the live one, to compare with. */
int ctl_store_previous(struct store *s, const struct store_name *name,
		       uint64_t *ret_version);
/* The one to go back to: another text, and none that was refused. */
int ctl_store_good(struct store *s, const struct store_name *name,
		   uint64_t *ret_version);

/* `programs/hello@3`, for messages. */
#define STORE_LABEL_BYTES 192
void ctl_store_label(const struct store_name *name,
		     char ret[STORE_LABEL_BYTES]);
