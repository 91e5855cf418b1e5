/* Step 4 of a look: what a content says of itself beyond its attributes. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "node.h"
#include "ops.h"

#define PREFIX "user.thox."

static int value_version(struct thoxfs *fs, const struct store_entry *e,
			 char *value, size_t size)
{
	(void)fs;
	if (!e->version)
		return -ENODATA;
	snprintf(value, size, "%" PRIu64, e->version);
	return 0;
}

static int value_sha256(struct thoxfs *fs, const struct store_entry *e,
			char *value, size_t size)
{
	(void)fs;
	snprintf(value, size, "%s", e->sha256);
	return value[0] ? 0 : -ENODATA;
}

static int value_runtime(struct thoxfs *fs, const struct store_entry *e,
			 char *value, size_t size)
{
	(void)fs;
	snprintf(value, size, "%s", e->runtime);
	return value[0] ? 0 : -ENODATA;
}

/* Why this text was refused; of a live one: why a newer one was. */
static int value_error(struct thoxfs *fs, const struct store_entry *e,
		       char *value, size_t size)
{
	struct store_entry rejected = *e;

	if (e->event != STORE_REJECTED &&
	    (!e->rejected_id || store_read_id(fs->store, e->rejected_id, NULL,
					      &rejected, NULL) < 0))
		return -ENODATA;
	snprintf(value, size, "%s", rejected.reason);
	return value[0] ? 0 : -ENODATA;
}

static const struct {
	const char *name;
	int (*value)(struct thoxfs *fs, const struct store_entry *e,
		     char *value, size_t size);
} attributes[] = {
	{ PREFIX "version", value_version },
	{ PREFIX "sha256", value_sha256 },
	{ PREFIX "runtime", value_runtime },
	{ PREFIX "error", value_error },
};

/* -ENODATA for what has no content of the store behind it. */
static int entry_of(struct thoxfs *fs, fuse_ino_t ino,
		    struct store_entry *ret_entry)
{
	enum store_dir dir;
	int r;

	ino = node_settled(fs, ino);
	if (node_kind(ino) != NODE_LIVE && node_kind(ino) != NODE_VERSION)
		return -ENODATA;
	r = store_read_id(fs->store, node_id(ino), &dir, ret_entry, NULL);
	/* That a newer text was refused is said of the name. */
	if (r == 0 && node_kind(ino) == NODE_LIVE && ret_entry->live)
		r = store_lookup(fs->store, dir, ret_entry->name, ret_entry);
	return r;
}

/* The protocol: a size of 0 asks how much there is. */
static void reply(fuse_req_t req, const char *data, size_t n, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(req, n);
	else if (n > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, data, n);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	struct store_entry entry;
	char value[STORE_REASON_BYTES];
	int r = -ENODATA;

	/* Most of what is asked for is security.* and system.*: no work. */
	if (strncmp(name, PREFIX, strlen(PREFIX)) == 0)
		r = entry_of(fs, ino, &entry);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(attributes); i++) {
		if (strcmp(attributes[i].name, name) != 0)
			continue;
		r = attributes[i].value(fs, &entry, value, sizeof(value));
		if (r < 0)
			break;
		reply(req, value, strlen(value), size);
		return;
	}
	fuse_reply_err(req, r < 0 ? -r : ENODATA);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct thoxfs *fs = fuse_req_userdata(req);
	struct store_entry entry;
	char list[256], value[STORE_REASON_BYTES];
	size_t n = 0;

	if (entry_of(fs, ino, &entry) == 0)
		for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
			if (attributes[i].value(fs, &entry, value,
						sizeof(value)) == 0)
				n += (size_t)sprintf(list + n, "%s",
						     attributes[i].name) +
				     1;
	reply(req, list, n, size);
}

/* cp -a and tar pass over ENOTSUP; ours are facts and cannot be set. */
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		 const char *value, size_t size, int flags)
{
	(void)ino;
	(void)value;
	(void)size;
	(void)flags;
	fuse_reply_err(req, strncmp(name, PREFIX, strlen(PREFIX)) == 0
				    ? EPERM
				    : ENOTSUP);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	op_setxattr(req, ino, name, NULL, 0, 0);
}
