/* What is kept of services comes back as it was, or is told to be damaged. */

#include "thoxd/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/tap.h"
#include "base/util.h"
#include "thoxd/policy.h"

static const uint8_t two_times[] = { 0x92, 0x01, 0x02 };
static const uint8_t two_names[] = { 0x92, 0xa1, 'a', 0xa1, 'b' };

static struct mp_bytes raw(const void *p, size_t size)
{
	return (struct mp_bytes){ p, size };
}

static struct mp_bytes text(const char *s)
{
	return (struct mp_bytes){ s, strlen(s) };
}

static struct mp_bytes written(const struct mp_writer *w)
{
	return (struct mp_bytes){ (const char *)w->data, w->used };
}

static struct record_instance an_instance(void)
{
	return (struct record_instance){
		.key = 7,
		.service = "web:blue",
		.number = 3,
		.state = MACHINE_SETTLING,
		.reason = REASON_RELOADED,
		.reload_again = true,
		.trial = true,
		.by_call = true,
		.ready_ms = 1000,
		.changed_ms = 2000,
		.failures = 2,
		.restarts = 5,
		.times = raw(two_times, sizeof(two_times)),
		.since_ms = 1764236000000,
		.good = 4,
		.process = { 11, 12 },
		.present = { true, true },
		.due_ms = { 5000, 0 },
		.last_pid = 77,
		.last_code = 9,
		.last_signalled = true,
		.last_ms = 1764235999000,
		.last_reason = "signal",
		.last_detail = text("killed by signal 9"),
		.detail = text("why"),
	};
}

static struct record_process a_process(void)
{
	return (struct record_process){
		.key = 11,
		.service = "web:blue",
		.number = 3,
		.definition = 2,
		.program = "web",
		.version = 5,
		.itself = true,
		.runtime = "native",
		.uid = 61000,
		.sha256 = "abc",
		.logs = { 3, 4 },
		.ready = true,
		.started_ms = 1764236000000,
		.memory_bytes = 1 << 20,
		.cpu_ms = 10,
		.tasks = 5,
		.descriptors = 6,
		.processes = 7,
		.has = { true, false, true },
		.names = raw(two_names, sizeof(two_names)),
	};
}

static struct record_link a_link(void)
{
	return (struct record_link){
		.number = 1ULL << 40,
		.routed = true,
		.owner = 11,
		.holder = 12,
		.as = 12,
		.name = text("web.page"),
		.through = 3,
		.over = 4,
		.grant = 12,
	};
}

static struct record_rejection a_rejection(void)
{
	return (struct record_rejection){
		.key = 13,
		.program = "web.lua",
		.bad = 5,
		.good = 4,
		.reason = "service web:blue:3 did not go over to it",
	};
}

/* --- what was written is read --------------------------------------------- */

/* Verify that an instance comes back as it was, in every field. */
static void test_an_instance(void)
{
	struct record_instance i = an_instance(), back;
	struct mp_writer w;

	mp_writer_init_heap(&w);
	record_write_instance(&w, &i);
	CHECK_EQ(record_read_instance(written(&w), &back), 0);
	CHECK_EQ(back.key, 7);
	CHECK_STR(back.service, "web:blue");
	CHECK_EQ(back.number, 3);
	CHECK_EQ(back.state, MACHINE_SETTLING);
	CHECK_EQ(back.reason, REASON_RELOADED);
	CHECK(!back.start_again && back.reload_again && !back.failing);
	CHECK(back.trial && !back.wanted && back.by_call);
	CHECK(back.ready_ms == 1000 && back.changed_ms == 2000);
	CHECK(back.failures == 2 && back.restarts == 5);
	CHECK(back.times.size == 3 && memcmp(back.times.p, two_times, 3) == 0);
	CHECK(back.since_ms == i.since_ms && back.good == 4);
	CHECK(back.process[SLOT_MAIN] == 11 && back.process[SLOT_OTHER] == 12);
	CHECK(back.present[SLOT_MAIN] && back.present[SLOT_OTHER]);
	CHECK(back.due_ms[SLOT_MAIN] == 5000 && back.due_ms[SLOT_OTHER] == 0);
	CHECK(back.last_pid == 77 && back.last_code == 9);
	CHECK(back.last_signalled && back.last_ms == i.last_ms);
	CHECK_STR(back.last_reason, "signal");
	CHECK(mp_bytes_equal(back.last_detail, "killed by signal 9"));
	CHECK(mp_bytes_equal(back.detail, "why"));
	mp_writer_deinit(&w);
}

