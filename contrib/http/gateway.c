/*
 * Step 8, in thox-http: a request becomes a call.
 *
 * libmicrohttpd has one epoll descriptor, which the native process watches. A
 * connection whose call is under way is suspended, so nothing is read from it
 * until the answer is there.
 */

#include "contrib/http/gateway.h"

#include <errno.h>
#include <jansson.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/utf8.h"
#include "cli/luajson.h"
#include "rpc/pattern.h"
#include "rpc/status.h"

struct gateway {
	struct native *native;
	const struct gateway_limits *limits;
	struct MHD_Daemon *daemon;
	struct native_watch watch;
	struct list suspended; /* exchanges whose call is under way */
	bool wants_run;
};

struct exchange {
	struct gateway *gateway;
	struct list list; /* when it is suspended */
	struct MHD_Connection *connection;
	char name[WIRE_NAME_BYTES + 1];
	char *body;
	size_t size;
	bool json;	    /* the body is, and the answer shall be */
	unsigned code;	    /* of the response, once it is known */
	const char *reason; /* or a text of a refusal */
	struct MHD_Response *response;
	struct native_pending *pending;
	bool suspended;
};

/* --- responses --------------------------------------------------------------
 */

static const char json_content[] = "application/json";

static struct MHD_Response *make_response(const char *data, size_t size,
					  const char *type)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
		size, (void *)data, MHD_RESPMEM_MUST_COPY);

	if (r && type)
		MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (r)
		MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	return r;
}

static struct MHD_Response *json_response(const json_t *value)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	struct MHD_Response *r = NULL;

	if (text)
		r = make_response(text, strlen(text), json_content);
	free(text);
	return r;
}

/* {"status": …, "message": …} */
static struct MHD_Response *failure_response(const char *status,
					     const char *message)
{
	json_t *value = json_pack("{s:s, s:s%}", "status", status, "message",
				  message, strlen(message));
	struct MHD_Response *r;

	if (!value) /* no UTF-8 */
		value = json_pack("{s:s}", "status", status);
	r = json_response(value);
	json_decref(value);
	return r;
}

static const unsigned http_codes[] = {
	[STATUS_OK] = MHD_HTTP_OK,
	[STATUS_ERROR] = MHD_HTTP_INTERNAL_SERVER_ERROR,
	[STATUS_NOT_FOUND] = MHD_HTTP_NOT_FOUND,
	[STATUS_DENIED] = MHD_HTTP_FORBIDDEN,
	[STATUS_CLOSED] = MHD_HTTP_BAD_GATEWAY,
	[STATUS_TIMEOUT] = MHD_HTTP_GATEWAY_TIMEOUT,
	[STATUS_CANCELLED] = MHD_HTTP_SERVICE_UNAVAILABLE,
	[STATUS_INVALID] = MHD_HTTP_BAD_REQUEST,
	[STATUS_TOO_LARGE] = MHD_HTTP_CONTENT_TOO_LARGE,
};

static void set_failure(struct exchange *e, int status, unsigned code,
			const char *message)
{
	e->code = code ? code : http_codes[status];
	e->response = failure_response(status_name((uint64_t)status), message);
}

/* One string is its bytes; anything else, or what was asked for in JSON, is
 * JSON. */
static void set_answer(struct exchange *e, struct mp_bytes args)
{
	struct mp_reader r;
	struct mp_bytes text;
	json_t *value;
	uint32_t n;

	e->code = MHD_HTTP_OK;
	mp_reader_init(&r, args.p, args.size);
	if (!e->json) {
		n = mp_read_array(&r);
		if (n == 0) {
			e->code = MHD_HTTP_NO_CONTENT;
			e->response = make_response("", 0, NULL);
			return;
		}
		if (n == 1 &&
		    (mp_peek(&r) == MP_STR || mp_peek(&r) == MP_BIN)) {
			text = mp_read_str(&r);
			e->response = make_response(
				text.p, text.size,
				utf8_valid(text.p, text.size)
					? "text/plain; charset=utf-8"
					: "application/octet-stream");
			return;
		}
		if (n > 1)
			mp_reader_init(&r, args.p, args.size);
	}
	value = luajson_from_mp(&r);
	if (value)
		e->response = json_response(value);
	json_decref(value);
}

/* --- the call ---------------------------------------------------------------
 */

static void resume(struct exchange *e)
{
	e->suspended = false;
	list_remove(&e->list);
	e->gateway->wants_run = true;
	MHD_resume_connection(e->connection);
}

