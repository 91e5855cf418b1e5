/*
 * A client that does not behave: for tests of the control socket.
 *
 * usage: poke hello RECORD...   say hello, then records (hexadecimal), and
 *                               wait: prints `closed` when thoxd closes
 *        poke raw RECORD...     the same without hello
 *        poke fds COUNT         hello, then messages with COUNT descriptors
 *        poke greet             hello, and wait
 *        poke run FILE          hello, then a start of the text in FILE with
 *                               our stdin, stdout and stderr: prints the kind
 *                               of each message that comes (rpc/control.h),
 *                               up to the last one
 *        poke listen PATH COUNT receive COUNT datagrams and print each as a
 *                               line; `listening` comes first
 *        poke flood COUNT       COUNT connections that say nothing: prints
 *                               `open` when all were tried, ends with stdin
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/instance.h"
#include "rpc/control.h"

#define FDS_AT_ONCE 250 /* the kernel takes 253 */

static int dial(int flags)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct instance in;
	int fd, dirfd;

	if (instance_locate(INSTANCE_USER, &in) < 0 ||
	    instance_socket_path(in.run, INSTANCE_CONTROL, to.sun_path,
				 &dirfd) < 0)
		exit(2);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | flags, 0);
	if (fd >= 0 && connect(fd, (void *)&to, sizeof(to)) < 0) {
		close(fd);
		fd = -1;
	}
	if (dirfd >= 0)
		close(dirfd);
	return fd;
}

static void say(int fd, const char *hex)
{
	static unsigned char record[70000];
	size_t n = 0;
	unsigned byte;

	while (sscanf(hex + 2 * n, "%2x", &byte) == 1)
		record[n++] = (unsigned char)byte;
	(void)!send(fd, record, n, MSG_NOSIGNAL);
}

static int wait_for_end(int fd)
{
	static char reply[70000];
	ssize_t n;

	while ((n = recv(fd, reply, sizeof(reply), 0)) > 0)
		;
	puts(n == 0 || errno == ECONNRESET ? "closed" : strerror(errno));
	return 0;
}

static int records(int argc, char **argv, int hello)
{
	int fd = dial(0);

	if (fd < 0)
		return 1;
	if (hello)
		say(fd, "00920001");
	for (int i = 0; i < argc; i++)
		say(fd, argv[i]);
	return wait_for_end(fd);
}

static void send_fds(int fd, int count)
{
	static char control[CMSG_SPACE(sizeof(int) * FDS_AT_ONCE)];
	char record[] = "\0\x91\x01";
	struct iovec iov = { record, 3 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen =
				      CMSG_SPACE(sizeof(int) * (size_t)count) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
	memset(CMSG_DATA(c), 0, sizeof(int) * (size_t)count); /* stdin */
	(void)!sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static int descriptors(int count)
{
	int fd = dial(0);

	if (fd < 0)
		return 1;
	say(fd, "00920001");
	for (; count > 0; count -= FDS_AT_ONCE)
		send_fds(fd, count < FDS_AT_ONCE ? count : FDS_AT_ONCE);
	return wait_for_end(fd);
}

static void send_start(int fd, int text_fd)
{
	char record[] = "\0\x92\x10\x82\xa4name\xa1t\xa4text\xc3";
	struct iovec iov = { record, sizeof(record) - 1 };
	int fds[] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, text_fd };
	char control[CMSG_SPACE(sizeof(fds))] = { 0 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	(void)!sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static int run(const char *path)
{
	unsigned char reply[4096];
	int fd = dial(0), text_fd = open(path, O_RDONLY);

	if (fd < 0 || text_fd < 0)
		return 1;
	setlinebuf(stdout);
	say(fd, "00920001");
	send_start(fd, text_fd);
	while (recv(fd, reply, sizeof(reply), 0) > 2) {
		printf("%u\n", reply[2]);
		if (reply[2] == CONTROL_RESULT || reply[2] == CONTROL_REFUSED)
			return 0;
	}
	return 1;
}

static int flood(int count)
{
	struct rlimit limit;
	int open_now = 0;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (int i = 0; i < count; i++)
		open_now += dial(SOCK_NONBLOCK) >= 0;
	printf("open\n");
	fprintf(stderr, "%d of %d connections\n", open_now, count);
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}

static int listen_to(const char *path, int count)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char text[4096];
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	ssize_t n;

	if (strlen(path) >= sizeof(at.sun_path))
		return 2;
	strcpy(at.sun_path, path);
	if (fd < 0 || bind(fd, (void *)&at, sizeof(at)) < 0) {
		perror(path);
		return 1;
	}
	setlinebuf(stdout);
	puts("listening");
	for (; count > 0 && (n = recv(fd, text, sizeof(text), 0)) >= 0; count--)
		printf("%.*s\n", (int)n, text);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "greet") == 0)
		return records(0, NULL, 1);
	if (argc == 4 && strcmp(argv[1], "listen") == 0)
		return listen_to(argv[2], atoi(argv[3]));
	if (argc == 3 && strcmp(argv[1], "run") == 0)
		return run(argv[2]);
	if (argc >= 3 && strcmp(argv[1], "hello") == 0)
		return records(argc - 2, argv + 2, 1);
	if (argc >= 3 && strcmp(argv[1], "raw") == 0)
		return records(argc - 2, argv + 2, 0);
	if (argc == 3 && strcmp(argv[1], "fds") == 0)
		return descriptors(atoi(argv[2]));
	if (argc == 3 && strcmp(argv[1], "flood") == 0)
		return flood(atoi(argv[2]));
	return 2;
}
