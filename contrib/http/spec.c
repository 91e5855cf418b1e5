/* Step 8, in thox-http: what a program asks for, checked. */

#include "contrib/http/spec.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"

struct parser {
	struct mp_reader r;
	struct spec *spec;
	const char *problem;
	bool no_memory;
};

static void complain(struct parser *p, const char *problem)
{
	if (!p->problem)
		p->problem = problem;
	p->r.bad = true;
}

static char *copy(struct parser *p, struct mp_bytes b)
{
	char *text = malloc(b.size + 1);

	if (!text) {
		p->no_memory = true;
		p->r.bad = true;
		return NULL;
	}
	memcpy(text, b.p, b.size);
	text[b.size] = '\0';
	return text;
}

static bool is_string(const struct mp_reader *r)
{
	enum mp_type type = mp_peek(r);

	return type == MP_STR || type == MP_BIN;
}

/* --- fields -----------------------------------------------------------------
 */

/* A URL has no blanks and no control characters; the rest is curl's. */
static bool is_url(struct mp_bytes b)
{
	for (size_t i = 0; i < b.size; i++)
		if ((unsigned char)b.p[i] <= ' ' || b.p[i] == 0x7f)
			return false;
	return b.size > 0 && b.size <= SPEC_URL_BYTES;
}

static void take_url(struct parser *p)
{
	struct mp_bytes b = { "", 0 };

	if (is_string(&p->r))
		b = mp_read_str(&p->r);
	if (!is_url(b)) {
		complain(p, "a URL is wanted, without blanks in it");
		return;
	}
	free(p->spec->url);
	p->spec->url = copy(p, b);
}

static bool is_token(struct mp_bytes b)
{
	for (size_t i = 0; i < b.size; i++)
		if (!isalnum((unsigned char)b.p[i]) &&
		    (!b.p[i] || !strchr("!#$%&'*+-.^_`|~", b.p[i])))
			return false;
	return b.size > 0;
}

static void take_method(struct parser *p)
{
	struct mp_bytes b = { "", 0 };

	if (is_string(&p->r))
		b = mp_read_str(&p->r);
	if (!is_token(b) ||
	    mp_bytes_copy(b, p->spec->method, sizeof(p->spec->method)) < 0) {
		complain(p, "method: a word of at most 15 letters is wanted");
		return;
	}
	for (char *c = p->spec->method; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	if (strcmp(p->spec->method, "CONNECT") == 0 ||
	    strcmp(p->spec->method, "TRACE") == 0)
		complain(p, "method: CONNECT and TRACE are not for programs");
}

/* Those that are the connection's, not the program's. */
static bool is_reserved(struct mp_bytes name)
{
	static const char *const reserved[] = {
		"connection", "content-length",	     "expect",		 "host",
		"keep-alive", "proxy-authorization", "proxy-connection", "te",
		"trailer",    "transfer-encoding",   "upgrade",
	};

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (name.size == strlen(reserved[i]) &&
		    strncasecmp(name.p, reserved[i], name.size) == 0)
			return true;
	return false;
}

static bool is_header_value(struct mp_bytes b)
{
	for (size_t i = 0; i < b.size; i++)
		if (((unsigned char)b.p[i] < ' ' && b.p[i] != '\t') ||
		    b.p[i] == 0x7f)
			return false;
	return true;
}

static void take_header(struct parser *p)
{
	struct mp_bytes name = { "", 0 }, value = { "", 0 };
	struct spec *s = p->spec;
	size_t size;
	char *line;

	if (is_string(&p->r))
		name = mp_read_str(&p->r);
	if (is_string(&p->r))
		value = mp_read_str(&p->r);
	else
		complain(p, "headers: values are strings");
	if (!is_token(name))
		complain(p, "headers: a name is not one");
	else if (is_reserved(name))
		complain(p, "headers: one is not the program's to set");
	else if (!is_header_value(value))
		complain(p, "headers: a value has control characters");
	else if (s->n_headers == SPEC_HEADERS_MAX ||
		 name.size + value.size > SPEC_HEADER_BYTES)
		complain(p, "headers: too many, or too long");
	if (p->r.bad)
		return;
	size = name.size + value.size + 3;
	line = malloc(size);
	if (!line) {
		p->no_memory = true;
		p->r.bad = true;
		return;
	}
	/* curl leaves out a header without a value unless a `;` ends it. */
	snprintf(line, size, value.size ? "%.*s: %.*s" : "%.*s;",
		 (int)name.size, name.p, (int)value.size, value.p);
	s->headers[s->n_headers++] = line;
}

static void take_headers(struct parser *p)
{
	uint32_t n;

	if (mp_peek(&p->r) == MP_ARRAY && mp_read_array(&p->r) == 0)
		return; /* {} of Lua */
	if (mp_peek(&p->r) != MP_MAP) {
		complain(p, "headers: a table of names and values is wanted");
		return;
	}
	for (n = mp_read_map(&p->r); n > 0 && !p->r.bad; n--)
		take_header(p);
}

static void take_body(struct parser *p)
{
	struct mp_bytes b;

	if (!is_string(&p->r)) {
		complain(p, "body: a string is wanted");
		return;
	}
	b = mp_read_str(&p->r);
	free(p->spec->body);
	p->spec->body = copy(p, b);
	p->spec->body_size = b.size;
}

static void take_timeout(struct parser *p)
{
	double seconds = 0;

	if (mp_peek(&p->r) == MP_INT)
		seconds = (double)mp_read_int(&p->r);
	else if (mp_peek(&p->r) == MP_DOUBLE)
		seconds = mp_read_double(&p->r);
	if (!(seconds > 0) || seconds * 1000 > SPEC_TIMEOUT_MAX_MS)
		complain(p, "timeout: seconds are wanted, at most 600");
	else
		p->spec->timeout_ms = (uint64_t)ceil(seconds * 1000);
}

static void take_follow(struct parser *p)
{
	if (mp_peek(&p->r) == MP_BOOL)
		p->spec->follow = mp_read_bool(&p->r);
	else
		complain(p, "redirect: true or false is wanted");
}

/* --- the whole --------------------------------------------------------------
 */

static const struct {
	const char *key;
	void (*take)(struct parser *p);
	bool of_get;
} fields[] = {
	{ "url", take_url, false },	   { "method", take_method, false },
	{ "headers", take_headers, true }, { "body", take_body, false },
	{ "timeout", take_timeout, true }, { "redirect", take_follow, true },
};

static void take_field(struct parser *p, struct mp_bytes key, bool get)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!mp_bytes_equal(key, fields[i].key) ||
		    (get && !fields[i].of_get))
			continue;
		fields[i].take(p);
		return;
	}
	complain(p, get ? "options are headers, timeout and redirect"
			: "fields are url, method, headers, body, timeout and "
			  "redirect");
}

