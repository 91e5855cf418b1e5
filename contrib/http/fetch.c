/*
 * Step 8, in thox-http: a call becomes a transfer, and its end the answer.
 *
 * Redirects are followed here and not by curl, since each hop must be admitted
 * again, and headers that were meant for one host must not reach another.
 */

#include "contrib/http/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/utf8.h"
#include "contrib/http/spec.h"

struct fetcher {
	struct native *native;
	const struct fetch_limits *limits;
	CURLM *multi;
	uint64_t timer_ms; /* when curl wants to be called; 0: it does not */
	struct list transfers;
	unsigned n_transfers;
};

/* A socket of curl's. */
struct watched {
	struct native_watch watch;
	struct fetcher *fetcher;
};

struct buffer {
	char *data;
	size_t size;
};

struct transfer {
	struct fetcher *fetcher;
	struct list list;
	struct native_request *request;
	struct spec spec;
	CURL *easy;
	struct curl_slist *headers;
	const struct allow_rule *rule; /* that admits where it goes now */
	uint64_t deadline_ms;
	unsigned redirects;
	struct buffer body;
	struct buffer head; /* the lines of the last response */
	bool too_large;
	bool forbidden; /* an address that the rule does not reach */
	char error[CURL_ERROR_SIZE];
};

static uint64_t now_ms(void)
{
	return clock_ns() / 1000000u;
}

/* --- what curl asks for -----------------------------------------------------
 */

static void on_socket_ready(struct native_watch *w, uint32_t events)
{
	struct watched *s = container_of(w, struct watched, watch);
	struct fetcher *f = s->fetcher;
	int running, what = 0;

	if (events & EPOLLIN)
		what |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		what |= CURL_CSELECT_ERR;
	curl_multi_socket_action(f->multi, w->fd, what, &running);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user,
		     void *socket_user)
{
	struct fetcher *f = user;
	struct watched *s = socket_user;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s)
			native_watch(f->native, &s->watch, 0);
		free(s);
		curl_multi_assign(f->multi, fd, NULL);
		return 0;
	}
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -1;
		s->fetcher = f;
		s->watch.fd = fd;
		s->watch.fn = on_socket_ready;
		curl_multi_assign(f->multi, fd, s);
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	return native_watch(f->native, &s->watch, events) < 0 ? -1 : 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *user)
{
	struct fetcher *f = user;

	(void)multi;
	f->timer_ms = timeout_ms < 0 ? 0 : now_ms() + (uint64_t)timeout_ms;
	return 0;
}

/* The last word on where it goes: the address that the name has become. */
static curl_socket_t on_open_socket(void *user, curlsocktype purpose,
				    struct curl_sockaddr *a)
{
	struct transfer *t = user;