/* Verify the same of a process. */
static void test_a_process(void)
{
	struct record_process p = a_process(), back;
	struct mp_writer w;

	mp_writer_init_heap(&w);
	record_write_process(&w, &p);
	CHECK_EQ(record_read_process(written(&w), &back), 0);
	CHECK(back.key == 11 && back.number == 3 && back.definition == 2);
	CHECK_STR(back.service, "web:blue");
	CHECK_STR(back.program, "web");
	CHECK_STR(back.runtime, "native");
	CHECK_STR(back.sha256, "abc");
	CHECK(back.version == 5 && back.itself && back.uid == 61000);
	CHECK(back.logs[0] == 3 && back.logs[1] == 4);
	CHECK(back.ready && !back.waits && back.started_ms == p.started_ms);
	CHECK(back.memory_bytes == 1 << 20 && back.cpu_ms == 10);
	CHECK(back.tasks == 5 && back.descriptors == 6 && back.processes == 7);
	CHECK(back.has[0] && !back.has[1] && back.has[2]);
	CHECK_EQ(back.names.size, sizeof(two_names));
	mp_writer_deinit(&w);
}

/* Verify the same of a name. */
static void test_a_name(void)
{
	struct record_name n = { 11, text("web.page"), true, false }, back;
	struct mp_writer w;

	mp_writer_init_heap(&w);
	record_write_name(&w, &n);
	CHECK_EQ(record_read_name(written(&w), &back), 0);
	CHECK(back.key == 11 && back.fallback && !back.waits);
	CHECK(mp_bytes_equal(back.name, "web.page"));
	mp_writer_deinit(&w);
}

/* Verify the same of a link, and of one to thoxd, which has no name. */
static void test_a_link(void)
{
	struct record_link l = a_link(), back;
	struct mp_writer w;

	mp_writer_init_heap(&w);
	record_write_link(&w, &l);
	CHECK_EQ(record_read_link(written(&w), &back), 0);
	CHECK(back.number == l.number && back.routed && !back.trace);
	CHECK(back.owner == 11 && back.holder == 12 && back.as == 12);
	CHECK(back.context == 0 && mp_bytes_equal(back.name, "web.page"));
	CHECK(back.through == 3 && back.over == 4 && back.grant == 12);
	mp_writer_deinit(&w);

	l.owner = 0;
	l.zero = true;
	l.name = text("");
	mp_writer_init_heap(&w);
	record_write_link(&w, &l);
	CHECK_EQ(record_read_link(written(&w), &back), 0);
	CHECK(back.owner == 0 && back.zero);
	mp_writer_deinit(&w);
}

/* Verify the same of a rejection. */
static void test_a_rejection(void)
{
	struct record_rejection j = a_rejection(), back;
	struct mp_writer w;

	mp_writer_init_heap(&w);
	record_write_rejection(&w, &j);
	CHECK_EQ(record_read_rejection(written(&w), &back), 0);
	CHECK(back.key == 13 && back.bad == 5 && back.good == 4);
	CHECK_STR(back.program, "web.lua");
	CHECK_STR(back.reason, j.reason);
	mp_writer_deinit(&w);
}

/* Verify that the levels of a policy come back, and forbid what they did. */
static void test_levels(void)
{
	_cleanup_(policy_unrefp) struct policy *top = NULL, *low = NULL;
	_cleanup_(policy_unrefp) struct policy *back = NULL;
	char digest[POLICY_DIGEST_BYTES], again[POLICY_DIGEST_BYTES];
	char rule[POLICY_RULE_BYTES];
	struct record_link l = a_link(), read;
	struct mp_writer levels, w;
	struct mp_reader r;

	CHECK_EQ(policy_new(NULL, "[exec] in thoxd.conf", &top), 0);
	CHECK_EQ(policy_deny(top, POLICY_CALL, "x.**", 4), 0);
	CHECK_EQ(policy_new(top, "[allow] of service a", &low), 0);
	CHECK_EQ(policy_allow(low, POLICY_CALL, "a.*", 3), 0);
	policy_restrict(low, POLICY_RUN);
	mp_writer_init_heap(&levels);
	mp_writer_init_heap(&w);
	policy_write(low, &levels);
	l.grant = 0;
	l.levels = written(&levels);
	record_write_link(&w, &l);
	CHECK_EQ(record_read_link(written(&w), &read), 0);
	mp_reader_init(&r, read.levels.p, read.levels.size);
	CHECK_EQ(policy_read(&r, &back), 0);
	policy_digest(low, digest);
	policy_digest(back, again);
	CHECK_STR(digest, again);
	CHECK(policy_admits(back, POLICY_CALL, text("a.b"), NULL));
	CHECK(!policy_admits(back, POLICY_CALL, text("b"), rule));
	CHECK(strstr(rule, "[allow] of service a"));
	CHECK(!policy_admits(back, POLICY_RUN, text("a"), NULL));
	mp_writer_deinit(&w);
	mp_writer_deinit(&levels);
}

/* --- what is not one ------------------------------------------------------ */

