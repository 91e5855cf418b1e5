/* What play.h says: thoxd and the other ends, one step at a time. */

#include "native/play.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool play_open(struct play *p)
{
	int pair[2];

	memset(p, 0, sizeof(*p));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	link_init(&p->control, pair[0]);
	return native_adopt(pair[1], &p->native) == 0;
}

void play_close(struct play *p)
{
	p->native = native_free(p->native);
	link_deinit(&p->control);
}

int play_turn(struct play *p)
{
	int r = 0;

	/* More turns than any test needs for one step. */
	for (int i = 0; i < 8 && r == 0; i++)
		r = native_dispatch(p->native);
	return r;
}

int play_told(struct play *p, uint64_t ret[4])
{
	struct link_message m;
	struct mp_reader r;
	uint32_t items;
	int kind;

	if (link_receive(&p->control, false, &m) <= 0)
		return -1;
	memset(ret, 0, 4 * sizeof(*ret));
	mp_reader_init(&r, m.data, m.size);
	items = mp_read_array(&r);
	kind = (int)mp_read_uint(&r);
	for (uint32_t i = 1; i < items && i < 5; i++)
		if (mp_peek(&r) == MP_INT)
			ret[i - 1] = mp_read_uint(&r);
		else
			mp_skip(&r);
	link_message_deinit(&m);
	return kind;
}

bool play_say(struct play *p, const struct mp_writer *w)
{
	return link_send(&p->control, w->data, w->used, NULL, 0) == 0;
}

/* Send @w with one end of a pair, keep the other; it is read. */
static bool give_link(struct play *p, const struct mp_writer *w,
		      struct link *ret_peer)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	link_init(ret_peer, pair[0]);
	if (link_send(&p->control, w->data, w->used, &pair[1], 1) < 0)
		return false;
	close(pair[1]);
	play_turn(p);
	return true;
}

static void write_key(struct mp_writer *w, const char *key, uint64_t value)
{
	mp_write_str(w, key);
	mp_write_uint(w, value);
}

static void write_true(struct mp_writer *w, const char *key)
{
	mp_write_str(w, key);
	mp_write_bool(w, true);
}

bool play_hold(struct play *p, uint64_t number, bool zero, bool resolves,
	       uint64_t over, struct link *ret_peer)
{
	uint8_t buf[256];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, CONTROL_HOLD);
	mp_write_uint(&w, number);
	mp_write_map(&w, zero + resolves + (over > 0));
	if (zero)
		write_true(&w, "zero");
	if (resolves)
		write_true(&w, "resolves");
	if (over)
		write_key(&w, "over", over);
	return give_link(p, &w, ret_peer);
}

bool play_opened(struct play *p, uint64_t number, uint64_t context,
		 const char *name, struct mp_bytes grants,
		 struct link *ret_peer)
{
	uint8_t buf[512];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, CONTROL_OPENED);
	mp_write_uint(&w, number);
	mp_write_map(&w, grants.size ? 6 : 5);
	if (context) {
		write_key(&w, "context", context);
	} else {
		mp_write_str(&w, "name");
		mp_write_str(&w, name);
	}
	write_key(&w, "pid", 4321);
	mp_write_str(&w, "program");
	mp_write_str(&w, "caller");
	mp_write_str(&w, "storage");
	mp_write_str(&w, "caller");
	write_key(&w, "storage_bytes", 5000);
	if (grants.size) {
		mp_write_str(&w, "grants");
		mp_write_raw(&w, grants.p, grants.size);
	}
	return give_link(p, &w, ret_peer);
}

bool play_joined(struct play *p, uint64_t number, uint64_t context, uint64_t id,
		 struct link *ret_peer)
{
	uint8_t buf[128];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 3);
	mp_write_uint(&w, CONTROL_OPENED);
	mp_write_uint(&w, number);
	mp_write_map(&w, 3);
	write_key(&w, "context", context);
	write_key(&w, "pid", 4321);
	write_key(&w, "answers", id);
	return give_link(p, &w, ret_peer);
}

bool play_shared(struct play *p, uint64_t id, int status, uint64_t link)
{
	uint8_t buf[128];
	struct mp_writer w;

	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 4);
	mp_write_uint(&w, CONTROL_SHARED);
	mp_write_uint(&w, id);
	mp_write_int(&w, status);
	if (status == STATUS_OK)
		mp_write_uint(&w, link);
	else
		mp_write_str(&w, "there is no such context");
	return play_say(p, &w);
}

int play_read_any(struct link *peer, struct wire_message *ret)
{
	static struct link_message last;
	int r;

	link_message_deinit(&last);
	r = link_receive(peer, false, &last);
	if (r <= 0)
		return r;
	return wire_parse(last.data, last.size, ret) == 0 ? 1 : -1;
}

int play_read(struct link *peer, struct wire_message *ret)
{
	int r;

	do
		r = play_read_any(peer, ret);
	while (r == 1 && ret->kind == WIRE_HELLO);
	return r;
}

bool play_send(struct link *peer, const struct mp_writer *w)
{
	return link_send(peer, w->data, w->used, NULL, 0) == 0;
}