	(void)purpose;
	if (!t->rule || !allow_address(t->rule, &a->addr)) {
		t->forbidden = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static size_t append(struct transfer *t, struct buffer *b, const char *data,
		     size_t size, size_t limit)
{
	char *grown;

	if (size > limit - b->size) {
		t->too_large = true;
		return 0;
	}
	grown = realloc(b->data, b->size + size);
	if (!grown)
		return 0;
	b->data = grown;
	memcpy(grown + b->size, data, size);
	b->size += size;
	return size;
}

static size_t on_body(char *data, size_t one, size_t size, void *user)
{
	struct transfer *t = user;

	(void)one; /* 1 */
	if (size == 0)
		return 0;
	return append(t, &t->body, data, size, t->fetcher->limits->body_bytes);
}

static size_t on_head(char *data, size_t one, size_t size, void *user)
{
	struct transfer *t = user;

	(void)one;
	if (size >= 5 && memcmp(data, "HTTP/", 5) == 0)
		t->head.size = 0; /* those before were informational */
	return append(t, &t->head, data, size, FETCH_HEADER_BYTES);
}

/* --- where to ---------------------------------------------------------------
 */

static bool take_part(CURLU *url, CURLUPart part, char *ret, size_t size)
{
	char *text = NULL;
	bool ok;

	if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK)
		return false;
	ok = (size_t)snprintf(ret, size, "%s", text) < size;
	curl_free(text);
	return ok;
}

/* The scheme, host and port of a URL, by the parser that fetches it. */
static int read_place(const char *text, struct allow_place *ret)
{
	CURLU *url = curl_url();
	char scheme[16] = "", port[16] = "";
	size_t n;
	bool ok;

	if (!url)
		return -ENOMEM;
	ok = curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
	     take_part(url, CURLUPART_SCHEME, scheme, sizeof(scheme)) &&
	     take_part(url, CURLUPART_HOST, ret->host, sizeof(ret->host)) &&
	     take_part(url, CURLUPART_PORT, port, sizeof(port));
	curl_url_cleanup(url);
	if (!ok)
		return -EINVAL;
	if (strcmp(scheme, "http") == 0)
		ret->default_port = 80;
	else if (strcmp(scheme, "https") == 0)
		ret->default_port = 443;
	else
		return -EINVAL;
	n = strlen(ret->host);
	if (n > 2 && ret->host[0] == '[') {
		memmove(ret->host, ret->host + 1, n - 2);
		ret->host[n - 2] = '\0';
	}
	ret->port = (uint16_t)strtoul(port, NULL, 10);
	return 0;
}

static bool same_place(const char *one, const char *other)
{
	struct allow_place a, b;

	return read_place(one, &a) == 0 && read_place(other, &b) == 0 &&
	       a.port == b.port && a.default_port == b.default_port &&
	       strcasecmp(a.host, b.host) == 0;
}

/* 0 and the rule; -EINVAL: no such URL; -EACCES: no rule. */
static int find_rule(struct fetcher *f, const char *url,
		     const struct allow_rule **ret, struct allow_place *place)
{
	int r = read_place(url, place);

	if (r < 0)
		return r;
	*ret = allow_find(f->limits->rules, f->limits->n_rules, place);
	return *ret ? 0 : -EACCES;
}

/* --- a transfer -------------------------------------------------------------
 */

static void transfer_free(struct transfer *t)
{
	struct fetcher *f = t->fetcher;

	if (t->easy) {
		curl_multi_remove_handle(f->multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	curl_slist_free_all(t->headers);
	spec_deinit(&t->spec);
	free(t->body.data);
	free(t->head.data);
	list_remove(&t->list);
	f->n_transfers--;
	free(t);
}

static void fail(struct transfer *t, int status, const char *message)
{
	native_answer_failure(t->request, status, "%s", message);
	transfer_free(t);
}

static void set_options(struct transfer *t, uint64_t left_ms)
{
	CURL *e = t->easy;

	curl_easy_setopt(e, CURLOPT_URL, t->spec.url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "thox/" PACKAGE_VERSION);
	curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)left_ms);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
	/* Another transfer's connection was admitted by another rule. */
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	if (t->spec.body || strcmp(t->spec.method, "POST") == 0) {
		curl_easy_setopt(e, CURLOPT_POSTFIELDS,
				 t->spec.body ? t->spec.body : "");
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)t->spec.body_size);
	}
	if (strcmp(t->spec.method, "HEAD") == 0)
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, t->spec.method);
}

static bool add_header(struct transfer *t, const char *line)
{
	struct curl_slist *grown = curl_slist_append(t->headers, line);

	if (grown)
		t->headers = grown;
	return grown != NULL;
}

static bool make_headers(struct transfer *t)
{
	bool typed = false;

	curl_slist_free_all(t->headers);
	t->headers = NULL;
	for (unsigned i = 0; i < t->spec.n_headers; i++) {
		if (!add_header(t, t->spec.headers[i]))
			return false;
		typed |= strncasecmp(t->spec.headers[i], "content-type", 12) ==
			 0;
	}
	if (!t->spec.body)
		return true;
	/* A server that does not know of it would cost a second. */
	if (!add_header(t, "Expect:"))
		return false;
	if (typed)
		return true;
	/* curl would call it a form. */
	return add_header(t, "Content-Type: application/octet-stream");
}

/* (Again) to t->spec.url. */
static void go(struct transfer *t)
{
	uint64_t now = now_ms();
	struct allow_place place;
	char text[ALLOW_HOST_BYTES + 64];
	int r = find_rule(t->fetcher, t->spec.url, &t->rule, &place);

	if (r == -EACCES) {
		snprintf(text, sizeof(text),
			 "%s:%u: no --allow of thox-http admits it", place.host,
			 place.port);
		fail(t, STATUS_DENIED, text);
		return;
	}
	if (r < 0) {
		fail(t, STATUS_INVALID, "url: not one of http or https");
		return;
	}
	if (t->deadline_ms <= now) {
		fail(t, STATUS_TIMEOUT, "no answer in time");
		return;
	}
	t->body.size = t->head.size = 0;
	t->easy = curl_easy_init();
	if (!t->easy || !make_headers(t)) {
		fail(t, STATUS_ERROR, strerror(ENOMEM));
		return;
	}
	set_options(t, t->deadline_ms - now);
	if (curl_multi_add_handle(t->fetcher->multi, t->easy) != CURLM_OK)
		fail(t, STATUS_ERROR, "curl takes no more");
}

/* --- the answer -------------------------------------------------------------
 */

static void write_text(struct mp_writer *w, const char *text, size_t size)
{
	if (utf8_valid(text, size))
		mp_write_strn(w, text, size);
	else
		mp_write_bin(w, text, size);
}

