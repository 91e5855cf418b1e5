/*
 * thox-logd with real pipes: what goes into them is in the files, once the
 * answer to LOGD_SYNC has come, whatever was killed in between.
 */

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "base/util.h"
#include "logd/line.h"
#include "rpc/link.h"
#include "rpc/logd.h"
#include "rpc/mp.h"

static char root[64];
static char journal[80]; /* the path of a socket, or "" */
static struct link link_;
static pid_t daemon_pid;
static char problem[128];

static _Noreturn void exec_daemon(int fd)
{
	const char *path = getenv("THOX_LOGD");

	fcntl(fd, F_SETFD, 0);
	if (fd != LOGD_LINK_FD)
		dup2(fd, LOGD_LINK_FD);
	else
		fcntl(fd, F_SETFD, 0);
	execl(path ? path : "./thox-logd", "thox-logd", root,
	      journal[0] ? journal : NULL, NULL);
	_exit(127);
}

static void begin(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	daemon_pid = fork();
	if (daemon_pid == 0)
		exec_daemon(fds[1]);
	close(fds[1]);
	link_init(&link_, fds[0]);
}

static void end(int signal_number)
{
	if (signal_number)
		kill(daemon_pid, signal_number);
	link_deinit(&link_);
	waitpid(daemon_pid, NULL, 0);
}

static void send_out(struct mp_writer *w, int fd)
{
	if (mp_writer_end(w) < 0 ||
	    link_send_wait(&link_, w->data, w->used, &fd, fd >= 0) < 0)
		abort();
}

struct options {
	const char *service, *instance;
	uint64_t keep, rotate_bytes, rate_bytes;
};

/* The writing end; the reading one in @ret_reader, for a second handing. */
static void hand_over(uint64_t stream, const struct options *o, int reader)
{
	uint8_t buf[512];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, LOGD_OPEN);
	mp_write_uint(&w, stream);
	mp_write_map(&w, o->instance ? 5 : 4);
	mp_write_str(&w, "service");
	mp_write_str(&w, o->service);
	if (o->instance) {
		mp_write_str(&w, "instance");
		mp_write_str(&w, o->instance);
	}
	mp_write_str(&w, "keep");
	mp_write_uint(&w, o->keep);
	mp_write_str(&w, "rotate_bytes");
	mp_write_uint(&w, o->rotate_bytes);
	mp_write_str(&w, "rate_bytes");
	mp_write_uint(&w, o->rate_bytes);
	send_out(&w, reader);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, LOGD_PID);
	mp_write_uint(&w, stream);
	mp_write_uint(&w, 100 + stream);
	send_out(&w, -1);
}

static void make_pipe(int ret[2])
{
	if (pipe2(ret, O_CLOEXEC) < 0)
		abort();
}

/* Waits for a message of @kind with this number; notes what is told. */
static bool wait_for(unsigned kind, uint64_t number)
{
	struct link_message m;

	while (link_receive(&link_, true, &m) > 0) {
		struct mp_reader r;
		unsigned got;

		mp_reader_init(&r, m.data, m.size);
		mp_read_array(&r);
		got = (unsigned)mp_read_uint(&r);
		if (got == LOGD_PROBLEM) {
			mp_read_str(&r);
			mp_bytes_copy(mp_read_str(&r), problem,
				      sizeof(problem));
		} else if (got == kind && mp_read_uint(&r) == number) {
			return true;
		}
	}
	return false;
}

static bool sync_all(void)
{
	static uint64_t token;
	uint8_t buf[32];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 2);
	mp_write_uint(&w, LOGD_SYNC);
	mp_write_uint(&w, ++token);
	send_out(&w, -1);
	return wait_for(LOGD_SYNCED, token);
}

/* The service's current log. */
static char *read_log(const char *service)
{
	static char data[4 << 20];
	char path[160];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/%s/current", root, service);
	fd = open(path, O_RDONLY);
	if (fd >= 0)
		n = fd_read_full(fd, data, sizeof(data) - 1);
	fd_close(fd);
	data[n > 0 ? n : 0] = '\0';
	return data;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	while ((text = strstr(text, what))) {
		text += strlen(what);
		n++;
	}
	return n;
}

static void put(int fd, const char *text)
{
	if (fd_write_all(fd, text, strlen(text)) < 0)
		abort();
}

/* Verify that lines are there with level, PID and instance, the last one
 * also without a line feed, and that the end is told. */
