/*
 * Step 8: thox-http, a native process between programs and the network.
 *
 * It acquires what it needs (the bus, a listening socket), then runs one loop,
 * the native process's, in which curl and libmicrohttpd have their
 * descriptors.
 */

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "cli/say.h"
#include "contrib/http/options.h"
#include "native/connect.h"

struct http {
	struct http_options options;
	struct native *native;
	struct fetcher *fetcher;
	struct gateway *gateway;
	struct native_watch signals;
	bool bound;
	bool over;
	int code;
};

static void on_signal(struct native_watch *w, uint32_t events)
{
	(void)events;
	container_of(w, struct http, signals)->over = true;
}

static void on_asked(struct native *n, const char *signal, void *user)
{
	struct http *h = user;

	(void)n;
	if (strcmp(signal, "reload") != 0)
		h->over = true;
}

static int watch_signals(struct http *h)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN); /* of curl's sockets */
	h->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	h->signals.fn = on_signal;
	if (h->signals.fd < 0)
		return -errno;
	return native_watch(h->native, &h->signals, EPOLLIN);
}

static int attach(struct http *h)
{
	struct instance in;
	int r = instance_locate(h->options.mode, &in);

	if (r == 0)
		r = native_open(&in, "thox-http", CONNECT_HELLO_MS, &h->native);
	if (r == 0) {
		native_on_signal(h->native, on_asked, h);
		return 0;
	}
	if (r == -EPERM && *native_refusal())
		say("%s", native_refusal());
	else
		say("no instance of thox at %s: %s", in.run, strerror(-r));
	return r;
}

/* --- to the network ---------------------------------------------------------
 */

static void on_bound(struct native *n, const struct native_answer *a,
		     void *user)
{
	struct http *h = user;
	char text[256];

	(void)n;
	h->bound = true;
	if (a->status == STATUS_OK)
		return;
	native_answer_message(a, text, sizeof(text));
	say("%s: %s", h->options.name, text);
	h->over = true;
	h->code = 1;
}

static int start_fetcher(struct http *h)
{
	int r;

	h->bound = h->options.fetch.n_rules == 0;
	if (h->bound)
		return 0;
	r = fetcher_new(h->native, &h->options.fetch, &h->fetcher);
	if (r == 0)
		r = native_bind(h->native, h->options.name, 0, &fetch_handler,
				h->fetcher, on_bound, h);
	if (r < 0)
		say("%s: %s", h->options.name, strerror(-r));
	return r;
}

/* --- from the network -------------------------------------------------------
 */

/* The port may have been 0: whoever started it reads which one it is. */
static void print_address(int fd)
{
	struct sockaddr_storage a;
	socklen_t size = sizeof(a);
	char text[INET6_ADDRSTRLEN] = "";

	if (getsockname(fd, (struct sockaddr *)&a, &size) < 0)
		return;
	if (a.ss_family == AF_INET) {
		const struct sockaddr_in *in = (struct sockaddr_in *)&a;

		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		printf("listening on %s:%u\n", text, ntohs(in->sin_port));
	} else {
		const struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a;

		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
		printf("listening on [%s]:%u\n", text, ntohs(in6->sin6_port));
	}
}

static int open_socket(const struct http_options *o)
{
	int one = 1, r;
	int fd = socket(o->address.ss_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&o->address, o->address_size) <
		    0 ||
	    listen(fd, SOMAXCONN) < 0) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	return fd;
}

static int start_gateway(struct http *h)
{
	int fd, r;

	if (!h->options.listen)
		return 0;
	fd = open_socket(&h->options);
	if (fd >= 0) {
		print_address(fd);
		r = gateway_new(h->native, fd, &h->options.gateway,
				&h->gateway);
	} else {
		r = fd;
	}
	if (r < 0)
		say("--listen %s: %s", h->options.listen, strerror(-r));
	return r;
}

/* --- the loop ---------------------------------------------------------------
 */

static int sooner(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static int turn(struct http *h)
{
	int wait_ms = -1;
	int r;

	if (h->fetcher)
		wait_ms = sooner(wait_ms, fetcher_timeout(h->fetcher));
	if (h->gateway)
		wait_ms = sooner(wait_ms, gateway_timeout(h->gateway));
	r = native_wait(h->native, wait_ms);
	if (h->fetcher)
		fetcher_run(h->fetcher);
	if (h->gateway)
		gateway_run(h->gateway);
	return r;
}

static void run(struct http *h)
{
	bool told = false;
	int r = 0;

	while (!h->over && r == 0) {
		if (h->bound && !told) {
			puts("ready");
			fflush(stdout);
			told = true;
		}
		r = turn(h);
	}
	if (r < 0) {
		say("thoxd is gone");
		h->code = 1;
	}
}

int main(int argc, char **argv)
{
	static struct http h = { .signals.fd = -1 };

	say_init("thox-http");
	if (http_options_parse(argc, argv, &h.options) < 0)
		return 2;
	if (h.options.help || h.options.version) {
		fputs(h.options.help ? http_usage
				     : "thox-http " PACKAGE_VERSION "\n",
		      stdout);
		return 0;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	if (attach(&h) < 0 || watch_signals(&h) < 0 || start_fetcher(&h) < 0 ||
	    start_gateway(&h) < 0)
		h.code = 1;
	else
		run(&h);
	gateway_free(h.gateway);
	fetcher_free(h.fetcher);
	native_free(h.native);
	fd_close(h.signals.fd);
	curl_global_cleanup();
	return h.code;
}