/* A line of the head: `Name: value`; false for what is none. */
static bool split(const char *line, size_t size, struct mp_bytes *ret_name,
		  struct mp_bytes *ret_value)
{
	const char *colon = memchr(line, ':', size), *value;
	const char *end = line + size;

	if (!colon || colon == line)
		return false;
	*ret_name = (struct mp_bytes){ line, (size_t)(colon - line) };
	value = colon + 1;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && strchr(" \t\r\n", end[-1]))
		end--;
	*ret_value = (struct mp_bytes){ value, (size_t)(end - value) };
	return true;
}

struct field {
	struct mp_bytes name; /* lower case, in the head itself */
	char *value;
	size_t size;
};

/* Lines of one name become one, as RFC 9110 allows: `a, b`. */
static int add_field(struct field *fields, unsigned *n, struct mp_bytes name,
		     struct mp_bytes value)
{
	struct field *f = fields;
	char *grown;

	while (f < fields + *n && (f->name.size != name.size ||
				   memcmp(f->name.p, name.p, name.size) != 0))
		f++;
	if (f == fields + *n) {
		if (*n == SPEC_HEADERS_MAX * 2)
			return 0; /* enough is enough */
		*f = (struct field){ .name = name };
		(*n)++;
	}
	grown = realloc(f->value, f->size + value.size + 2);
	if (!grown)
		return -ENOMEM;
	f->value = grown;
	if (f->size > 0) {
		memcpy(grown + f->size, ", ", 2);
		f->size += 2;
	}
	memcpy(grown + f->size, value.p, value.size);
	f->size += value.size;
	return 0;
}

static void lower(struct mp_bytes name)
{
	for (size_t i = 0; i < name.size; i++)
		if (name.p[i] >= 'A' && name.p[i] <= 'Z')
			((char *)name.p)[i] |= 0x20;
}

static void write_headers(struct mp_writer *w, struct buffer *head)
{
	struct field fields[SPEC_HEADERS_MAX * 2];
	unsigned n = 0;
	char *line = head->data, *end = head->data + head->size;

	while (line && line < end) {
		char *next = memchr(line, '\n', (size_t)(end - line));
		struct mp_bytes name, value;

		next = next ? next + 1 : end;
		if (split(line, (size_t)(next - line), &name, &value)) {
			lower(name);
			if (add_field(fields, &n, name, value) < 0)
				w->bad = true;
		}
		line = next;
	}
	mp_write_map(w, n);
	for (unsigned i = 0; i < n; i++) {
		write_text(w, fields[i].name.p, fields[i].name.size);
		write_text(w, fields[i].value, fields[i].size);
		free(fields[i].value);
	}
}

/* {status=, url=, headers={}, body=} */
static void answer(struct transfer *t)
{
	struct native_values v;
	long status = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	mp_write_map(&v.w, 4);
	mp_write_str(&v.w, "status");
	mp_write_int(&v.w, status);
	mp_write_str(&v.w, "url");
	write_text(&v.w, t->spec.url, strlen(t->spec.url));
	mp_write_str(&v.w, "headers");
	write_headers(&v.w, &t->head);
	mp_write_str(&v.w, "body");
	write_text(&v.w, t->body.size ? t->body.data : "", t->body.size);
	native_answer(t->request, &v);
	native_values_deinit(&v);
	transfer_free(t);
}

/* --- redirects --------------------------------------------------------------
 */

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 ||
	       status == 307 || status == 308;
}

/* As browsers do: after 303, and after 301 and 302 to a POST, a GET. */
static void change_method(struct spec *s, long status)
{
	bool post = strcmp(s->method, "POST") == 0;

	if (status == 303 ? strcmp(s->method, "HEAD") == 0
			  : !(post && status <= 302))
		return;
	strcpy(s->method, "GET");
	free(s->body);
	s->body = NULL;
	s->body_size = 0;
}

/* false: what came is the answer. */
static bool follow(struct transfer *t)
{
	const char *to = NULL;
	char *url;
	long status = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!t->spec.follow || !is_redirect(status) ||
	    t->redirects >= FETCH_REDIRECTS_MAX)
		return false;
	curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &to);
	if (!to || strlen(to) > SPEC_URL_BYTES)
		return false;
	url = strdup(to);
	if (!url)
		return false;
	if (!same_place(t->spec.url, url))
		spec_drop_secrets(&t->spec);
	change_method(&t->spec, status);
	free(t->spec.url);
	t->spec.url = url;
	t->redirects++;
	curl_multi_remove_handle(t->fetcher->multi, t->easy);
	curl_easy_cleanup(t->easy);
	t->easy = NULL;
	go(t);
	return true;
}