static void on_answer(struct native *n, const struct native_answer *a,
		      void *user)
{
	struct exchange *e = user;
	char text[512];

	(void)n;
	e->pending = NULL;
	if (a->status == STATUS_OK) {
		set_answer(e, a->args);
	} else {
		native_answer_message(a, text, sizeof(text));
		set_failure(e, a->status, 0, text);
	}
	resume(e);
}

/* JSON: an array's items are the arguments, anything else is the only one.
 * Other bytes are one string; none, no argument. */
static int write_arguments(struct exchange *e, struct native_values *v)
{
	json_t *value;
	int r;

	if (!e->json) {
		mp_write_array(&v->w, e->size > 0);
		if (e->size > 0 && utf8_valid(e->body, e->size))
			mp_write_strn(&v->w, e->body, e->size);
		else if (e->size > 0)
			mp_write_bin(&v->w, e->body, e->size);
		return 0;
	}
	if (e->size == 0) {
		mp_write_array(&v->w, 0);
		return 0;
	}
	value = json_loadb(e->body, e->size,
			   JSON_DECODE_ANY | JSON_ALLOW_NUL |
				   JSON_REJECT_DUPLICATES,
			   NULL);
	if (!value)
		return -EINVAL;
	if (!json_is_array(value))
		mp_write_array(&v->w, 1);
	r = luajson_to_mp(&v->w, value);
	json_decref(value);
	return r;
}

static void start_call(struct exchange *e)
{
	struct gateway *g = e->gateway;
	struct native_values v;
	int r;

	native_values_init(&v);
	r = write_arguments(e, &v);
	if (r == 0)
		r = native_call(g->native, NULL, e->name, &v,
				g->limits->timeout_ms, on_answer, e,
				&e->pending);
	native_values_deinit(&v);
	if (r == 0) {
		e->suspended = true;
		list_append(&g->suspended, &e->list);
		MHD_suspend_connection(e->connection);
	} else if (r == -EINVAL) {
		set_failure(e, STATUS_INVALID, 0, "the body is not such JSON");
	} else if (r == -ENOBUFS) {
		set_failure(e, STATUS_TOO_LARGE, MHD_HTTP_SERVICE_UNAVAILABLE,
			    "the callee does not keep up");
	} else {
		set_failure(e, STATUS_ERROR, 0, strerror(-r));
	}
}

/* --- who may ----------------------------------------------------------------
 */