static void take_table(struct parser *p, bool get)
{
	uint32_t n;

	if (mp_peek(&p->r) == MP_ARRAY && mp_read_array(&p->r) == 0)
		return;
	if (mp_peek(&p->r) != MP_MAP) {
		complain(p, "a table is wanted");
		return;
	}
	for (n = mp_read_map(&p->r); n > 0 && !p->r.bad; n--) {
		struct mp_bytes key = { "", 0 };

		if (is_string(&p->r))
			key = mp_read_str(&p->r);
		take_field(p, key, get);
	}
}

static int finish(struct parser *p, struct spec *ret, const char **ret_problem)
{
	if (!p->r.bad && !p->spec->url)
		complain(p, "url is missing");
	if (mp_end(&p->r) == 0) {
		*ret = *p->spec;
		return 0;
	}
	spec_deinit(p->spec);
	if (p->no_memory)
		return -ENOMEM;
	*ret_problem = p->problem ? p->problem : "wrong arguments";
	return -EINVAL;
}

static void begin(struct parser *p, struct spec *s, struct mp_bytes args)
{
	*s = (struct spec){ .method = "GET", .follow = true };
	*p = (struct parser){ .spec = s };
	mp_reader_init(&p->r, args.p, args.size);
}

int spec_parse_get(struct mp_bytes args, struct spec *ret,
		   const char **ret_problem)
{
	struct parser p;
	struct spec s;
	uint32_t n;

	begin(&p, &s, args);
	n = mp_read_array(&p.r);
	if (n < 1 || n > 2)
		complain(&p, "a URL is wanted, and perhaps a table of options");
	if (!p.r.bad)
		take_url(&p);
	if (!p.r.bad && n > 1 && mp_peek(&p.r) == MP_NIL)
		mp_read_nil(&p.r);
	else if (!p.r.bad && n > 1)
		take_table(&p, true);
	return finish(&p, ret, ret_problem);
}

int spec_parse_request(struct mp_bytes args, struct spec *ret,
		       const char **ret_problem)
{
	struct parser p;
	struct spec s;

	begin(&p, &s, args);
	if (mp_read_array(&p.r) != 1)
		complain(&p, "one table is wanted");
	if (!p.r.bad)
		take_table(&p, false);
	return finish(&p, ret, ret_problem);
}

void spec_deinit(struct spec *s)
{
	free(s->url);
	free(s->body);
	for (unsigned i = 0; i < s->n_headers; i++)
		free(s->headers[i]);
	*s = (struct spec){ 0 };
}

void spec_drop_secrets(struct spec *s)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < s->n_headers; i++) {
		if (strncasecmp(s->headers[i], "authorization:", 14) == 0 ||
		    strncasecmp(s->headers[i], "cookie:", 7) == 0)
			free(s->headers[i]);
		else
			s->headers[kept++] = s->headers[i];
	}
	s->n_headers = kept;
}
