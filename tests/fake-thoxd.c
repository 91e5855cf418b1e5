/*
 * A server for one client, that does what its arguments say: for the answers
 * that a sound thoxd never gives, and to see what a client asks for.
 *
 *     fake-thoxd RUNDIR STEP...
 *
 *     hello[:VERSION]            greet
 *     receive                    wait for a message and print it
 *     notice:TEXT
 *     result:KEY=VALUE[,…]       end of the run
 *     refused:STATUS:TEXT[:HINT]
 *     raw:HEX                    a record as it is
 *     print:TEXT                 on the client's stdout
 *     ask                        for input, as a runner; prints the answer
 *     drain                      read until the client is gone
 *
 * It prints `listening` when it does, and closes at the end of the steps.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc/control.h"
#include "rpc/link.h"
#include "rpc/mp.h"

static struct link client;
static int run_fds[LINK_FDS_MAX] = { -1, -1, -1, -1, -1, -1, -1, -1 };

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void dump(struct mp_reader *r)
{
	struct mp_bytes b;
	uint32_t n;

	switch (mp_peek(r)) {
	case MP_STR:
	case MP_BIN:
		b = mp_read_str(r);
		printf("%.*s", (int)b.size, b.p);
		break;
	case MP_INT:
		printf("%lld", (long long)mp_read_int(r));
		break;
	case MP_BOOL:
		printf(mp_read_bool(r) ? "true" : "false");
		break;
	case MP_ARRAY:
		n = mp_read_array(r);
		putchar('[');
		for (uint32_t i = 0; i < n; i++) {
			printf(i ? " " : "");
			dump(r);
		}
		putchar(']');
		break;
	case MP_MAP:
		n = mp_read_map(r);
		putchar('{');
		for (uint32_t i = 0; i < n; i++) {
			printf(i ? " " : "");
			dump(r);
			putchar('=');
			dump(r);
		}
		putchar('}');
		break;
	default:
		mp_skip(r);
		putchar('?');
	}
}

static int receive(void)
{
	struct link_message m;
	struct mp_reader r;
	int result = link_receive(&client, true, &m);

	if (result < 0)
		return result;
	mp_reader_init(&r, m.data, m.size);
	dump(&r);
	printf(" fds=%u\n", m.n_fds);
	fflush(stdout);
	for (unsigned i = 0; i < m.n_fds; i++)
		run_fds[i] = link_message_take_fd(&m, i);
	link_message_deinit(&m);
	return 0;
}

static void send_message(struct mp_writer *w)
{
	if (mp_writer_end(w) < 0 ||
	    link_send_wait(&client, w->data, w->used, NULL, 0) < 0)
		die("send");
}

/* What stands between the colons of a step, or NULL. */
static char *field(char **rest)
{
	return *rest ? strsep(rest, ":") : NULL;
}

static void result(struct mp_writer *w, char *rest)
{
	char *pair;
	uint32_t n = 1;

	for (char *p = rest; *p; p++)
		n += *p == ',';
	mp_write_array(w, 2);
	mp_write_uint(w, CONTROL_RESULT);
	mp_write_map(w, n);
	while ((pair = strsep(&rest, ","))) {
		char *key = strsep(&pair, "="), *end;
		unsigned long value = strtoul(pair, &end, 10);

		mp_write_str(w, key);
		if (*end)
			mp_write_str(w, pair);
		else
			mp_write_uint(w, value);
	}
}

static void raw(const char *hex)
{
	uint8_t buf[256];
	size_t n = 0;
	unsigned byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		buf[n++] = (uint8_t)byte;
	if (send(client.fd, buf, n, 0) < 0)
		die("send");
}

static void ask(void)
{
	char buf[8192];
	ssize_t n;

	if (send(run_fds[0], "r", 1, 0) < 0)
		die("ask");
	n = recv(run_fds[0], buf, sizeof(buf), 0);
	if (n < 0)
		die("answer");
	printf("answer %.*s\n", (int)n, buf);
	fflush(stdout);
}

static void step(char *text)
{
	char buf[4096], *rest = text, *what = field(&rest);
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	if (strcmp(what, "hello") == 0) {
		mp_write_array(&w, 3);
		mp_write_uint(&w, CONTROL_HELLO);
		mp_write_uint(&w,
			      rest ? strtoul(rest, NULL, 10) : CONTROL_VERSION);
		mp_write_str(&w, "fake");
	} else if (strcmp(what, "notice") == 0) {
		mp_write_array(&w, 2);
		mp_write_uint(&w, CONTROL_NOTICE);
		mp_write_str(&w, rest);
	} else if (strcmp(what, "refused") == 0) {
		unsigned long status = strtoul(field(&rest), NULL, 10);
		char *message = field(&rest);

		mp_write_array(&w, rest ? 4 : 3);
		mp_write_uint(&w, CONTROL_REFUSED);
		mp_write_uint(&w, status);
		mp_write_str(&w, message);
		if (rest)
			mp_write_str(&w, rest);
	} else if (strcmp(what, "result") == 0) {
		result(&w, rest);
	} else if (strcmp(what, "receive") == 0) {
		if (receive() < 0)
			die("receive");
		return;
	} else if (strcmp(what, "drain") == 0) {
		while (receive() == 0)
			;
		return;
	} else if (strcmp(what, "print") == 0) {
		dprintf(run_fds[1], "%s\n", rest);
		return;
	} else if (strcmp(what, "ask") == 0) {
		ask();
		return;
	} else if (strcmp(what, "raw") == 0) {
		raw(rest);
		return;
	} else {
		fprintf(stderr, "no such step: %s\n", what);
		exit(1);
	}
	send_message(&w);
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX,
				    .sun_path = "control" };
	int fd;

	if (argc < 2 || chdir(argv[1]) < 0)
		die("directory");
	unlink("control");
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, 16) < 0)
		die("listen");
	printf("listening\n");
	fflush(stdout);
	link_init(&client, accept4(fd, NULL, NULL, SOCK_CLOEXEC));
	if (client.fd < 0)
		die("accept");
	for (int i = 2; i < argc; i++)
		step(argv[i]);
	link_deinit(&client);
	return 0;
}
