/*
 * Step 4, for services: what a key's value means.
 *
 * Each type has a function that reads the whole value, notes what is wrong
 * with it and leaves the definition's defaults where it is.
 */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/units.h"
#include "base/util.h"
#include "rpc/pattern.h"
#include "rpc/wire.h"
#include "service/definition_private.h"

#define SEPARATORS " \t,"
/* What takes the place of %i where a template as such is checked. */
#define PROBE "i"

/* One value on its way. */
struct value {
	struct reading *rd;
	const struct key *key;
	const char *name; /* as in the file */
	const char *text;
	void *field;
};

static void wrong(const struct value *v, const char *why)
{
	note_error(v->rd, v->rd->line, "'%.60s' is no value for %.40s: %s",
		   v->text, v->name, why);
}

static void out_of_memory(const struct value *v)
{
	v->rd->error = -ENOMEM;
}

static void replace(const struct value *v, char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy) {
		out_of_memory(v);
		return;
	}
	free(*field);
	*field = copy;
}

/* --- instances ----------------------------------------------------------- */

/* Puts the instance in the place of %i; false when it has been noted that
 * this cannot be. In a template as such it stays %i where it is only shown. */
static bool expand(const struct value *v, const char *text, bool shown,
		   char ret[DEFINITION_VALUE_BYTES])
{
	const struct definition_source *source = v->rd->source;
	const char *instance = source->instance ? source->instance
			       : shown		? "%i"
						: PROBE;
	size_t used = 0;

	for (const char *p = text; *p; p++) {
		const char *piece = p;
		size_t n = 1;

		if (*p == '%' && *++p == 'i') {
			v->rd->d->is_template = true;
			piece = instance;
			n = strlen(instance);
		} else if (*piece == '%' && *p != '%') {
			note_error(v->rd, v->rd->line,
				   "%.40s: after %% comes i (the instance) or "
				   "another %%",
				   v->name);
			return false;
		}
		if (used + n >= DEFINITION_VALUE_BYTES) {
			wrong(v, "it is too long");
			return false;
		}
		memcpy(ret + used, piece, n);
		used += n;
	}
	ret[used] = '\0';
	return true;
}

/* --- words --------------------------------------------------------------- */

static bool add(const struct value *v, struct names *names, const char *text)
{
	if (names->n >= v->key->max) {
		note_error(v->rd, v->rd->line, "%.40s: at most %llu",
			   v->key->name, (unsigned long long)v->key->max);
		return false;
	}
	if (names_add(names, text, strlen(text)) < 0) {
		out_of_memory(v);
		return false;
	}
	return true;
}

static bool word_end(char c)
{
	return c == '\0' || c == ' ' || c == '\t';
}

/*
 * One word of a command line as a shell has it: quotes of both kinds, and
 * backslashes outside of '…'. Why it is none, or NULL.
 */
static const char *take_word(const char **p, char ret[DEFINITION_VALUE_BYTES])
{
	size_t used = 0;
	char quote = 0;

	for (; quote || !word_end(**p); ++*p) {
		char c = **p;

		if (c == '\0')
			return "a quote is not closed";
		if (c == quote) {
			quote = 0;
			continue;
		}
		if (!quote && (c == '\'' || c == '"')) {
			quote = c;
			continue;
		}
		if (c == '\\' && quote != '\'') {
			if ((*p)[1] == '\0')
				return "nothing follows the backslash";
			c = *++*p;
		}
		ret[used++] = c; /* within a line */
	}
	ret[used] = '\0';
	return NULL;
}

static void read_args(const struct value *v)
{
	char word[DEFINITION_VALUE_BYTES], text[DEFINITION_VALUE_BYTES];
	const char *p = v->text + strspn(v->text, " \t"), *why;

	while (*p) {
		why = take_word(&p, word);
		if (why) {
			wrong(v, why);
			return;
		}
		if (!expand(v, word, true, text) || !add(v, v->field, text))
			return;
		p += strspn(p, " \t");
	}
}

typedef const char *(*item_fn)(const struct value *v, char *item);

/* Words with spaces or commas between; @check gives the rule that one breaks,
 * or NULL, and may put another spelling in its place that is no longer. */