static void test_lines(void)
{
	const struct options o = { .service = "lines", .instance = "blue" };
	struct line line;
	char *log, *second;
	int p[2];

	begin();
	make_pipe(p);
	hand_over(1, &o, p[0]);
	put(p[1], "one\n<3>two\nthr");
	CHECK(sync_all());
	log = read_log("lines");
	CHECK_EQ(count(log, "\n"), 2);
	second = strchr(log, '\n') + 1;
	CHECK_EQ(line_parse(second, strlen(second) - 1, &line), 0);
	CHECK_EQ(line.level, LINE_ERR);
	CHECK_EQ(line.pid, 101);
	CHECK_STR(line.instance, "blue");
	CHECK(line.size == 3 && memcmp(line.text, "two", 3) == 0);
	put(p[1], "ee");
	close(p[1]);
	CHECK(wait_for(LOGD_ENDED, 1));
	CHECK_EQ(count(read_log("lines"), " blue three\n"), 1);
	close(p[0]);
	end(0);
}

/* Verify that a line longer than 64 KiB is cut, and says so. */
static void test_long_line(void)
{
	const struct options o = { .service = "long" };
	char block[4096];
	char *log;
	int p[2];

	begin();
	make_pipe(p);
	fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
	hand_over(1, &o, p[0]);
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 50; i++)
		CHECK_EQ(fd_write_all(p[1], block, sizeof(block)), 0);
	put(p[1], "\nnext\n");
	CHECK(sync_all());
	log = read_log("long");
	CHECK_EQ(count(log, "\n"), 3);
	CHECK_EQ(strcspn(strstr(log, "xx"), "\n"), LINE_TEXT_BYTES);
	CHECK(strstr(log, "[the line before was cut: 139264 more bytes]"));
	CHECK(strstr(log, " - next\n"));
	close(p[0]);
	close(p[1]);
	end(0);
}

/* Verify that a killed daemon loses nothing: the next goes on with the pipe. */
static void test_killed(void)
{
	const struct options o = { .service = "killed" };
	char text[64];
	char *log;
	int p[2];

	make_pipe(p);
	for (int life = 0; life < 5; life++) {
		begin();
		hand_over(1, &o, p[0]);
		for (int i = 0; i < 200; i++) {
			snprintf(text, sizeof(text), "line %d of life %d\n", i,
				 life);
			put(p[1], text);
		}
		/* half a line is there when it dies */
		put(p[1], life < 4 ? "" : "the end\n");
		if (life == 4)
			CHECK(sync_all());
		end(life < 4 ? SIGKILL : 0);
	}
	log = read_log("killed");
	for (int life = 0; life < 5; life++)
		for (int i = 0; i < 200; i++) {
			snprintf(text, sizeof(text), " line %d of life %d\n", i,
				 life);
			CHECK(strstr(log, text));
		}
	close(p[0]);
	close(p[1]);
}

