/*
 * For tests: stands in thoxd's place for one life, and spoils what the keeper
 * keeps under names that begin with the text in $THOX_DIR/spoil: the last byte
 * of each record is lost. Then it puts thoxd.old in its own place, for which
 * it makes room.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "rpc/keeper.h"
#include "rpc/link.h"
#include "rpc/mp.h"

static char kind[64];

static void read_kind(void)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/spoil", getenv("THOX_DIR"));
	f = fopen(path, "re");
	if (!f || !fgets(kind, sizeof(kind), f))
		exit(1);
	kind[strcspn(kind, "\n")] = '\0';
	fclose(f);
}

static void spoil(struct link *l, const struct link_message *m,
		  struct mp_reader *r)
{
	struct mp_bytes name = mp_read_str(r), record = mp_read_str(r);
	uint64_t pid = mp_read_uint(r);
	struct mp_writer w;

	if (mp_end(r) < 0 || name.size < strlen(kind) || record.size == 0 ||
	    memcmp(name.p, kind, strlen(kind)) != 0)
		return;
	mp_writer_init_heap(&w);
	mp_write_array(&w, 4);
	mp_write_uint(&w, KEEPER_KEEP);
	mp_write_strn(&w, name.p, name.size);
	mp_write_bin(&w, record.p, record.size - 1);
	mp_write_uint(&w, pid);
	if (mp_writer_end(&w) < 0 ||
	    link_send_wait(l, w.data, w.used, m->fds, m->n_fds) < 0)
		exit(1);
	mp_writer_deinit(&w);
}

/* False: that was all. */
static bool take(struct link *l)
{
	struct link_message m;
	struct mp_reader r;
	uint64_t what;

	if (link_receive(l, true, &m) <= 0)
		exit(1);
	mp_reader_init(&r, m.data, m.size);
	(void)mp_read_array(&r);
	what = mp_read_uint(&r);
	if (what == KEEPER_KEPT)
		spoil(l, &m, &r);
	link_message_deinit(&m);
	return what != KEEPER_BEGIN;
}

static void give_way(struct link *l)
{
	const char *dir = getenv("THOX_LIBEXEC_DIR");
	char self[4096], old[4096];
	uint8_t buf[8];
	struct mp_writer w;

	snprintf(self, sizeof(self), "%s/thoxd", dir);
	snprintf(old, sizeof(old), "%s/thoxd.old", dir);
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, 1);
	mp_write_uint(&w, KEEPER_REEXEC);
	if (rename(old, self) < 0 ||
	    link_send_wait(l, w.data, w.used, NULL, 0) < 0)
		exit(1);
}

int main(void)
{
	struct link l;

	read_kind();
	link_init(&l, KEEPER_LINK_FD);
	while (take(&l))
		;
	give_way(&l);
	return 0;
}
