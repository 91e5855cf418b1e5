/*
 * The example of thox-rpc(7), played: what the page says that thoxd and the
 * caller send goes to a native process, and what it says that the process
 * sends must come, byte for byte.
 */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/tap.h"
#include "base/util.h"
#include "native/connect.h"
#include "native/native.h"

#define ROWS_MAX  64
#define ROW_BYTES 256

static const char *const channels[] = { "control", "zero", "caller" };
#define CHANNELS ARRAY_SIZE(channels)

struct row {
	unsigned channel;
	bool sends; /* the native process does */
	bool fd;
	uint8_t data[ROW_BYTES];
	size_t size;
};

static struct row rows[ROWS_MAX];
static size_t n_rows;

/* --- reading the page -------------------------------------------------------
 */

/* Two digits and a space or the end, again and again. */
static bool read_hex(const char *text, struct row *row)
{
	unsigned byte;
	int used;

	text += strspn(text, " ");
	while (isxdigit((unsigned char)*text)) {
		if (row->size == ROW_BYTES ||
		    sscanf(text, "%2x%n", &byte, &used) != 1)
			return false;
		row->data[row->size++] = (uint8_t)byte;
		text += used;
		text += strspn(text, " ");
	}
	row->fd = strncmp(text, "+fd", 3) == 0;
	return true;
}

static bool read_line(const char *line)
{
	char word[16], sign;
	int used;

	if (isspace((unsigned char)*line) && n_rows > 0)
		return read_hex(line, &rows[n_rows - 1]);
	if (sscanf(line, "%15s %c %n", word, &sign, &used) != 2 ||
	    (sign != '<' && sign != '>'))
		return true;
	for (unsigned i = 0; i < CHANNELS; i++) {
		if (strcmp(word, channels[i]) != 0)
			continue;
		if (n_rows == ROWS_MAX)
			return false;
		rows[n_rows].channel = i;
		rows[n_rows].sends = sign == '>';
		return read_hex(line + used, &rows[n_rows++]);
	}
	return true;
}

static bool read_page(void)
{
	const char *top = getenv("THOX_SOURCE_DIR");
	char path[4096], line[1024];
	bool example = false, ok = true;
	FILE *page;

	snprintf(path, sizeof(path), "%s/man/thox-rpc.7", top ? top : "..");
	page = fopen(path, "re");
	if (!page)
		return false;
	while (ok && fgets(line, sizeof(line), page)) {
		if (strncmp(line, ".SH", 3) == 0)
			example = strcmp(line, ".SH EXAMPLE\n") == 0;
		else if (example)
			ok = read_line(line);
	}
	fclose(page);
	return ok && n_rows > 10;
}

/* --- the process that the page describes ------------------------------------
 */

static void on_call(struct native_request *q, void *user)
{
	char name[64] = "", text[128];
	struct native_values v;
	struct mp_reader r;

	(void)user;
	mp_reader_init(&r, q->args.p, q->args.size);
	mp_read_array(&r);
	mp_bytes_copy(mp_read_str(&r), name, sizeof(name));
	snprintf(text, sizeof(text), "hello %s", name);
	native_values_init(&v);
	mp_write_array(&v.w, 1);
	mp_write_str(&v.w, text);
	native_answer(q, &v);
	native_values_deinit(&v);
}

static const struct native_handler handler = { .call = on_call };

/* --- the others -------------------------------------------------------------
 */

static int ends[CHANNELS] = { -1, -1, -1 };
static unsigned n_ends;

static bool open_end(int *ret_other)
{
	int pair[2];

	if (n_ends == CHANNELS ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	ends[n_ends++] = pair[0];
	*ret_other = pair[1];
	return true;
}

/* With the other end of the next channel, when the page says so. */
static bool send_row(const struct row *row)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { (void *)row->data, row->size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	int other = -1;
	bool ok;

	if (row->fd) {
		if (!open_end(&other))
			return false;
		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &other, sizeof(int));
	}
	ok = sendmsg(ends[row->channel], &m, 0) == (ssize_t)row->size;
	if (other >= 0)
		close(other);
	return ok;
}

static bool same(const struct row *row, const uint8_t *data, size_t size)
{
	/* Of a hello on the control link, not the name of the software. */
	if (row->channel == 0 && row->size > 4 && row->data[1] == 0x93 &&
	    row->data[2] == 0)
		return size > 4 && memcmp(row->data, data, 4) == 0;
	return size == row->size && memcmp(row->data, data, size) == 0;
}

static bool receive_row(struct native *n, const struct row *row)
{
	uint8_t data[ROW_BYTES + 1];
	ssize_t got = -1;

	for (int turn = 0; turn < 8 && got < 0; turn++) {
		if (native_dispatch(n) < 0)
			return false;
		got = recv(ends[row->channel], data, sizeof(data),
			   MSG_DONTWAIT);
	}
	if (got >= 0 && same(row, data, (size_t)got))
		return true;
	printf("# on %s, instead of row %zu:", channels[row->channel],
	       (size_t)(row - rows) + 1);
	for (ssize_t i = 0; i < got; i++)
		printf(" %02x", data[i]);
	printf("\n");
	return false;
}

/* What native_attach() waits for must be there before. */
static bool attach(struct native **ret)
{
	struct link l;
	int fd, early = 0;

	if (!open_end(&fd))
		return false;
	link_init(&l, fd);
	for (size_t i = 0; i < n_rows && early < 2; i++) {
		if (rows[i].channel != 0 || rows[i].sends)
			continue;
		early++;
		if (!send_row(&rows[i]))
			return false;
		rows[i].size = 0; /* done */
	}
	return connect_greet(&l) == 0 &&
	       native_attach(&l, "ping", 1000, ret) == 0;
}

/* Verify that the example is what a native process and thoxd say. */
static void test_example(void)
{
	struct native *n;

	CHECK(read_page());
	CHECK(attach(&n));
	CHECK_EQ(native_bind(n, "ping", 0, &handler, NULL, NULL, NULL), 0);
	for (size_t i = 0; i < n_rows; i++) {
		if (i + 1 == n_rows) /* the caller hangs up */
			close(ends[2]);
		if (rows[i].sends)
			CHECK(receive_row(n, &rows[i]));
		else if (rows[i].size > 0)
			CHECK(send_row(&rows[i]));
	}
	native_free(n);
}

int main(void)
{
	RUN(test_example);
	return tap_done();
}