static void read_list(const struct value *v, item_fn check)
{
	char item[DEFINITION_VALUE_BYTES], text[DEFINITION_VALUE_BYTES];
	struct names *names = v->field;
	const char *p = v->text, *rule;
	size_t n;

	for (p += strspn(p, SEPARATORS); *p; p += strspn(p, SEPARATORS)) {
		n = strcspn(p, SEPARATORS);
		memcpy(item, p, n); /* within a line */
		item[n] = '\0';
		p += n;
		if (!expand(v, item, false, text))
			return;
		rule = check(v, text);
		if (rule) {
			note_error(v->rd, v->rd->line, "%.40s: '%.60s': %s",
				   v->name, item, rule);
			continue;
		}
		if (names_has(names, text)) {
			note_warning(v->rd, v->rd->line,
				     "%.40s has '%.60s' twice", v->name, item);
			continue;
		}
		if (!add(v, names, text))
			return;
	}
}

static const char *check_call_name(const struct value *v, char *item)
{
	(void)v;
	return wire_check_name(item, strlen(item))
		       ? NULL
		       : "a name of calls is made of A-Za-z0-9_- with dots "
			 "between, at most 128 bytes";
}

static const char *check_pattern(const struct value *v, char *item)
{
	(void)v;
	if (item[0] == '!')
		item++;
	return pattern_check(item, strlen(item))
		       ? NULL
		       : "a pattern is a dotted name; * is one part of it, ** "
			 "at its end any number";
}

static const char *check_service(const struct value *v, char *item)
{
	struct service_ref ref;
	const char *rule;

	(void)v;
	if (service_ref_parse(item, &ref, &rule) < 0)
		return rule;
	service_ref_format(ref.name, ref.instance, item);
	return NULL;
}

/* --- texts and names ----------------------------------------------------- */

static void read_text(const struct value *v)
{
	char text[DEFINITION_VALUE_BYTES];

	if (expand(v, v->text, true, text))
		replace(v, v->field, text);
}

static void read_program(const struct value *v)
{
	char text[DEFINITION_VALUE_BYTES];
	struct definition *d = v->rd->d;
	struct name_ref ref;
	const char *rule;

	if (!expand(v, v->text, false, text))
		return;
	if (name_parse(text, true, &ref, &rule) < 0) {
		wrong(v, rule);
		return;
	}
	if (ref.kind == REF_REJECTED) {
		wrong(v, "a text that was refused does not run");
		return;
	}
	if (ref.runtime[0] && d->runtime &&
	    strcmp(ref.runtime, d->runtime) != 0) {
		wrong(v, "runtime names another runtime");
		return;
	}
	replace(v, &d->program, ref.name);
	d->program_version = ref.version;
	v->rd->program_open = strchr(v->text, '%');
	if (ref.runtime[0])
		replace(v, &d->runtime, ref.runtime);
}

static void read_runtime(const struct value *v)
{
	char text[DEFINITION_VALUE_BYTES];
	struct definition *d = v->rd->d;
	const char *rule;

	if (!expand(v, v->text, false, text))
		return;
	rule = name_rule(text);
	if (rule)
		wrong(v, rule);
	else if (d->runtime && strcmp(d->runtime, text) != 0)
		wrong(v, "program names another runtime");
	else
		replace(v, &d->runtime, text);
	v->rd->runtime_open = strchr(v->text, '%');
}

static void read_call_name(const struct value *v)
{
	char text[DEFINITION_VALUE_BYTES];
	const char *rule;

	if (!expand(v, v->text, false, text))
		return;
	rule = check_call_name(v, text);
	if (rule)
		wrong(v, rule);
	else
		replace(v, v->field, text);
}