/* Every part of it, in a block of its own, and with a byte behind it. */
#define CHECK_CUTS(write, read, value)                                         \
	do {                                                                   \
		__typeof__(value) v_ = (value), out_;                          \
		struct mp_writer w_;                                           \
                                                                               \
		mp_writer_init_heap(&w_);                                      \
		write(&w_, &v_);                                               \
		mp_write_nil(&w_);                                             \
		CHECK_EQ(read(written(&w_), &out_), -EBADMSG);                 \
		for (size_t n_ = 0; n_ + 1 < w_.used; n_++) {                  \
			char *part_ = malloc(n_ ? n_ : 1);                     \
			int r_;                                                \
                                                                               \
			memcpy(part_, w_.data, n_);                            \
			r_ = read(raw(part_, n_), &out_);                      \
			free(part_);                                           \
			CHECK_EQ(r_, -EBADMSG);                                \
		}                                                              \
		mp_writer_deinit(&w_);                                         \
	} while (0)

/* Verify that what was cut is damaged, wherever it was cut. */
static void test_cut(void)
{
	struct record_name name = { 1, text("a"), false, false };

	CHECK_CUTS(record_write_instance, record_read_instance, an_instance());
	CHECK_CUTS(record_write_process, record_read_process, a_process());
	CHECK_CUTS(record_write_name, record_read_name, name);
	CHECK_CUTS(record_write_link, record_read_link, a_link());
	CHECK_CUTS(record_write_rejection, record_read_rejection,
		   a_rejection());
}

/* Verify that another format is told from damage. */
static void test_another_format(void)
{
	struct record_instance i = an_instance();
	struct mp_writer w;

	mp_writer_init_heap(&w);
	record_write_instance(&w, &i);
	CHECK_EQ(w.data[0], 0xdc); /* an array of more than 15 */
	CHECK_EQ(w.data[3], RECORD_FORMAT);
	w.data[3]++;
	CHECK_EQ(record_read_instance(written(&w), &i), -ENOTSUP);
	mp_writer_deinit(&w);
}

static int read_changed(struct record_instance i)
{
	struct record_instance back;
	struct mp_writer w;
	int r;

	mp_writer_init_heap(&w);
	record_write_instance(&w, &i);
	r = record_read_instance(written(&w), &back);
	mp_writer_deinit(&w);
	return r;
}

/* Verify that values which no machine has are refused. */
static void test_impossible_instances(void)
{
	struct record_instance i = an_instance();

	i.state = MACHINE_N_STATES;
	CHECK_EQ(read_changed(i), -EBADMSG);
	i = an_instance();
	i.reason = MACHINE_N_REASONS;
	CHECK_EQ(read_changed(i), -EBADMSG);
	i = an_instance();
	i.key = 0;
	CHECK_EQ(read_changed(i), -EBADMSG);
	i = an_instance();
	i.times = raw(two_names, sizeof(two_names));
	CHECK_EQ(read_changed(i), -EBADMSG);
	i = an_instance();
	i.last_code = 256;
	CHECK_EQ(read_changed(i), -EBADMSG);
}

static int read_link(struct record_link l)
{
	struct record_link back;
	struct mp_writer w;
	int r;

	mp_writer_init_heap(&w);
	record_write_link(&w, &l);
	r = record_read_link(written(&w), &back);
	mp_writer_deinit(&w);
	return r;
}

/* Verify that a link is of a context or of a name, and of somebody. */
static void test_impossible_links(void)
{
	struct record_link l = a_link();

	l.context = 1;
	CHECK_EQ(read_link(l), -EBADMSG);
	l = a_link();
	l.name = text("");
	CHECK_EQ(read_link(l), -EBADMSG);
	l = a_link();
	l.name = text("no..name");
	CHECK_EQ(read_link(l), -EBADMSG);
	l = a_link();
	l.holder = 0;
	CHECK_EQ(read_link(l), -EBADMSG);
	l = a_link();
	l.number = 0;
	CHECK_EQ(read_link(l), -EBADMSG);
}

static int read_rejection(struct record_rejection j)
{
	struct record_rejection back;
	struct mp_writer w;
	int r;

	mp_writer_init_heap(&w);
	record_write_rejection(&w, &j);
	r = record_read_rejection(written(&w), &back);
	mp_writer_deinit(&w);
	return r;
}

/* Verify that a rejection is of a version, for another one. */
static void test_impossible_rejections(void)
{
	struct record_rejection j = a_rejection();

	CHECK_EQ(read_rejection(j), 0);
	j.good = j.bad;
	CHECK_EQ(read_rejection(j), -EBADMSG);
	j = a_rejection();
	j.bad = 0;
	CHECK_EQ(read_rejection(j), -EBADMSG);
	j = a_rejection();
	j.good = 0;
	CHECK_EQ(read_rejection(j), -EBADMSG);
	j = a_rejection();
	j.key = 0;
	CHECK_EQ(read_rejection(j), -EBADMSG);
	j = a_rejection();
	strcpy(j.program, "../web");
	CHECK_EQ(read_rejection(j), -EBADMSG);
}

int main(void)
{
	RUN(test_an_instance);
	RUN(test_a_process);
	RUN(test_a_name);
	RUN(test_a_link);
	RUN(test_a_rejection);
	RUN(test_levels);
	RUN(test_cut);
	RUN(test_another_format);
	RUN(test_impossible_instances);
	RUN(test_impossible_links);
	RUN(test_impossible_rejections);
	return tap_done();
}