static const char *header(struct MHD_Connection *c, const char *name)
{
	return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

/* Takes the same time wherever they differ. */
static bool same_token(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned differ = n != m;

	for (size_t i = 0; i < n; i++)
		differ |= (unsigned char)a[i] ^ (unsigned char)b[m ? i % m : 0];
	return differ == 0;
}

static bool has_token(struct exchange *e)
{
	const char *wanted = e->gateway->limits->token;
	const char *given = header(e->connection, "Authorization");

	if (!wanted)
		return true;
	return given && strncasecmp(given, "Bearer ", 7) == 0 &&
	       same_token(given + 7, wanted);
}

static bool is_exposed(const struct gateway_limits *l, const char *name)
{
	for (unsigned i = 0; i < l->n_expose; i++)
		if (pattern_match(l->expose[i], strlen(l->expose[i]), name,
				  strlen(name)))
			return true;
	return false;
}

static void check(struct exchange *e, const char *url, const char *method)
{
	const char *type = header(e->connection, "Content-Type");

	e->json = type && strncasecmp(type, json_content,
				      sizeof(json_content) - 1) == 0;
	if (header(e->connection, "Origin"))
		set_failure(e, STATUS_DENIED, 0,
			    "not for the pages of other sites");
	else if (!has_token(e))
		set_failure(e, STATUS_DENIED, MHD_HTTP_UNAUTHORIZED,
			    "a token is wanted: Authorization: Bearer TOKEN");
	else if (url[0] != '/' || !wire_check_name(url + 1, strlen(url + 1)) ||
		 !is_exposed(e->gateway->limits, url + 1))
		set_failure(e, STATUS_NOT_FOUND, 0, "no such name is exposed");
	else if (strcmp(method, "POST") != 0)
		set_failure(e, STATUS_INVALID, MHD_HTTP_METHOD_NOT_ALLOWED,
			    "a call is a POST");
	else
		strcpy(e->name, url + 1);
}

/* --- libmicrohttpd ----------------------------------------------------------
 */

static struct exchange *exchange_new(struct gateway *g,
				     struct MHD_Connection *c)
{
	struct exchange *e = calloc(1, sizeof(*e));

	if (e) {
		e->gateway = g;
		e->connection = c;
		list_init(&e->list);
	}
	return e;
}

static void take_body(struct exchange *e, const char *data, size_t size)
{
	char *grown;

	if (e->response)
		return; /* the rest is of no use */
	if (size > e->gateway->limits->body_bytes - e->size) {
		set_failure(e, STATUS_TOO_LARGE, 0,
			    "the body is too large (--max-body of thox-http)");
		return;
	}
	grown = realloc(e->body, e->size + size);
	if (!grown) {
		set_failure(e, STATUS_ERROR, 0, strerror(ENOMEM));
		return;
	}
	e->body = grown;
	memcpy(grown + e->size, data, size);
	e->size += size;
}

static enum MHD_Result respond(struct exchange *e)
{
	enum MHD_Result r;

	if (!e->response)
		return MHD_NO; /* no memory: the connection is closed */
	if (e->code == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(e->response, "Allow", "POST");
	if (e->code == MHD_HTTP_UNAUTHORIZED)
		MHD_add_response_header(e->response, "WWW-Authenticate",
					"Bearer");
	r = MHD_queue_response(e->connection, e->code, e->response);
	MHD_destroy_response(e->response);
	e->response = NULL;
	return r;
}

/* Called for the head, then for each piece of the body, then at its end, and
 * once more when the answer of the call is there. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *c,
				  const char *url, const char *method,
				  const char *version, const char *data,
				  size_t *size, void **exchange)
{
	struct exchange *e = *exchange;

	(void)version;
	if (!e) {
		e = exchange_new(user, c);
		if (!e)
			return MHD_NO;
		*exchange = e;
		check(e, url, method);
		return MHD_YES;
	}
	if (*size > 0) {
		take_body(e, data, *size);
		*size = 0;
		return MHD_YES;
	}
	if (!e->response && e->code == 0)
		start_call(e);
	if (e->suspended)
		return MHD_YES;
	return respond(e);
}

static void on_completed(void *user, struct MHD_Connection *c, void **exchange,
			 enum MHD_RequestTerminationCode how)
{
	struct exchange *e = *exchange;

	(void)user;
	(void)c;
	(void)how;
	*exchange = NULL;
	if (!e)
		return;
	if (e->pending)
		native_cancel(e->pending);
	if (e->response)
		MHD_destroy_response(e->response);
	free(e->body);
	free(e);
}

/* --- life -------------------------------------------------------------------
 */

static void on_watch(struct native_watch *w, uint32_t events)
{
	(void)events;
	container_of(w, struct gateway, watch)->wants_run = true;
}

static int start(struct gateway *g, int fd)
{
	const union MHD_DaemonInfo *info;

	g->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
		on_request, g, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, g,
		MHD_OPTION_CONNECTION_LIMIT, GATEWAY_CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, GATEWAY_IDLE_S, MHD_OPTION_END);
	if (!g->daemon) {
		fd_close(fd);
		return -EIO;
	}
	info = MHD_get_daemon_info(g->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -EIO;
	g->watch.fd = info->epoll_fd;
	g->watch.fn = on_watch;
	return native_watch(g->native, &g->watch, EPOLLIN);
}

int gateway_new(struct native *n, int fd, const struct gateway_limits *limits,
		struct gateway **ret)
{
	struct gateway *g = calloc(1, sizeof(*g));
	int r;

	if (!g) {
		fd_close(fd);
		return -ENOMEM;
	}
	g->native = n;
	g->limits = limits;
	list_init(&g->suspended);
	r = start(g, fd);
	if (r < 0) {
		gateway_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

struct gateway *gateway_free(struct gateway *g)
{
	if (!g)
		return NULL;
	if (g->watch.events)
		native_watch(g->native, &g->watch, 0);
	/* Those that are suspended cannot be closed. */
	while (!list_empty(&g->suspended))
		resume(list_first(&g->suspended, struct exchange, list));
	if (g->daemon)
		MHD_stop_daemon(g->daemon);
	free(g);
	return NULL;
}

int gateway_timeout(const struct gateway *g)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (g->wants_run)
		return 0;
	if (MHD_get_timeout(g->daemon, &ms) != MHD_YES)
		return -1;
	return ms > 60000 ? 60000 : (int)ms;
}

void gateway_run(struct gateway *g)
{
	if (!g->wants_run && gateway_timeout(g) != 0)
		return;
	g->wants_run = false;
	MHD_run(g->daemon);
}
