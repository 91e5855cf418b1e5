/*
 * A person at a terminal: runs a command on a pseudo-terminal of its own and
 * goes through steps of what to type and what to wait for.
 *
 *     pty [STEP...] -- COMMAND [ARG...]
 *
 *     send:TEXT      type it; \n \r \t \e \\ and \xNN are understood
 *     expect:TEXT    wait until it is shown, after what was matched before
 *     press:KEY:TEXT type the key (escapes as above) again and again until the
 *                    text is shown: for signals, of which several are one
 *     absent:TEXT    fail when it was shown since the last match
 *     size:ROWSxCOLS
 *     end            wait for the command's end
 *     hangup         close the terminal
 *
 * Everything shown is written to stdout. The exit code is the command's (128
 * + n for a signal), or 100 when a step failed, said on stderr. `end` is
 * implied.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_S  30
#define PRESS_S	    0.2
#define SHOWN_BYTES (1u << 20)
#define STEP_FAILED 100

static int terminal = -1;
static pid_t child = -1;
static char shown[SHOWN_BYTES + 1];
static size_t used;    /* of shown */
static size_t matched; /* where the next expect looks from */

static _Noreturn void fail(const char *step, const char *why)
{
	fprintf(stderr, "\npty: %s: %s\n", step, why);
	if (child > 0)
		kill(child, SIGKILL);
	exit(STEP_FAILED);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* More of what is shown: 1; 0 at the deadline; -1 when the terminal closed. */
static int show_more(double deadline)
{
	struct pollfd p = { .fd = terminal, .events = POLLIN };
	double left = deadline - now();
	ssize_t n;

	if (left <= 0 || poll(&p, 1, (int)(left * 1000) + 1) == 0)
		return 0;
	n = read(terminal, shown + used, SHOWN_BYTES - used);
	if (n < 0 && errno == EINTR)
		return 1;
	if (n <= 0)
		return -1;
	(void)!write(STDOUT_FILENO, shown + used, (size_t)n);
	used += (size_t)n;
	shown[used] = '\0';
	return 1;
}

static char *find(const char *text)
{
	return memmem(shown + matched, used - matched, text, strlen(text));
}

static void expect(const char *step, const char *text)
{
	double deadline = now() + DEADLINE_S;
	char *at;

	while (!(at = find(text))) {
		int r = show_more(deadline);

		if (r == 0)
			fail(step, "was not shown in time");
		if (r < 0)
			fail(step, "the terminal closed before");
	}
	matched = (size_t)(at - shown) + strlen(text);
}

/* @key: bytes typed every time a while passes without @text. */
static void press(const char *step, const char *key, size_t n, const char *text)
{
	double deadline = now() + DEADLINE_S;

	while (!find(text)) {
		double next = now() + PRESS_S;
		int r = 1;

		if (next > deadline)
			fail(step, "was not shown in time");
		if (write(terminal, key, n) != (ssize_t)n)
			fail(step, strerror(errno));
		while (r > 0 && !find(text))
			r = show_more(next);
		if (r < 0)
			fail(step, "the terminal closed before");
	}
	expect(step, text);
}

/* @text with its escapes resolved, in place. */
static size_t unescape(char *text)
{
	char *to = text;
	unsigned byte;

	for (const char *p = text; *p; p++) {
		if (*p != '\\') {
			*to++ = *p;
			continue;
		}
		switch (*++p) {
		case 'n':
			*to++ = '\n';
			break;
		case 'r':
			*to++ = '\r';
			break;
		case 't':
			*to++ = '\t';
			break;
		case 'e':
			*to++ = '\033';
			break;
		case 'x':
			if (sscanf(p + 1, "%2x", &byte) == 1)
				*to++ = (char)byte;
			p += 2;
			break;
		default:
			*to++ = *p;
		}
	}
	*to = '\0';
	return (size_t)(to - text);
}

static void resize(const char *step, const char *text)
{
	struct winsize size = { 0 };

	if (sscanf(text, "%hux%hu", &size.ws_row, &size.ws_col) != 2 ||
	    ioctl(terminal, TIOCSWINSZ, &size) < 0)
		fail(step, "cannot resize");
}

static int finish(void)
{
	double deadline = now() + DEADLINE_S;
	int status;

	while (terminal >= 0 && show_more(deadline) > 0)
		;
	while (waitpid(child, &status, WNOHANG) == 0) {
		if (now() > deadline)
			fail("end", "the command goes on");
		usleep(5000);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_step(char *step)
{
	char *text = strchr(step, ':');

	text = text ? text + 1 : step + strlen(step);
	if (strncmp(step, "send:", 5) == 0) {
		char *copy = strdup(text);
		size_t n = unescape(copy);

		if (write(terminal, copy, n) != (ssize_t)n)
			fail(step, strerror(errno));
		free(copy);
	} else if (strncmp(step, "press:", 6) == 0) {
		char *copy = strdup(text), *end = strchr(copy, ':');

		if (!end)
			fail(step, "has no text");
		*end = '\0';
		press(step, copy, unescape(copy), end + 1);
		free(copy);
	} else if (strncmp(step, "expect:", 7) == 0) {
		expect(step, text);
	} else if (strncmp(step, "absent:", 7) == 0) {
		if (find(text))
			fail(step, "was shown");
	} else if (strncmp(step, "size:", 5) == 0) {
		resize(step, text);
	} else if (strcmp(step, "hangup") == 0) {
		close(terminal);
		terminal = -1;
	} else if (strcmp(step, "end") != 0) {
		fail(step, "no such step");
	}
}

static void start(char **argv)
{
	const char *name;
	int fd;

	terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (terminal < 0 || grantpt(terminal) < 0 || unlockpt(terminal) < 0)
		fail("start", strerror(errno));
	name = ptsname(terminal);
	resize("start", "24x80");
	child = fork();
	if (child != 0)
		return;
	setsid();
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	fd = open(name, O_RDWR); /* becomes the controlling terminal */
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	if (fd > 2)
		close(fd);
	execvp(argv[0], argv);
	perror(argv[0]);
	_exit(127);
}

int main(int argc, char **argv)
{
	int first = 1, last = 1;

	while (last < argc && strcmp(argv[last], "--") != 0)
		last++;
	if (last + 1 >= argc) {
		fprintf(stderr, "usage: pty [STEP...] -- COMMAND [ARG...]\n");
		return STEP_FAILED;
	}
	start(argv + last + 1);
	if (child < 0)
		fail("start", strerror(errno));
	for (; first < last; first++)
		run_step(argv[first]);
	return finish();
}