/* `NAME=value` is added, unless NAME is there. */
static void add_pair(const struct value *v, const char *name, const char *value)
{
	char pair[2 * DEFINITION_VALUE_BYTES];
	struct names *names = v->field;
	size_t n = strlen(name);

	for (uint32_t i = 0; i < names->n; i++) {
		if (strncmp(names->items[i], name, n) == 0 &&
		    names->items[i][n] == '=') {
			note_error(v->rd, v->rd->line, "%.80s is given twice",
				   v->name);
			return;
		}
	}
	snprintf(pair, sizeof(pair), "%s=%s", name, value);
	add(v, names, pair);
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void read_env(const struct value *v)
{
	const char *name = v->name + strlen(v->key->name);
	char text[DEFINITION_VALUE_BYTES];

	for (const char *p = name; *p; p++) {
		if (!is_letter(*p) && !(is_digit(*p) && p > name)) {
			note_error(v->rd, v->rd->line,
				   "%.80s: a variable's name is made of "
				   "A-Za-z0-9_ and begins with no digit",
				   v->name);
			return;
		}
	}
	if (expand(v, v->text, true, text))
		add_pair(v, name, text);
}

/* Below a directory: no part of it leads out, or hides. */
static const char *check_file(const char *file)
{
	static const char rule[] =
		"a file below the directory of secrets: parts of "
		"A-Za-z0-9._+- that begin with no dot, and / between";
	char part[NAME_MAX_BYTES + 1];
	size_t n;

	for (;; file += n + 1) {
		n = strcspn(file, "/");
		if (n > NAME_MAX_BYTES)
			return rule;
		memcpy(part, file, n);
		part[n] = '\0';
		if (!name_valid(part))
			return rule;
		if (!file[n])
			return NULL;
	}
}

static void read_secret(const struct value *v)
{
	const char *name = v->name + strlen(v->key->name), *rule;
	char text[DEFINITION_VALUE_BYTES];

	rule = name_rule(name);
	if (rule) {
		note_error(v->rd, v->rd->line, "%.80s: %s", v->name, rule);
		return;
	}
	if (!expand(v, v->text, false, text))
		return;
	rule = check_file(text);
	if (rule)
		wrong(v, rule);
	else
		add_pair(v, name, text);
}

/* --- words of a choice --------------------------------------------------- */

static void read_bool(const struct value *v)
{
	static const char *const words[] = { "no",  "yes", "false", "true",
					     "off", "on",  "0",	    "1" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(v->text, words[i]) == 0) {
			*(bool *)v->field = i % 2;
			return;
		}
	}
	wrong(v, "yes or no");
}

static void read_choice(const struct value *v)
{
	const char *p = v->key->choices;
	size_t size = strlen(v->text);

	for (unsigned i = 0; *p; i++) {
		size_t n = strcspn(p, " ");

		if (n == size && memcmp(p, v->text, n) == 0) {
			*(unsigned *)v->field = i;
			return;
		}
		p += n + (p[n] == ' ');
	}
	note_error(v->rd, v->rd->line, "'%.60s' is no value for %s: one of %s",
		   v->text, v->name, v->key->choices);
}

/* --- numbers ------------------------------------------------------------- */

static bool is_none(const struct value *v)
{
	return v->key->none && strcmp(v->text, "none") == 0;
}

static bool parse_number(const char *text, size_t size, uint64_t *ret)
{
	uint64_t value = 0;

	if (size == 0 || size > 15)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (!is_digit(text[i]))
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	*ret = value;
	return true;
}

static void set_within(const struct value *v, uint64_t value,
		       const char *(*format)(uint64_t value))
{
	char min[UNITS_TEXT_BYTES];

	if (value >= v->key->min && value <= v->key->max) {
		*(uint64_t *)v->field = value;
		return;
	}
	snprintf(min, sizeof(min), "%s", format(v->key->min));
	note_error(v->rd, v->rd->line, "'%.60s' is no value for %s: %s to %s",
		   v->text, v->name, min, format(v->key->max));
}

static const char *as_number(uint64_t value)
{
	static char text[UNITS_TEXT_BYTES];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return text;
}

static const char *as_bytes(uint64_t value)
{
	static char text[UNITS_TEXT_BYTES];

	units_format_bytes(value, text);
	return text;
}

static const char *as_time(uint64_t ms)
{
	static char text[UNITS_TEXT_BYTES];

	units_format_us(ms * 1000, text);
	return text;
}

