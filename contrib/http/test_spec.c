/* What programs may ask for, and what they may not. */

#include "contrib/http/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "base/util.h"

static struct mp_bytes bytes(const struct mp_writer *w)
{
	return (struct mp_bytes){ (char *)w->data, w->used };
}

/* Verify that a URL alone is a GET. */
static void test_get(void)
{
	const char *problem;
	struct mp_writer w;
	struct spec s;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 1);
	mp_write_str(&w, "http://example.org/x");
	CHECK_EQ(spec_parse_get(bytes(&w), &s, &problem), 0);
	CHECK_STR(s.url, "http://example.org/x");
	CHECK_STR(s.method, "GET");
	CHECK(s.follow && !s.body && s.timeout_ms == 0);
	spec_deinit(&s);
	mp_writer_deinit(&w);
}

/* Verify that every field of a request arrives. */
static void test_request(void)
{
	const char *problem;
	struct mp_writer w;
	struct spec s;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 1);
	mp_write_map(&w, 6);
	mp_write_str(&w, "url");
	mp_write_str(&w, "https://example.org");
	mp_write_str(&w, "method");
	mp_write_str(&w, "put");
	mp_write_str(&w, "headers");
	mp_write_map(&w, 3);
	mp_write_str(&w, "X-One");
	mp_write_str(&w, "1");
	mp_write_str(&w, "Authorization");
	mp_write_str(&w, "secret");
	mp_write_str(&w, "X-Empty");
	mp_write_str(&w, "");
	mp_write_str(&w, "body");
	mp_write_bin(&w, "\0\xff", 2);
	mp_write_str(&w, "timeout");
	mp_write_double(&w, 0.5);
	mp_write_str(&w, "redirect");
	mp_write_bool(&w, false);
	CHECK_EQ(spec_parse_request(bytes(&w), &s, &problem), 0);
	CHECK_STR(s.method, "PUT");
	CHECK_EQ(s.n_headers, 3);
	CHECK_STR(s.headers[0], "X-One: 1");
	CHECK_STR(s.headers[2], "X-Empty;");
	CHECK_EQ(s.body_size, 2);
	CHECK(memcmp(s.body, "\0\xff", 2) == 0);
	CHECK_EQ(s.timeout_ms, 500);
	CHECK(!s.follow);
	spec_drop_secrets(&s);
	CHECK_EQ(s.n_headers, 2);
	CHECK_STR(s.headers[1], "X-Empty;");
	spec_deinit(&s);
	mp_writer_deinit(&w);
}

/* `{url=, KEY=VALUE}`, the latter two as they are written. */
static const char *refusal(const char *key, const char *value, size_t size)
{
	const char *problem = "none";
	struct mp_writer w;
	struct spec s;

	mp_writer_init_heap(&w);
	mp_write_array(&w, 1);
	mp_write_map(&w, 2);
	mp_write_str(&w, "url");
	mp_write_str(&w, "http://example.org");
	mp_write_str(&w, key);
	mp_write_raw(&w, value, size);
	if (spec_parse_request(bytes(&w), &s, &problem) == 0) {
		spec_deinit(&s);
		problem = "";
	}
	mp_writer_deinit(&w);
	return problem;
}

static const char *header_refusal(const char *name, const char *value)
{
	const char *problem;
	struct mp_writer w;

	mp_writer_init_heap(&w);
	mp_write_map(&w, 1);
	mp_write_str(&w, name);
	mp_write_str(&w, value);
	problem = refusal("headers", (char *)w.data, w.used);
	mp_writer_deinit(&w);
	return problem;
}

/* Verify that no header can become two, be the connection's, or be none. */
static void test_headers(void)
{
	CHECK_STR(header_refusal("X-Fine", "a\tb"), "");
	CHECK_STR(header_refusal("X-Two", "a\r\nEvil: 1"),
		  "headers: a value has control characters");
	CHECK_STR(header_refusal("X-Two\r\nEvil", "1"),
		  "headers: a name is not one");
	CHECK_STR(header_refusal("", "1"), "headers: a name is not one");
	CHECK_STR(header_refusal("HOST", "evil"),
		  "headers: one is not the program's to set");
	CHECK_STR(header_refusal("Content-Length", "5"),
		  "headers: one is not the program's to set");
	CHECK_STR(refusal("headers", "\x81\xa1x\x01", 4),
		  "headers: values are strings");
	CHECK_STR(refusal("headers", "\x90", 1), "");
	CHECK_STR(refusal("headers", "\x01", 1),
		  "headers: a table of names and values is wanted");
}

/* Verify that every wrong field is named. */
static void test_refused(void)
{
	CHECK_STR(refusal("method", "\xa3G T", 4),
		  "method: a word of at most 15 letters is wanted");
	CHECK_STR(refusal("method",
			  "\xa7"
			  "connect",
			  8),
		  "method: CONNECT and TRACE are not for programs");
	CHECK_STR(refusal("body", "\x01", 1), "body: a string is wanted");
	CHECK_STR(refusal("timeout", "\x00", 1),
		  "timeout: seconds are wanted, at most 600");
	CHECK_STR(refusal("timeout", "\xcd\x02\x59", 3),
		  "timeout: seconds are wanted, at most 600");
	CHECK_STR(refusal("redirect", "\x01", 1),
		  "redirect: true or false is wanted");
	CHECK_STR(refusal("url", "\xa8http://\n", 9),
		  "a URL is wanted, without blanks in it");
	CHECK_STR(refusal("other", "\x01", 1),
		  "fields are url, method, headers, body, timeout and "
		  "redirect");
}

static const char *get_refusal(const char *args, size_t size)
{
	const char *problem = "none";
	struct spec s;

	if (spec_parse_get((struct mp_bytes){ args, size }, &s, &problem) ==
	    0) {
		spec_deinit(&s);
		return "";
	}
	return problem;
}

/* Verify that a get takes a URL and harmless options. */
static void test_get_options(void)
{
	CHECK_STR(get_refusal("\x90", 1),
		  "a URL is wanted, and perhaps a table of options");
	CHECK_STR(get_refusal("\x91\x01", 2),
		  "a URL is wanted, without blanks in it");
	CHECK_STR(get_refusal("\x92\xa3"
			      "a:b\xc0",
			      6),
		  "");
	CHECK_STR(get_refusal("\x92\xa3"
			      "a:b\x90",
			      6),
		  "");
	CHECK_STR(get_refusal("\x92\xa3"
			      "a:b\x81\xa4"
			      "body\xa1x",
			      13),
		  "options are headers, timeout and redirect");
	CHECK_STR(get_refusal("\x92\xa3"
			      "a:b\x81\xa7"
			      "timeout\x05",
			      15),
		  "");
	CHECK_STR(get_refusal("\x92\xa3"
			      "a:b",
			      5),
		  "a table is wanted");
}

int main(void)
{
	RUN(test_get);
	RUN(test_request);
	RUN(test_headers);
	RUN(test_refused);
	RUN(test_get_options);
	return tap_done();
}