static unsigned count_files(const char *service)
{
	char path[160];
	struct dirent *e;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", root, service);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

/* Verify that somebody who never stops printing keeps nobody from the answer,
 * and that what others printed before is there then. */
static void test_flood(void)
{
	const struct options flood = { .service = "flood",
				       .keep = 1,
				       .rotate_bytes = 4096 };
	const struct options quiet = { .service = "quiet" };
	char text[4096];
	int p[2], q[2];
	pid_t child;

	begin();
	make_pipe(p);
	make_pipe(q);
	hand_over(1, &flood, p[0]);
	hand_over(2, &quiet, q[0]);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\n';
	child = fork();
	if (child == 0)
		for (;;)
			if (write(p[1], text, sizeof(text)) < 0)
				_exit(1);
	for (int i = 0; i < 50; i++) {
		char line[32], wanted[40];

		snprintf(line, sizeof(line), "quiet %d\n", i);
		put(q[1], line);
		CHECK(sync_all());
		snprintf(wanted, sizeof(wanted), " %s", line);
		CHECK_EQ(count(read_log("quiet"), wanted), 1);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(p[0]);
	close(p[1]);
	close(q[0]);
	close(q[1]);
	end(0);
}

/* Verify that files are rotated by size and only so many are kept. */
static void test_rotation(void)
{
	const struct options o = { .service = "turns",
				   .keep = 3,
				   .rotate_bytes = 4096 };
	char text[101];
	int p[2];

	begin();
	make_pipe(p);
	hand_over(1, &o, p[0]);
	memset(text, 'x', sizeof(text) - 2);
	text[sizeof(text) - 2] = '\n';
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 400; i++) {
		put(p[1], text);
		if (i % 10 == 0)
			CHECK(sync_all());
	}
	CHECK(sync_all());
	CHECK_EQ(count_files("turns"), 4);
	CHECK(strlen(read_log("turns")) <= 4096);
	close(p[0]);
	close(p[1]);
	end(0);
}

/* Verify that a service over its rate waits, and another does not. */
static void test_rate(void)
{
	const struct options slow = { .service = "slow", .rate_bytes = 20000 };
	const struct options other = { .service = "other" };
	char block[60000];
	int p[2], q[2];

	begin();
	make_pipe(p);
	make_pipe(q);
	memset(block, 'y', sizeof(block));
	for (size_t i = 99; i < sizeof(block); i += 100)
		block[i] = '\n';
	hand_over(1, &slow, p[0]);
	hand_over(2, &other, q[0]);
	CHECK_EQ(fd_write_all(p[1], block, sizeof(block)), 0);
	put(q[1], "here\n");
	close(q[1]);
	CHECK(wait_for(LOGD_ENDED, 2)); /* comes while the first one waits */
	CHECK_EQ(count(read_log("other"), "here"), 1);
	close(p[1]);
	CHECK(wait_for(LOGD_ENDED, 1));
	CHECK_EQ(count(read_log("slow"), "\n"), 600);
	close(p[0]);
	close(q[0]);
	end(0);
}

/* Verify that a disk with no room is told of, once, the lines are counted,
 * and it goes on when there is room. */
static void test_full(void)
{
	const struct options o = { .service = "full" };
	struct rlimit limit = { 1000, RLIM_INFINITY };
	char path[160];
	char *log;
	int p[2];

	begin();
	make_pipe(p);
	hand_over(1, &o, p[0]);
	put(p[1], "first\n");
	CHECK(sync_all());
	snprintf(path, sizeof(path), "%s/full/current", root);
	/* a limit that the daemon meets as it would a full disk */
	CHECK_EQ(truncate(path, 1000), 0);
	CHECK_EQ(prlimit(daemon_pid, RLIMIT_FSIZE, &limit, NULL), 0);
	put(p[1], "two\nthree\n");
	CHECK(sync_all());
	CHECK(problem[0]);
	limit.rlim_cur = RLIM_INFINITY;
	CHECK_EQ(prlimit(daemon_pid, RLIMIT_FSIZE, &limit, NULL), 0);
	put(p[1], "four\n");
	CHECK(sync_all());
	CHECK_STR(problem, "");
	log = read_log("full");
	log += strlen(log) + 1; /* the hole is of NUL bytes */
	log = memmem(log, 4096, "[2 lines were lost", 18);
	CHECK(log);
	CHECK(strstr(log, " - four\n"));
	CHECK(!strstr(log, "three"));
	close(p[0]);
	close(p[1]);
	end(0);
}

/* Verify that the journal gets a datagram for each line, with its fields. */
static void test_journal(void)
{
	const struct options o = { .service = "both", .instance = "blue" };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char datagram[512];
	ssize_t n;
	int p[2], fd;

	snprintf(journal, sizeof(journal), "%s/journal", root);
	strcpy(at.sun_path, journal);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	begin();
	journal[0] = '\0';
	make_pipe(p);
	hand_over(7, &o, p[0]);
	put(p[1], "<4>to both\n");
	CHECK(sync_all());
	n = recv(fd, datagram, sizeof(datagram) - 1, MSG_DONTWAIT);
	CHECK(n > 0);
	datagram[n] = '\0';
	CHECK_STR(datagram, "PRIORITY=4\nSYSLOG_IDENTIFIER=both:blue\n"
			    "SYSLOG_PID=107\nTHOX_SERVICE=both\n"
			    "THOX_INSTANCE=blue\nMESSAGE=to both\n");
	CHECK_EQ(count(read_log("both"), "to both"), 1);
	close(fd);
	close(p[0]);
	close(p[1]);
	end(0);
}

/* Verify that names that are no directory's, and nonsense, end the link. */
static void test_hostile(void)
{
	static const char *const names[] = { "..", "a/b", ".x", "" };
	struct link_message m;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct options o = { .service = names[i] };
		int p[2];

		begin();
		make_pipe(p);
		hand_over(1, &o, p[0]);
		CHECK(link_receive(&link_, true, &m) < 0);
		close(p[0]);
		close(p[1]);
		end(0);
	}
}

int main(void)
{
	snprintf(root, sizeof(root), "/tmp/test_logd.XXXXXX");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (!mkdtemp(root))
		return 1;
	RUN(test_lines);
	RUN(test_long_line);
	RUN(test_killed);
	RUN(test_flood);
	RUN(test_rotation);
	RUN(test_rate);
	RUN(test_full);
	RUN(test_journal);
	RUN(test_hostile);
	if (fork() == 0)
		execlp("rm", "rm", "-rf", root, NULL);
	wait(NULL);
	return tap_done();
}
