/*
 * Step 1, in the clients: what the user is told on standard error.
 */

#include "cli/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/utf8.h"

#define LINE_BYTES 2048

static const char *program_name = "thox-exec";

void say_init(const char *program)
{
	program_name = program;
}

const char *say_program(void)
{
	return program_name;
}

static size_t escape(char *to, size_t room, const char *from)
{
	const unsigned char *p = (const unsigned char *)from;
	size_t n = 0;

	while (*p && n + 5 < room) {
		size_t length = utf8_printable(p);

		/* a message may have lines */
		if (length == 0 && (*p == '\n' || *p == '\t'))
			length = 1;
		if (length == 0) {
			n += (size_t)sprintf(to + n, "\\x%02x", *p++);
			continue;
		}
		memcpy(to + n, p, length);
		n += length;
		p += length;
	}
	to[n++] = '\n';
	return n;
}

void say(const char *format, ...)
{
	char text[LINE_BYTES], line[LINE_BYTES + 64];
	va_list ap;
	size_t n;

	n = (size_t)snprintf(line, 64, "%s: ", program_name);
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	n += escape(line + n, sizeof(line) - n, text);
	(void)!write(STDERR_FILENO, line, n);
}

void say_raw(int fd, const char *text)
{
	struct iovec iov[2] = {
		{ (void *)text, strlen(text) },
		{ (void *)"\n", 1 },
	};

	(void)!writev(fd, iov, 2);
}
