/*
 * Measures: keys of thox-storaged beside those of redis, from C clients.
 *
 * usage: storage thox STORE STORAGED CLIENTS SECONDS KIND...
 *        storage redis SOCKET CLIENTS SECONDS KIND...
 *
 * KIND: get, set, sync (a set that is answered when it is on the disk; redis:
 * a set, by a server with `appendfsync always`), lock. For each a line: the
 * kind, the median time of a call in microseconds, and calls a second of all
 * clients together. Values have 100 bytes; each client has 1,000 keys.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "rpc/status.h"
#include "storaged/play.h"

#define KEYS	    1000U
#define VALUE_BYTES 100
#define SAMPLES	    200000U
#define CLIENTS_MAX 64U

struct client {
	struct link link;  /* thox */
	int fd;		   /* redis */
	struct play *play; /* only of a single client, in the same process */
};

/* Of all clients, shared. */
static struct result {
	uint64_t begin_ns, end_ns, calls;
	uint32_t n;
	float us[SAMPLES];
} * results;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "storage: %s: %s\n", what, strerror(errno));
	exit(1);
}

static const char value[VALUE_BYTES + 1] =
	"0123456789012345678901234567890123456789012345678901234567890123456789"
	"012345678901234567890123456789";

/* --- thox ------------------------------------------------------------------- */

/* Waits in the call, as the client of redis does. */
static void receive_answer(struct client *c)
{
	struct link_message raw;
	struct wire_message m;
	bool answered = false;

	while (!answered) {
		if (link_receive(&c->link, true, &raw) <= 0 ||
		    wire_parse(raw.data, raw.size, &m) < 0)
			die("answer");
		answered = m.kind == WIRE_ANSWER;
		if (answered && m.status != STATUS_OK)
			die("status");
		link_message_deinit(&raw);
	}
}

static void thox_call(struct client *c, const char *kind, unsigned n)
{
	static uint32_t cid;
	uint8_t buf[256];
	struct mp_writer w;
	char key[32];
	bool get = strcmp(kind, "get") == 0;
	bool sync = strcmp(kind, "sync") == 0;

	snprintf(key, sizeof(key), "key:%d:%u", (int)getpid() % 100, n);
	mp_writer_init(&w, buf, sizeof(buf));
	wire_begin_call(&w, ++cid,
			get ? "storage.keys.get" : "storage.keys.set", 16, 0);
	mp_write_array(&w, get ? 1 : sync ? 3 : 2);
	mp_write_str(&w, key);
	if (!get)
		mp_write_strn(&w, value, VALUE_BYTES);
	if (sync) {
		mp_write_map(&w, 1);
		mp_write_str(&w, "sync");
		mp_write_bool(&w, true);
	}
	if (link_send_wait(&c->link, w.data, w.used, NULL, 0) < 0)
		die("send");
	receive_answer(c);
}

/* --- redis ------------------------------------------------------------------ */

static void redis_call(struct client *c, const char *kind, unsigned n)
{
	char key[32], buf[512];
	bool get = strcmp(kind, "get") == 0;
	ssize_t size;
	int k, len;

	k = snprintf(key, sizeof(key), "key:%d:%u", (int)getpid() % 100, n);
	if (get)
		len = snprintf(buf, sizeof(buf),
			       "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", k, key);
	else
		len = snprintf(buf, sizeof(buf),
			       "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n",
			       k, key, VALUE_BYTES, value);
	if (fd_write_all(c->fd, buf, (size_t)len) < 0)
		die("write");
	size = read(c->fd, buf, sizeof(buf));
	if (size <= 0 || buf[0] == '-')
		die("read");
}

static void redis_open(struct client *c, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die(path);
}

/* --- clients ------------------------------------------------------------------ */

typedef void (*call_fn)(struct client *c, const char *kind, unsigned n);

static void run_client(struct client *c, call_fn call, const char *kind,
		       double seconds, struct result *r)
{
	uint64_t t, now, end;
	unsigned n = 0;

	for (unsigned i = 0; i < KEYS; i++) /* they are there, and warm */
		call(c, strcmp(kind, "sync") == 0 ? "set" : kind, i);
	r->n = 0;
	r->calls = 0;
	r->begin_ns = t = clock_ns();
	end = t + (uint64_t)(seconds * 1e9);
	do {
		call(c, kind, n++ % KEYS);
		now = clock_ns();
		if (r->n < SAMPLES)
			r->us[r->n++] = (float)(now - t) / 1000;
		r->calls++;
		t = now;
	} while (now < end);
	r->end_ns = now;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void report(const char *kind, unsigned clients)
{
	static float all[SAMPLES * 2];
	uint64_t begin = UINT64_MAX, end = 0, calls = 0;
	size_t n = 0;

	for (unsigned i = 0; i < clients; i++) {
		const struct result *r = &results[i];

		begin = r->begin_ns < begin ? r->begin_ns : begin;
		end = r->end_ns > end ? r->end_ns : end;
		calls += r->calls;
		for (uint32_t j = 0; j < r->n && n < ARRAY_SIZE(all);
		     j += clients)
			all[n++] = r->us[j];
	}
	qsort(all, n, sizeof(*all), by_value);
	printf("%s %.1f %.0f\n", kind, all[n / 2],
	       (double)calls * 1e9 / (double)(end - begin));
	fflush(stdout);
}

static void measure(struct client *clients, unsigned count, call_fn call,
		    const char *kind, double seconds)
{
	pid_t pids[CLIENTS_MAX];
	int status;

	for (unsigned i = 0; i < count; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork");
		if (pids[i] == 0) {
			run_client(&clients[i], call, kind, seconds,
				   &results[i]);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < count; i++)
		if (waitpid(pids[i], &status, 0) < 0 || status != 0)
			die("a client");
	report(kind, count);
}

int main(int argc, char **argv)
{
	bool thox = argc > 1 && strcmp(argv[1], "thox") == 0;
	int first = thox ? 6 : 5;
	struct client clients[CLIENTS_MAX] = { 0 };
	const char *command[] = { NULL, NULL };
	struct play play;
	unsigned count;
	double seconds;

	if (argc <= first)
		die("usage");
	count = (unsigned)atoi(argv[first - 2]);
	seconds = atof(argv[first - 1]);
	if (count == 0 || count > CLIENTS_MAX)
		die("usage");
	results = mmap(NULL, sizeof(*results) * count, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		die("mmap");
	if (thox) {
		command[0] = argv[3];
		if (play_start(&play, command, argv[2]) < 0)
			die("thox-storaged");
	}
	for (unsigned i = 0; i < count; i++)
		if (!thox)
			redis_open(&clients[i], argv[2]);
		else if (play_open(&play, "bench", &clients[i].link) < 0)
			die("a link");
	for (int i = first; i < argc; i++)
		measure(clients, count, thox ? thox_call : redis_call, argv[i],
			seconds);
	if (thox)
		play_kill(&play);
	return 0;
}