static void read_count(const struct value *v)
{
	uint64_t value;

	if (is_none(v))
		*(uint64_t *)v->field = DEFINITION_NONE;
	else if (parse_number(v->text, strlen(v->text), &value))
		set_within(v, value, as_number);
	else
		wrong(v, v->key->none ? "a number, or none" : "a number");
}

static void read_ms(const struct value *v)
{
	uint64_t value;

	if (is_none(v))
		*(uint64_t *)v->field = DEFINITION_NONE;
	else if (units_parse_ms(v->text, &value) == 0)
		set_within(v, value, as_time);
	else
		wrong(v, v->key->none ? "a time such as 500ms, 2s, 5min, 1h, "
					"or none"
				      : "a time such as 500ms, 2s, 5min, 1h");
}

static void read_bytes(const struct value *v)
{
	uint64_t value;

	if (is_none(v))
		*(uint64_t *)v->field = DEFINITION_NONE;
	else if (units_parse_bytes(v->text, &value) == 0)
		set_within(v, value, as_bytes);
	else
		wrong(v, v->key->none ? "a size such as 64K, 16M, 1G, or none"
				      : "a size such as 64K, 16M, 1G");
}

/* Bytes a second: `1M`, `1M/s`. */
static void read_rate(const struct value *v)
{
	char text[64];
	struct value bytes = *v;
	size_t n = strlen(v->text);

	if (n >= sizeof(text)) {
		wrong(v, "a size for each second, such as 1M/s");
		return;
	}
	memcpy(text, v->text, n + 1);
	if (n > 2 && strcmp(text + n - 2, "/s") == 0)
		text[n - 2] = '\0';
	bytes.text = text;
	read_bytes(&bytes);
}

/* `1.25` in hundredths. */
static bool parse_hundredths(const char *text, uint64_t *ret)
{
	const char *dot = strchr(text, '.');
	size_t n = dot ? (size_t)(dot - text) : strlen(text), places;
	uint64_t whole, part = 0;

	if (!parse_number(text, n, &whole) || whole > 100000)
		return false;
	if (dot) {
		places = strlen(dot + 1);
		if (places > 2 || !parse_number(dot + 1, places, &part))
			return false;
		if (places == 1)
			part *= 10;
	}
	*ret = whole * 100 + part;
	return true;
}

static void read_factor(const struct value *v)
{
	uint64_t value;

	if (parse_hundredths(v->text, &value) && value >= 100 && value <= 10000)
		*(double *)v->field = (double)value / 100;
	else
		wrong(v, "1 to 100, with two decimals at most");
}

/* `0.1` or `10%`. */
static void read_jitter(const struct value *v)
{
	size_t n = strlen(v->text);
	uint64_t value = UINT64_MAX;

	if (n > 0 && v->text[n - 1] == '%')
		(void)parse_number(v->text, n - 1, &value);
	else if (!parse_hundredths(v->text, &value))
		value = UINT64_MAX;
	if (value <= 100)
		*(double *)v->field = (double)value / 100;
	else
		wrong(v, "0 to 1, or a percentage");
}

/* `10/5min` */
static void read_limit(const struct value *v)
{
	const char *slash = strchr(v->text, '/');
	struct restart_policy *policy = v->field;
	uint64_t n, ms;

	if (is_none(v)) {
		policy->limit = 0;
		return;
	}
	if (!slash || !parse_number(v->text, (size_t)(slash - v->text), &n) ||
	    n < 1 || n > RESTART_LIMIT_MAX ||
	    units_parse_ms(slash + 1, &ms) < 0) {
		wrong(v, "a number of restarts up to 1000 and a time, such as "
			 "10/5min, or none");
		return;
	}
	policy->limit = (uint32_t)n;
	policy->limit_ms = ms;
}

/* --- codes, schedules, what follows -------------------------------------- */

static int signal_number(const char *text)
{
	if (strncmp(text, "SIG", 3) == 0)
		text += 3;
	for (int i = 1; i < 32; i++) {
		const char *name = sigabbrev_np(i);

		if (name && strcmp(name, text) == 0)
			return i;
	}
	return 0;
}