static void finish(struct transfer *t, CURLcode code)
{
	char text[CURL_ERROR_SIZE + 32];

	if (code == CURLE_OK) {
		if (!follow(t))
			answer(t);
		return;
	}
	if (t->too_large) {
		snprintf(text, sizeof(text),
			 "the answer is larger than %llu bytes "
			 "(--max-answer of thox-http)",
			 (unsigned long long)t->fetcher->limits->body_bytes);
		fail(t, STATUS_TOO_LARGE, text);
	} else if (t->forbidden) {
		fail(t, STATUS_DENIED,
		     "its address is of this machine or a private network, "
		     "which a pattern with * does not reach");
	} else if (code == CURLE_OPERATION_TIMEDOUT) {
		fail(t, STATUS_TIMEOUT, "no answer in time");
	} else {
		snprintf(text, sizeof(text), "%s",
			 t->error[0] ? t->error : curl_easy_strerror(code));
		fail(t, STATUS_ERROR, text);
	}
}

/* --- calls ------------------------------------------------------------------
 */

static int parse(struct native_request *q, struct spec *ret)
{
	const char *problem = "wrong arguments";
	int r;

	/* Below whatever name is bound. */
	if (strcmp(strrchr(q->name, '.') ? strrchr(q->name, '.') : "",
		   ".get") == 0) {
		r = spec_parse_get(q->args, ret, &problem);
	} else if (strcmp(strrchr(q->name, '.') ? strrchr(q->name, '.') : "",
			  ".request") == 0) {
		r = spec_parse_request(q->args, ret, &problem);
	} else {
		native_answer_failure(q, STATUS_NOT_FOUND,
				      "there are get and request");
		return -ENOENT;
	}
	if (r == -EINVAL)
		native_answer_failure(q, STATUS_INVALID, "%s", problem);
	else if (r < 0)
		native_answer_failure(q, STATUS_ERROR, "%s", strerror(-r));
	return r;
}

static void on_call(struct native_request *q, void *user)
{
	struct fetcher *f = user;
	struct transfer *t;
	struct spec spec;
	uint64_t limit_ms;

	if (f->n_transfers >= f->limits->transfers) {
		native_answer_failure(q, STATUS_TOO_LARGE,
				      "%u transfers are under way "
				      "(--max-transfers of thox-http)",
				      f->n_transfers);
		return;
	}
	if (parse(q, &spec) < 0)
		return;
	t = calloc(1, sizeof(*t));
	if (!t) {
		spec_deinit(&spec);
		native_answer_failure(q, STATUS_ERROR, "%s", strerror(ENOMEM));
		return;
	}
	t->fetcher = f;
	t->request = q;
	t->spec = spec;
	limit_ms = spec.timeout_ms ? spec.timeout_ms : f->limits->timeout_ms;
	t->deadline_ms = now_ms() + limit_ms;
	if (q->deadline_ms && q->deadline_ms < t->deadline_ms)
		t->deadline_ms = q->deadline_ms;
	q->data = t;
	list_append(&f->transfers, &t->list);
	f->n_transfers++;
	go(t);
}

static void on_cancel(struct native_request *q, void *user)
{
	(void)user;
	fail(q->data, STATUS_CANCELLED, "cancelled");
}

const struct native_handler fetch_handler = {
	.call = on_call,
	.cancel = on_cancel,
};

/* --- life -------------------------------------------------------------------
 */

int fetcher_new(struct native *n, const struct fetch_limits *limits,
		struct fetcher **ret)
{
	struct fetcher *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->native = n;
	f->limits = limits;
	list_init(&f->transfers);
	f->multi = curl_multi_init();
	if (!f->multi) {
		free(f);
		return -ENOMEM;
	}
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
	*ret = f;
	return 0;
}

struct fetcher *fetcher_free(struct fetcher *f)
{
	if (!f)
		return NULL;
	while (!list_empty(&f->transfers))
		transfer_free(list_first(&f->transfers, struct transfer, list));
	curl_multi_cleanup(f->multi);
	free(f);
	return NULL;
}

int fetcher_timeout(const struct fetcher *f)
{
	uint64_t now = now_ms();

	if (f->timer_ms == 0)
		return -1;
	return f->timer_ms <= now ? 0 : (int)(f->timer_ms - now);
}

void fetcher_run(struct fetcher *f)
{
	CURLMsg *m;
	int running, left;

	if (fetcher_timeout(f) == 0) {
		f->timer_ms = 0;
		curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0,
					 &running);
	}
	while ((m = curl_multi_info_read(f->multi, &left))) {
		struct transfer *t = NULL;
		CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		finish(t, code);
	}
}
