#pragma once

/* What the files of definition.h share. */

#include "service/definition.h"

/* How a value is read: definition_value.c has a function for each. */
enum key_type {
	KEY_TEXT,
	KEY_PROGRAM,
	KEY_RUNTIME,
	KEY_ARGS,
	KEY_ENV,
	KEY_SECRET,
	KEY_CALL_NAME,
	KEY_CALL_NAMES,
	KEY_BOOL,
	KEY_CHOICE,
	KEY_COUNT,
	KEY_MS,
	KEY_BYTES,
	KEY_RATE,
	KEY_SCHEDULE,
	KEY_SERVICES,
	KEY_FACTOR,
	KEY_JITTER,
	KEY_LIMIT,
	KEY_CODES,
	KEY_ON_LIMIT,
	KEY_PATTERNS,
	KEY_N_TYPES,
};

struct key {
	const char *section, *name; /* a name that ends in a dot goes on */
	enum key_type type;
	size_t offset;	     /* in struct definition */
	uint64_t min, max;   /* of a number; of a list, max items */
	bool none;	     /* `none` is a value */
	const char *choices; /* `start call`, in the order of the enum */
};

extern const struct key definition_keys[];
extern const size_t definition_n_keys;
#define KEYS_MAX 64

struct reading {
	const struct definition_source *source;
	struct definition *d;
	struct definition_notes *notes;
	const char *p, *end; /* what inih has not fetched yet */
	unsigned line;
	bool indented; /* the line begins with a space */
	bool overlong; /* a line was too long: nothing more is read */
	/* These use %i: of a template as such they name nothing. */
	bool program_open, runtime_open;
	const struct key *key;	  /* that a next line may continue */
	unsigned lines[KEYS_MAX]; /* in which a key was given, 0: it was not */
	int error;		  /* -ENOMEM */
};

void note_error(struct reading *rd, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void note_warning(struct reading *rd, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* definition_key.c: @name as in a file; NULL when there is none */
const struct key *key_find(const char *section, const char *name);
bool section_exists(const char *section);
/* What may have been meant, NULL when nothing is near. Static. */
const char *section_near(const char *section);
const char *key_near(const char *section, const char *name);
/* The other section that has such a key, or NULL. */
const char *key_elsewhere(const char *section, const char *name);
/* The line in which it was given, 0 when it was not. */
unsigned line_of(const struct reading *rd, const char *section,
		 const char *name);
bool key_is_list(const struct key *key);

/* definition_value.c: reads @value for @key (@name: as in the file), and
 * notes what is wrong with it. */
void value_read(struct reading *rd, const struct key *key, const char *name,
		const char *value);

/* definition_check.c: the whole, when all keys are read */
void definition_set_defaults(struct reading *rd);
void definition_check(struct reading *rd);