static const char *check_code(const struct value *v, char *item)
{
	struct definition *d = v->rd->d;
	uint64_t code;
	int signal = signal_number(item);

	if (!d->success)
		d->success = calloc(1, sizeof(*d->success));
	if (!d->success) {
		v->rd->error = -ENOMEM;
		return NULL;
	}
	if (signal) {
		d->success->signals |= 1ULL << signal;
		return NULL;
	}
	if (!parse_number(item, strlen(item), &code) || code > 255)
		return "an exit code is 0 to 255; a signal is written SIGTERM";
	d->success->codes[code / 64] |= 1ULL << code % 64;
	return NULL;
}

static void read_codes(const struct value *v)
{
	struct names seen = { 0 };
	struct value codes = *v;

	codes.field = &seen;
	read_list(&codes, check_code);
	names_deinit(&seen);
}

static void read_schedule(const struct value *v)
{
	struct definition *d = v->rd->d;
	struct schedule s;
	const char *rule;

	if (schedule_parse(v->text, &s, &rule) < 0) {
		note_error(v->rd, v->rd->line, "schedule: '%.60s': %s", v->text,
			   rule);
		return;
	}
	if (!d->schedule)
		d->schedule = malloc(sizeof(s));
	if (!d->schedule) {
		v->rd->error = -ENOMEM;
		return;
	}
	*d->schedule = s;
	replace(v, &d->schedule_text, v->text);
}

static void read_on_limit(const struct value *v)
{
	char text[DEFINITION_VALUE_BYTES], name[SERVICE_NAME_BYTES];
	struct service_ref ref;
	const char *rule;

	if (strcmp(v->text, "fail") == 0)
		return;
	if (strncmp(v->text, "start", 5) != 0 || !word_end(v->text[5])) {
		wrong(v, "`fail`, or `start` and a service");
		return;
	}
	if (!expand(v, v->text + 5 + strspn(v->text + 5, " \t"), false, text))
		return;
	if (service_ref_parse(text, &ref, &rule) < 0) {
		wrong(v, rule);
		return;
	}
	service_ref_format(ref.name, ref.instance, name);
	replace(v, v->field, name);
}

/* --- the table ----------------------------------------------------------- */

static void read_call_names(const struct value *v)
{
	read_list(v, check_call_name);
}

static void read_services(const struct value *v)
{
	read_list(v, check_service);
}

static void read_patterns(const struct value *v)
{
	read_list(v, check_pattern);
}

static void (*const readers[KEY_N_TYPES])(const struct value *v) = {
	[KEY_TEXT] = read_text,
	[KEY_PROGRAM] = read_program,
	[KEY_RUNTIME] = read_runtime,
	[KEY_ARGS] = read_args,
	[KEY_ENV] = read_env,
	[KEY_SECRET] = read_secret,
	[KEY_CALL_NAME] = read_call_name,
	[KEY_CALL_NAMES] = read_call_names,
	[KEY_BOOL] = read_bool,
	[KEY_CHOICE] = read_choice,
	[KEY_COUNT] = read_count,
	[KEY_MS] = read_ms,
	[KEY_BYTES] = read_bytes,
	[KEY_RATE] = read_rate,
	[KEY_SCHEDULE] = read_schedule,
	[KEY_SERVICES] = read_services,
	[KEY_FACTOR] = read_factor,
	[KEY_JITTER] = read_jitter,
	[KEY_LIMIT] = read_limit,
	[KEY_CODES] = read_codes,
	[KEY_ON_LIMIT] = read_on_limit,
	[KEY_PATTERNS] = read_patterns,
};

/* An empty list is one; so are an empty text and an empty variable. */
static bool may_be_empty(const struct key *key)
{
	return key_is_list(key) || key->type == KEY_TEXT ||
	       key->type == KEY_ENV;
}

void value_read(struct reading *rd, const struct key *key, const char *name,
		const char *value)
{
	struct value v = {
		.rd = rd,
		.key = key,
		.name = name,
		.text = value,
		.field = (char *)rd->d + key->offset,
	};

	if (!*value && !may_be_empty(key)) {
		note_error(rd, rd->line, "%.80s has no value", name);
		return;
	}
	readers[key->type](&v);
}
