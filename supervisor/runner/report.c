/*
 * Step 8, in the zygote and in a runner: the last message before an end.
 *
 * Nothing here goes through link.c: its queue allocates, and a report is
 * sent from signal handlers and when memory has run out.
 */

#include "runner/report.h"

#include <sys/socket.h>

#include "rpc/control.h"
#include "rpc/mp.h"

/* The record's first byte says that it is a whole message. */
#define RECORD_HEAD_BYTES 1

static void send_record(const uint8_t *record, struct mp_writer *w)
{
	struct iovec iov = { (void *)record, RECORD_HEAD_BYTES + w->used };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (mp_writer_end(w) == 0)
		(void)!sendmsg(CONTROL_FD, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void report_text(const char *what)
{
	uint8_t record[64] = { 0 };
	struct mp_writer w;

	mp_writer_init(&w, record + RECORD_HEAD_BYTES,
		       sizeof(record) - RECORD_HEAD_BYTES);
	mp_write_array(&w, 3);
	mp_write_int(&w, CONTROL_REPORT);
	mp_write_str(&w, what);
	mp_write_nil(&w);
	send_record(record, &w);
}

void report_number(const char *what, uint64_t detail)
{
	uint8_t record[64] = { 0 };
	struct mp_writer w;

	mp_writer_init(&w, record + RECORD_HEAD_BYTES,
		       sizeof(record) - RECORD_HEAD_BYTES);
	mp_write_array(&w, 3);
	mp_write_int(&w, CONTROL_REPORT);
	mp_write_str(&w, what);
	mp_write_uint(&w, detail);
	send_record(record, &w);
}

void report_zygote_failed(const char *what, const char *message)
{
	uint8_t record[2048] = { 0 };
	struct mp_writer w;

	mp_writer_init(&w, record + RECORD_HEAD_BYTES,
		       sizeof(record) - RECORD_HEAD_BYTES);
	mp_write_array(&w, 3);
	mp_write_int(&w, CONTROL_ZYGOTE_FAILED);
	mp_write_str(&w, what);
	mp_write_str(&w, message);
	send_record(record, &w);
}
