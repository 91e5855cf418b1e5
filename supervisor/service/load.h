#pragma once

/*
 * Definitions out of a store: found under either spelling of their name, with
 * everything that they need looked up in it.
 */

#include "fs/store.h"
#include "service/definition.h"
#include "service/order.h"

/* A lookup that asks @store, which stays the caller's. */
struct definition_lookup load_lookup(struct store *store);

/*
 * The definition of service @name (without `.service`), of @instance unless
 * that is NULL. -ENOENT when there is no such service, -EINVAL with notes when
 * it has errors. @ret_entry may be NULL.
 */
int load_definition(struct store *store, const char *name, const char *instance,
		    struct definition **ret_definition,
		    struct definition_notes *ret_notes,
		    struct store_entry *ret_entry);

/* The same of a version, the newest or not. */
int load_definition_version(struct store *store, const char *name,
			    const char *instance, uint64_t version,
			    struct definition **ret_definition,
			    struct definition_notes *ret_notes);

/* What @definition says of its order, for order_set(): it points into it. */
struct order_links load_links(const struct definition *definition);

/*
 * Names of all services, sorted, each once. A callback that returns non-zero
 * ends it with that value.
 */
typedef int (*load_name_fn)(void *user, const char *name);
int load_names(struct store *store, load_name_fn fn, void *user);
