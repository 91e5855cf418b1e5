/* The store: what is published is read, survives, and is never half. */

#include "fs/store.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/tap.h"
#include "base/util.h"
#include "fs/index.h"

static char root[64];

static struct store *open_with(struct store_options options)
{
	struct store *s = NULL;

	options.flags |= STORE_CREATE;
	return store_open(root, &options, &s) == 0 ? s : NULL;
}

static struct store *open_plain(void)
{
	return open_with((struct store_options){ 0 });
}

static void remove_root(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	if (system(command) != 0)
		abort();
}

/* Each test has a fresh root, whatever became of the one before. */
static struct store *fresh(void)
{
	if (root[0])
		remove_root();
	strcpy(root, "/tmp/thox-test-store-XXXXXX");
	if (!mkdtemp(root))
		abort();
	return open_plain();
}

static int put_as(struct store *s, const char *name, const char *text,
		  enum store_event event, struct store_entry *ret)
{
	struct store_text *t = NULL;
	struct store_change c = { .event = event,
				  .dir = DIR_PROGRAMS,
				  .name = name,
				  .reason = "why" };
	int r;

	r = store_text_from_bytes(s, DIR_PROGRAMS, name, text, strlen(text),
				  &t);
	if (r < 0)
		return r;
	c.text = t;
	store_writer_self(&c.writer);
	r = store_commit(s, &c, 1);
	store_text_free(t);
	if (ret)
		*ret = c.ret_entry;
	return r < 0 ? r : c.result;
}

static int put(struct store *s, const char *name, const char *text)
{
	return put_as(s, name, text, STORE_PUBLISHED, NULL);
}

static int rm(struct store *s, const char *name)
{
	struct store_change c = { .event = STORE_REMOVED,
				  .dir = DIR_PROGRAMS,
				  .name = name };
	int r = store_commit(s, &c, 1);

	return r < 0 ? r : c.result;
}

/* What a reference reads as, in a static buffer; "-ERRNO" if it does not. */
static const char *get(struct store *s, const char *ref_text)
{
	static char buf[65536];
	struct name_ref ref;
	ssize_t n;
	int fd, r;

	r = name_parse(ref_text, false, &ref, NULL);
	if (r == 0)
		r = store_resolve(s, DIR_PROGRAMS, &ref, NULL, &fd);
	if (r < 0) {
		snprintf(buf, sizeof(buf), "-%s", strerrorname_np(-r));
		return buf;
	}
	n = fd_read_full(fd, buf, sizeof(buf) - 1);
	fd_close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	return buf;
}

static int count_log(const struct store_entry *e, void *user)
{
	(void)e;
	++*(int *)user;
	return 0;
}

static int log_lines(struct store *s, const char *name)
{
	int n = 0, r = store_log(s, DIR_PROGRAMS, name, count_log, &n);

	return r < 0 ? r : n;
}

static int count_bad(enum store_dir dir, const char *name,
		     const struct store_entry *e, int result, void *user)
{
	(void)dir;
	(void)name;
	(void)e;
	*(int *)user += result < 0;
	return 0;
}

static int bad_files(struct store *s)
{
	int n = 0, r = store_verify(s, count_bad, &n);

	return r < 0 ? r : n;
}

static int files_in(const char *dir)
{
	char command[160];
	int n = -1;
	FILE *f;

	snprintf(command, sizeof(command), "ls -A '%s/%s' | wc -l", root, dir);
	f = popen(command, "r");
	if (!f || fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f)
		pclose(f);
	return n;
}

static int shell(const char *what)
{
	char command[300];

	snprintf(command, sizeof(command), "cd '%s' && %s", root, what);
	return system(command);
}

/* Verify that a text is read back, and by every process that opens it. */
static void test_what_is_put_is_read(void)
{
	struct store *s = fresh(), *other = open_plain();

	CHECK(s && other);
	CHECK_EQ(put(s, "hello", "return 1"), 0);
	CHECK_STR(get(s, "hello"), "return 1");
	CHECK_STR(get(other, "hello"), "return 1");
	CHECK_STR(get(s, "hello.lua"), "return 1");
	CHECK_STR(get(s, "hullo"), "-ENOENT");
	CHECK_EQ(files_in(".drafts"), 0);
	store_free(other);
	store_free(s);
	s = open_plain();
	CHECK_STR(get(s, "hello"), "return 1");
	store_free(s);
}

/* Verify that versions count up, are kept to a number, and read back. */
static void test_versions(void)
{
	struct store *s = fresh();
	struct store_entry e;
	char text[16];

	for (int i = 1; i <= 20; i++) {
		snprintf(text, sizeof(text), "v%d", i);
		CHECK_EQ(put_as(s, "hello", text, STORE_PUBLISHED, &e), 0);
		CHECK_EQ(e.version, i);
	}
	CHECK_STR(get(s, "hello"), "v20");
	CHECK_STR(get(s, "hello@20"), "v20");
	CHECK_STR(get(s, "hello@5"), "v5");
	CHECK_STR(get(s, "hello@4"), "-ENOENT");
	CHECK_STR(get(s, "hello@21"), "-ENOENT");
	CHECK_EQ(log_lines(s, "hello"), 16);
	CHECK_EQ(store_idle(s), 0);
	CHECK_EQ(files_in(".versions"), 15);
	CHECK_EQ(log_lines(s, "hello"), 16);
	CHECK_STR(get(s, "hello@5"), "v5");
	CHECK_EQ(bad_files(s), 0);
	store_free(s);
}

/* Verify that a reader keeps the bytes it opened. */
static void test_a_reader_keeps_its_version(void)
{
	struct store *s = fresh();
	struct name_ref ref = { .name = "hello" };
	char buf[8] = "";
	int fd;

	CHECK_EQ(put(s, "hello", "old"), 0);
	CHECK_EQ(store_read(s, DIR_PROGRAMS, &ref, NULL, &fd), 0);
	CHECK_EQ(put(s, "hello", "new!"), 0);
	CHECK_EQ(rm(s, "hello"), 0);
	CHECK_EQ(fd_read_full(fd, buf, sizeof(buf)), 3);
	CHECK_STR(buf, "old");
	fd_close(fd);
	store_free(s);
}

/* Verify that a refused text is kept beside the live one. */
static void test_a_refused_text_is_not_lost(void)
{
	struct store *s = fresh();
	struct store_entry e;

	CHECK_EQ(put(s, "hello", "good"), 0);
	CHECK_EQ(put_as(s, "hello", "bad", STORE_REJECTED, &e), 0);
	CHECK_STR(e.reason, "why");
	CHECK_STR(get(s, "hello"), "good");
	CHECK_STR(get(s, "hello@rejected"), "bad");
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "hello", &e), 0);
	CHECK(e.rejected_id != 0);
	CHECK_EQ(put_as(s, "hello", "bad2", STORE_REJECTED, NULL), 0);
	CHECK_EQ(store_idle(s), 0);
	CHECK_STR(get(s, "hello@rejected"), "bad2");
	CHECK_EQ(files_in(".rejected"), 1);
	CHECK_EQ(put(s, "hello", "better"), 0);
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "hello", &e), 0);
	CHECK_EQ(e.rejected_id, 0);
	/* A name that only ever was refused does not exist. */
	CHECK_EQ(put_as(s, "never", "bad", STORE_REJECTED, NULL), 0);
	CHECK_STR(get(s, "never"), "-ENOENT");
	CHECK_STR(get(s, "never@rejected"), "bad");
	store_free(s);
}

/* Verify that a removed name keeps its past, and goes on counting. */
static void test_removal_keeps_the_past(void)
{
	struct store *s = fresh();
	struct store_entry e;

	CHECK_EQ(rm(s, "hello"), -ENOENT);
	CHECK_EQ(put(s, "hello", "one"), 0);
	CHECK_EQ(rm(s, "hello"), 0);
	CHECK_STR(get(s, "hello"), "-ENOENT");
	CHECK_STR(get(s, "hello@1"), "one");
	CHECK_EQ(put_as(s, "hello", "two", STORE_PUBLISHED, &e), 0);
	CHECK_EQ(e.version, 2);
	CHECK_EQ(store_purge(s, DIR_PROGRAMS, "hello"), 0);
	CHECK_STR(get(s, "hello"), "-ENOENT");
	CHECK_STR(get(s, "hello@1"), "-ENOENT");
	CHECK_EQ(log_lines(s, "hello"), -ENOENT);
	CHECK_EQ(files_in(".versions"), 0);
	store_free(s);
	s = open_plain();
	CHECK_STR(get(s, "hello"), "-ENOENT");
	store_free(s);
}

/* Verify that a rename is one step and leaves nothing of a temporary name. */
static void test_rename(void)
{
	struct store *s = fresh();
	struct store_writer w = { .pid = 1, .command = "mv" };
	struct store_entry e;

	CHECK_EQ(put(s, "hello", "one"), 0);
	CHECK_EQ(put(s, "sedXYZ", "two"), 0);
	CHECK_EQ(store_rename(s, DIR_PROGRAMS, "sedXYZ", "hello", true, &w,
			      NULL),
		 -EEXIST);
	CHECK_EQ(
		store_rename(s, DIR_PROGRAMS, "sedXYZ", "hello", false, &w, &e),
		0);
	CHECK_EQ(e.version, 2);
	CHECK_STR(get(s, "hello"), "two");
	CHECK_STR(get(s, "sedXYZ"), "-ENOENT");
	CHECK_EQ(store_idle(s), 0);
	CHECK_EQ(log_lines(s, "sedXYZ"), -ENOENT);
	CHECK_EQ(
		store_rename(s, DIR_PROGRAMS, "none", "hello", false, &w, NULL),
		-ENOENT);
	CHECK_EQ(
		store_rename(s, DIR_PROGRAMS, "hello", "../x", false, &w, NULL),
		-EINVAL);
	store_free(s);
}

/* Verify that a draft that goes on after its publication goes on in a copy,
 * and that its next one takes the version's place. */
static void test_a_draft_goes_on_in_a_copy(void)
{
	struct store *s = fresh();
	struct store_draft *d;
	struct store_text *t;
	struct store_change c = { .dir = DIR_PROGRAMS, .name = "hello" };
	uint64_t id;
	int fd;

	CHECK_EQ(store_draft_new(s, DIR_PROGRAMS, "hello", 0, &d), 0);
	id = store_draft_id(d);
	CHECK_EQ(store_draft_write(d, "one", 3, 0), 3);
	CHECK(store_draft_dirty(d));
	CHECK_EQ(store_draft_freeze(d, &t), 0);
	CHECK(!store_draft_dirty(d));
	c.text = t;
	CHECK_EQ(store_commit(s, &c, 1), 0);
	CHECK_EQ(c.result, 0);
	store_text_free(t);
	CHECK_EQ(store_draft_version(d), 1);

	struct name_ref ref = { .name = "hello" };
	CHECK_EQ(store_read(s, DIR_PROGRAMS, &ref, NULL, &fd), 0);
	CHECK_EQ(store_draft_write(d, "+two", 4, 3), 4);
	CHECK_STR(get(s, "hello"), "one");
	CHECK_EQ(store_draft_freeze(d, &t), 0);
	c.text = t;
	c.replaces = store_draft_version(d);
	CHECK_EQ(store_commit(s, &c, 1), 0);
	CHECK_EQ(c.result, 0);
	store_text_free(t);
	CHECK_STR(get(s, "hello"), "one+two");
	CHECK_EQ(c.ret_entry.version, 1);
	CHECK_EQ(log_lines(s, "hello"), 1);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 3);
	fd_close(fd);
	store_draft_free(d);
	CHECK_STR(get(s, "hello"), "one+two");
	CHECK_EQ(files_in(".drafts"), 0);
	CHECK_EQ(files_in(".versions"), 0);

	/* The draft's id still finds what was made from it. */
	CHECK_EQ(store_draft_reopen(s, id, &d), 0);
	CHECK_EQ(store_draft_version(d), 1);
	CHECK_EQ(store_draft_write(d, "!", 1, 7), 1);
	CHECK_STR(get(s, "hello"), "one+two");
	store_draft_free(d);
	CHECK_EQ(files_in(".drafts"), 0);
	store_free(s);
}

/* Verify that what is frozen is not changed by a write before its commit. */
static void test_a_frozen_text_does_not_change(void)
{
	struct store *s = fresh();
	struct store_change c = { .dir = DIR_PROGRAMS, .name = "hello" };
	struct store_draft *d;
	struct store_text *t;

	CHECK_EQ(store_draft_new(s, DIR_PROGRAMS, "hello", 0, &d), 0);
	CHECK_EQ(store_draft_write(d, "good", 4, 0), 4);
	CHECK_EQ(store_draft_freeze(d, &t), 0);
	CHECK_EQ(store_draft_write(d, "evil", 4, 0), 4);
	c.text = t;
	CHECK_EQ(store_commit(s, &c, 1), 0);
	store_text_free(t);
	CHECK_STR(get(s, "hello"), "good");
	CHECK_EQ(store_draft_version(d), 1);
	store_draft_free(d);
	CHECK_EQ(files_in(".drafts"), 0);
	store_free(s);
}

static int note_draft(uint64_t id, enum store_dir dir, const char *name,
		      void *user)
{
	(void)dir;
	(void)name;
	*(uint64_t *)user = id;
	return 0;
}

/* Verify that a draft is found again after its process is gone. */
static void test_a_draft_survives_its_process(void)
{
	struct store *s = fresh();
	struct store_draft *d;
	uint64_t id = 0, found = 0;
	char buf[8] = "";

	CHECK_EQ(store_draft_new(s, DIR_LIBRARIES, "cc.expect", 0, &d), 0);
	id = store_draft_id(d);
	CHECK_EQ(store_draft_write(d, "half", 4, 0), 4);
	CHECK_EQ(store_drafts(s, note_draft, &found), 0);
	CHECK_EQ(found, 0);
	store_draft_leave(d);
	store_free(s);

	s = open_plain();
	CHECK_EQ(store_drafts(s, note_draft, &found), 0);
	CHECK_EQ(found, id);
	CHECK_EQ(store_draft_reopen(s, id, &d), 0);
	CHECK_STR(store_draft_name(d), "cc.expect");
	CHECK_EQ(store_draft_dir(d), DIR_LIBRARIES);
	CHECK_EQ(pread(store_draft_fd(d), buf, 8, 0), 4);
	CHECK_STR(buf, "half");
	store_draft_free(d);
	CHECK_EQ(store_draft_reopen(s, id, &d), -ESTALE);
	CHECK_EQ(store_draft_reopen(s, 1ULL << 60, &d), -ESTALE);
	store_free(s);
}

/* Verify that hostile names reach no path. */
static void test_hostile_names(void)
{
	static const char *const bad[] = { "../x", "a/b", ".hidden", "",
					   "a\nb", "..",  "a@1",     "a#b" };
	struct store *s = fresh();
	struct store_draft *d;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_EQ(put(s, bad[i], "x"), -EINVAL);
		CHECK_EQ(rm(s, bad[i]), -EINVAL);
		CHECK_EQ(store_draft_new(s, DIR_PROGRAMS, bad[i], 0, &d),
			 -EINVAL);
		CHECK_EQ(store_lookup(s, DIR_PROGRAMS, bad[i], NULL), -EINVAL);
		CHECK_EQ(store_purge(s, DIR_PROGRAMS, bad[i]), -EINVAL);
	}
	CHECK_EQ(store_file_open(s, DIR_DATA, "../x", O_RDWR | O_CREAT, &fd),
		 -EINVAL);
	CHECK_EQ(store_file_open(s, DIR_PROGRAMS, "../x~", O_RDWR | O_CREAT,
				 &fd),
		 -EINVAL);
	CHECK_EQ(store_file_open(s, DIR_PROGRAMS, "hello", O_RDWR | O_CREAT,
				 &fd),
		 -EINVAL);
	store_free(s);
}

/* Verify that links lead to siblings only, and one step. */
static void test_symbolic_links(void)
{
	struct store *s = fresh();
	struct store_change c = { .dir = DIR_PROGRAMS,
				  .name = "cc",
				  .target = "craftos" };
	struct store_entry e;

	CHECK_EQ(store_commit(s, &c, 1), 0);
	CHECK_EQ(c.result, 0);
	CHECK_STR(get(s, "cc"), "-ENOENT");
	CHECK_EQ(put(s, "craftos", "env"), 0);
	CHECK_STR(get(s, "cc"), "env");
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "cc", &e), 0);
	CHECK_STR(e.target, "craftos");
	c.name = "loop";
	c.target = "cc";
	CHECK_EQ(store_commit(s, &c, 1), 0);
	CHECK_STR(get(s, "loop"), "-ELOOP");
	c.target = "/etc/passwd";
	CHECK_EQ(store_commit(s, &c, 1), 0);
	CHECK_EQ(c.result, -EPERM);
	CHECK_EQ(put(s, "cc", "text now"), 0);
	CHECK_STR(get(s, "cc"), "text now");
	CHECK_STR(get(s, "cc@1"), "env");
	CHECK_EQ(bad_files(s), 0);
	store_free(s);
}

/* Verify that a link that somebody puts into the backing leads nowhere. */
static void test_links_in_the_backing_are_not_followed(void)
{
	struct store *s = fresh();
	char path[128], secret[128];
	int fd;

	CHECK_EQ(put(s, "hello", "mine"), 0);
	snprintf(path, sizeof(path), "%s/programs/hello", root);
	snprintf(secret, sizeof(secret), "%s/secret", root);
	fd = open(secret, O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0 && write(fd, "secret", 6) == 6);
	fd_close(fd);
	CHECK(unlink(path) == 0 && symlink(secret, path) == 0);
	CHECK(strcmp(get(s, "hello"), "secret") != 0);
	CHECK(unlink(path) == 0 && mkfifo(path, 0600) == 0);
	CHECK(strcmp(get(s, "hello"), "secret") != 0);
	store_free(s);

	/* Nor is a directory behind one. */
	CHECK_EQ(shell("mv programs p && ln -s p programs"), 0);
	CHECK_EQ(store_open(root, NULL, &s), -ENOTDIR);
}

/* Verify that a file that is changed behind the store's back is noticed. */
static void test_verify_finds_a_changed_file(void)
{
	struct store *s = fresh();
	char path[128];
	int fd;

	CHECK_EQ(put(s, "hello", "one"), 0);
	CHECK_EQ(put(s, "hello", "two"), 0);
	CHECK_EQ(put(s, "other", "x"), 0);
	CHECK_EQ(bad_files(s), 0);
	snprintf(path, sizeof(path), "%s/programs/hello", root);
	fd = open(path, O_WRONLY);
	CHECK(fd >= 0 && pwrite(fd, "T", 1, 0) == 1);
	fd_close(fd);
	CHECK_EQ(bad_files(s), 1);
	store_free(s);
}

/* Verify that both limits refuse, and what was there stays. */
static void test_limits(void)
{
	struct store_options o = { .file_limit_bytes = 100,
				   .quota_bytes = 250 };
	struct store *s = fresh();
	struct store_draft *d;
	struct store_usage u;
	char text[128];

	store_free(s);
	s = open_with(o);
	memset(text, 'x', sizeof(text));
	text[101] = '\0';
	CHECK_EQ(put(s, "big", text), -EFBIG);
	text[100] = '\0';
	CHECK_EQ(put(s, "a", text), 0);
	CHECK_EQ(put(s, "b", text), 0);
	CHECK_EQ(put(s, "c", text), -ENOSPC);
	CHECK_EQ(store_usage(s, &u), 0);
	CHECK_EQ(u.used_bytes, 200);
	CHECK_EQ(u.free_bytes, 50);
	CHECK_EQ(store_draft_new(s, DIR_PROGRAMS, "d", 0, &d), 0);
	CHECK_EQ(store_draft_write(d, text, 50, 0), 50);
	CHECK_EQ(store_draft_write(d, text, 1, 50), -ENOSPC);
	CHECK_EQ(store_draft_write(d, text, 50, 60), -EFBIG);
	CHECK_EQ(store_draft_truncate(d, 101), -EFBIG);
	CHECK_EQ(store_draft_truncate(d, 51), -ENOSPC);
	store_draft_free(d);
	CHECK_EQ(store_usage(s, &u), 0);
	CHECK_EQ(u.used_bytes, 200);
	CHECK_EQ(files_in(".drafts"), 0);
	CHECK_STR(get(s, "c"), "-ENOENT");
	store_free(s);
}

/* Verify that the layer below shows through and comes back. */
static void test_two_layers(void)
{
	struct store *s = fresh();
	struct store_options o = { 0 };
	struct store_entry e;
	char below[80], path[128];
	int fd;

	store_free(s);
	snprintf(below, sizeof(below), "%s/below", root);
	snprintf(path, sizeof(path), "%s/programs", below);
	CHECK(mkdir(below, 0755) == 0 && mkdir(path, 0755) == 0);
	strcat(path, "/hello.lua");
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	CHECK(fd >= 0 && write(fd, "built in", 8) == 8);
	fd_close(fd);

	o.builtin_path = below;
	s = open_with(o);
	CHECK_STR(get(s, "hello"), "built in");
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "hello.lua", &e), 0);
	CHECK(e.builtin && e.version == 0);
	CHECK_EQ(rm(s, "hello.lua"), -EPERM);
	CHECK_EQ(put(s, "hello.lua", "mine"), 0);
	CHECK_STR(get(s, "hello"), "mine");
	CHECK_EQ(rm(s, "hello.lua"), 0);
	CHECK_STR(get(s, "hello.lua"), "built in");
	store_free(s);
}

struct names {
	char text[256];
};

static int add_name(const char *name, uint64_t id, bool builtin, bool symlink,
		    void *user)
{
	struct names *n = user;

	(void)builtin;
	(void)symlink;
	if (id == 0)
		return -EINVAL;
	strcat(n->text, name);
	strcat(n->text, " ");
	return 0;
}

/* Verify that a listing is sorted and complete. */
static void test_listing(void)
{
	struct store *s = fresh();
	struct names n = { "" };
	char name[16];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "n%03d", (i * 7) % 300);
		CHECK_EQ(put(s, name, name), 0);
	}
	for (int i = 3; i < 300; i++) {
		snprintf(name, sizeof(name), "n%03d", i);
		CHECK_EQ(rm(s, name), 0);
	}
	CHECK_EQ(store_names(s, DIR_PROGRAMS, add_name, &n), 0);
	CHECK_STR(n.text, "n000 n001 n002 ");
	store_free(s);
}

static int note_event(enum store_dir dir, const struct store_entry *e,
		      void *user)
{
	struct names *n = user;

	(void)dir;
	strcat(n->text, e->event == STORE_REMOVED    ? "-"
			: e->event == STORE_REJECTED ? "!"
						     : "+");
	strcat(n->text, e->name);
	return 0;
}

/* Verify that another process is told what happened. */
static void test_following(void)
{
	struct store *s = fresh(), *other = open_plain();
	struct names n = { "" };

	CHECK_EQ(put(s, "a", "1"), 0);
	CHECK_EQ(put_as(s, "a", "2", STORE_REJECTED, NULL), 0);
	CHECK_EQ(rm(s, "a"), 0);
	CHECK_EQ(store_follow(other, note_event, &n), 0);
	CHECK_STR(n.text, "+a!a-a");
	n.text[0] = '\0';
	CHECK_EQ(store_follow(other, note_event, &n), 0);
	CHECK_STR(n.text, "");
	store_free(other);
	store_free(s);
}

struct writer {
	struct store *s;
	int n, failed;
};

static void *write_many(void *arg)
{
	struct writer *w = arg;
	char name[16];

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "n%d", i % 4 ? w->n : 99);
		w->failed += put(w->s, name, name) < 0;
	}
	return NULL;
}

/* Verify that many threads and another process lose nothing. */
static void test_concurrent_writers(void)
{
	struct store *s = fresh();
	struct writer w[8];
	pthread_t thread[8];
	struct store_entry e;
	int status;
	pid_t pid;

	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct writer child = { .s = open_plain(), .n = 50 };

		write_many(&child);
		_exit(child.failed > 0);
	}
	for (int i = 0; i < 8; i++) {
		w[i] = (struct writer){ .s = s, .n = i };
		CHECK_EQ(pthread_create(&thread[i], NULL, write_many, &w[i]),
			 0);
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(thread[i], NULL);
		CHECK_EQ(w[i].failed, 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "n99", &e), 0);
	CHECK_EQ(e.version, 90);
	CHECK_STR(get(s, "n50"), "n50");
	CHECK_EQ(bad_files(s), 0);
	CHECK_EQ(files_in(".drafts"), 0);
	store_free(s);
}

/* Verify that the journal may run full. */
static void test_the_journal_runs_full(void)
{
	struct store *s = fresh();
	char *text = malloc(200001);

	CHECK(text);
	memset(text, 'y', 200000);
	text[200000] = '\0';
	for (int i = 0; i < 12; i++)
		CHECK_EQ(put(s, "big", text), 0);
	free(text);
	text = calloc(1, 400001);
	CHECK(text);
	memset(text, 'z', 400000);
	CHECK_EQ(put(s, "bigger", text), 0);
	CHECK_EQ(bad_files(s), 0);
	free(text);
	store_free(s);
	s = open_plain();
	CHECK_EQ(bad_files(s), 0);
	CHECK_EQ(log_lines(s, "big"), 12);
	store_free(s);
}

/* Verify that the index is rewritten when it is mostly dead, and that a
 * follower notices. */
static void test_compaction(void)
{
	struct store *s = fresh(), *other = open_plain();
	struct store_usage before, after;
	struct stat st, st2;
	char path[128];
	struct store_entry e;

	snprintf(path, sizeof(path), "%s/.index", root);
	store_free(s);
	s = open_with((struct store_options){ .flags = STORE_RELAXED });
	for (int i = 0; i < 3000; i++)
		CHECK_EQ(put(s, "hello", "x"), 0);
	CHECK_EQ(put(s, "other", "y"), 0);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(store_idle(s), 0);
	CHECK_EQ(store_usage(s, &before), 0);
	CHECK_EQ(stat(path, &st2), 0);
	CHECK(st2.st_size < st.st_size / 10);
	CHECK_EQ(log_lines(s, "hello"), 16);
	CHECK_EQ(log_lines(other, "hello"), 16);
	CHECK_EQ(store_usage(other, &after), 0);
	CHECK_EQ(before.used_bytes, 17);
	CHECK_EQ(after.used_bytes, 17);
	CHECK_EQ(put_as(other, "hello", "x", STORE_PUBLISHED, &e), 0);
	CHECK_EQ(e.version, 3001);
	CHECK_STR(get(s, "hello@3000"), "x");
	CHECK_EQ(bad_files(s), 0);
	store_free(other);
	store_free(s);
}

/* Verify that a torn tail, a cut, an emptied and a lost index cost at most
 * the past, never what a name shows. */
static void test_a_damaged_index(void)
{
	static const char *const how[] = {
		"printf garbage >> .index",
		"head -c 100000 /dev/urandom >> .index",
		"truncate -s -5 .index",
		"truncate -s 300 .index",
		"truncate -s 0 .index",
		"rm .index",
		"cp /bin/true .index",
	};

	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		struct store *s = fresh();

		CHECK_EQ(put(s, "a", "one"), 0);
		CHECK_EQ(put(s, "b", "two"), 0);
		CHECK_EQ(put(s, "a", "three"), 0);
		CHECK_EQ(store_idle(s), 0);
		CHECK_EQ(shell(how[i]), 0);
		store_free(s);
		s = open_plain();
		CHECK(s);
		CHECK_STR(get(s, "a"), "three");
		CHECK_STR(get(s, "b"), "two");
		CHECK_EQ(put(s, "c", "four"), 0);
		CHECK_STR(get(s, "c"), "four");
		CHECK_EQ(bad_files(s), 0);
		store_free(s);
	}
}

/* Verify that a process that has the store open notices the same. */
static void test_an_index_damaged_while_open(void)
{
	struct store *s = fresh();

	CHECK_EQ(put(s, "a", "one"), 0);
	CHECK_EQ(store_idle(s), 0);
	CHECK_EQ(shell("truncate -s 0 .index"), 0);
	CHECK_EQ(put(s, "b", "two"), 0);
	CHECK_STR(get(s, "a"), "one");
	CHECK_STR(get(s, "b"), "two");
	store_free(s);
}

/* Make the journal one of another boot. */
static bool change_boot(void)
{
	uint8_t head[36];
	char path[128];
	uint32_t crc;
	bool ok;
	int fd;

	snprintf(path, sizeof(path), "%s/.journal", root);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ok = pread(fd, head, sizeof(head), 0) == sizeof(head);
	head[16] ^= 0xff;
	crc = crc32c(0, head, 32);
	memcpy(head + 32, &crc, 4);
	ok = ok && pwrite(fd, head, sizeof(head), 0) == sizeof(head);
	fd_close(fd);
	return ok;
}

/* Verify that what a power cut takes comes back from the journal: the last
 * index records are thrown away, the plain files left as they are when only
 * some of the renames and none of the bytes reached the disk. */
static void test_the_journal_restores_plain_files(void)
{
	static const char *const loss[] = {
		"mv old .index; : > programs/a; : > programs/b",
		"mv old .index; rm -r programs .versions; cp -r was programs",
		": > programs/a; rm .versions/*",
		"mv old .index; mv programs/a .versions/x; cp was/a programs",
	};

	for (size_t i = 0; i < ARRAY_SIZE(loss); i++) {
		struct store *s = fresh();

		CHECK_EQ(put(s, "a", "old"), 0);
		CHECK_EQ(put(s, "gone", "x"), 0);
		CHECK_EQ(store_idle(s), 0);
		CHECK_EQ(shell("cp .index old && cp -r programs was"), 0);
		CHECK_EQ(put(s, "a", "new"), 0);
		CHECK_EQ(put(s, "a", "newer"), 0);
		CHECK_EQ(put(s, "b", "first"), 0);
		CHECK_EQ(rm(s, "gone"), 0);
		store_free(s);

		CHECK_EQ(shell(loss[i]), 0);
		CHECK(change_boot());
		s = open_plain();
		CHECK(s);
		CHECK_STR(get(s, "a"), "newer");
		CHECK_STR(get(s, "b"), "first");
		CHECK_STR(get(s, "gone"), "-ENOENT");
		CHECK_STR(get(s, "a@2"), "new");
		CHECK_EQ(files_in(".drafts"), 0);
		CHECK_EQ(put(s, "a", "newest"), 0);
		CHECK_STR(get(s, "a@3"), "newer");
		store_free(s);
	}
}

/* Verify that a torn last record of the journal is as if it never was. */
static void test_a_torn_journal(void)
{
	struct store *s = fresh();

	CHECK_EQ(put(s, "a", "old"), 0);
	CHECK_EQ(store_idle(s), 0);
	CHECK_EQ(shell("cp .index old && cp programs/a a"), 0);
	CHECK_EQ(put(s, "a", "new"), 0);
	store_free(s);
	/* The text is the last thing in the record. */
	CHECK_EQ(shell("mv old .index && mv a programs/a && "
		       "sed -i 's/hello/x/; s/new/n\\x00w/' .journal"),
		 0);
	CHECK(change_boot());
	s = open_plain();
	CHECK(s);
	CHECK_STR(get(s, "a"), "old");
	CHECK_EQ(put(s, "a", "next"), 0);
	store_free(s);
	CHECK(change_boot());
	s = open_plain();
	CHECK_STR(get(s, "a"), "next");
	store_free(s);
}

/* Verify that one supervisor has a store, and the next one when it is gone. */
static void test_one_supervisor(void)
{
	struct store *s = fresh(), *other = open_plain();
	pid_t holder = 0;

	CHECK_EQ(store_claim(s, NULL), 0);
	CHECK_EQ(store_claim(other, &holder), -EBUSY);
	CHECK_EQ(holder, getpid());
	store_free(s);
	CHECK_EQ(store_claim(other, NULL), 0);
	store_free(other);
}

/* Verify that a read-only store reads and says no to everything else. */
static void test_a_read_only_store(void)
{
	struct store *s = fresh();

	CHECK_EQ(put(s, "hello", "x"), 0);
	store_free(s);
	s = open_with((struct store_options){ .flags = STORE_READONLY });
	CHECK(s);
	CHECK_STR(get(s, "hello"), "x");
	CHECK_EQ(store_writable(s), -EROFS);
	CHECK_EQ(put(s, "hello", "y"), -EROFS);
	CHECK_EQ(rm(s, "hello"), -EROFS);
	CHECK_EQ(store_idle(s), -EROFS);
	CHECK_STR(get(s, "hello"), "x");
	store_free(s);
}

/* Verify that streams and scratch files are plain. */
static void test_plain_files(void)
{
	struct store *s = fresh();
	struct stat st;
	int fd;

	CHECK_EQ(store_file_open(s, DIR_DATA, "log", O_RDWR | O_CREAT, &fd), 0);
	CHECK_EQ(store_file_write(s, fd, "abc", 3, 0), 3);
	fd_close(fd);
	CHECK_EQ(store_file_open(s, DIR_DATA, "log", O_RDWR | O_CREAT | O_EXCL,
				 &fd),
		 -EEXIST);
	CHECK_EQ(store_file_stat(s, DIR_DATA, "log", &st), 0);
	CHECK_EQ(st.st_size, 3);
	CHECK_EQ(store_file_open(s, DIR_PROGRAMS, ".hello.swp",
				 O_RDWR | O_CREAT, &fd),
		 0);
	fd_close(fd);
	CHECK_EQ(store_file_rename(s, DIR_PROGRAMS, ".hello.swp", "hello~",
				   false),
		 0);
	CHECK_EQ(store_file_rename(s, DIR_PROGRAMS, "hello~", "hello", false),
		 -EINVAL);
	CHECK_EQ(store_file_stat(s, DIR_PROGRAMS, "hello~", &st), 0);
	CHECK_EQ(store_scratch_clear(s), 0);
	CHECK_EQ(store_file_stat(s, DIR_PROGRAMS, "hello~", &st), -ENOENT);
	CHECK_EQ(store_file_remove(s, DIR_DATA, "log"), 0);
	store_free(s);
}

/* Verify that a batch is taken in order, each element with its own result. */
static void test_a_batch(void)
{
	struct store *s = fresh();
	struct store_text *t[3];
	struct store_change c[4] = {
		{ .dir = DIR_PROGRAMS, .name = "a" },
		{ .dir = DIR_PROGRAMS, .name = "a" },
		{ .dir = DIR_PROGRAMS, .name = "none", .event = STORE_REMOVED },
		{ .dir = DIR_PROGRAMS, .name = "b" },
	};

	for (int i = 0; i < 3; i++)
		CHECK_EQ(store_text_from_bytes(s, DIR_PROGRAMS, "a", &"123"[i],
					       1, &t[i]),
			 0);
	c[0].text = t[0];
	c[1].text = t[1];
	c[3].text = t[2];
	CHECK_EQ(store_commit(s, c, 4), 0);
	CHECK_EQ(c[0].result, 0);
	CHECK_EQ(c[1].result, 0);
	CHECK_EQ(c[2].result, -ENOENT);
	CHECK_EQ(c[3].result, 0);
	CHECK_EQ(c[1].ret_entry.version, 2);
	CHECK_STR(get(s, "a"), "2");
	CHECK_STR(get(s, "a@1"), "1");
	CHECK_STR(get(s, "b"), "3");
	for (int i = 0; i < 3; i++)
		store_text_free(t[i]);
	CHECK_EQ(bad_files(s), 0);
	store_free(s);
}

/* Verify that ids find names, and gone ones are stale. */
static void test_ids(void)
{
	struct store *s = fresh();
	struct store_entry e, found;
	enum store_dir dir;
	int fd;

	CHECK_EQ(put_as(s, "hello", "one", STORE_PUBLISHED, &e), 0);
	CHECK_EQ(put(s, "hello", "two"), 0);
	CHECK_EQ(store_read_id(s, e.id, &dir, &found, &fd), 0);
	CHECK_STR(found.name, "hello");
	CHECK(!found.live && found.version == 1 && dir == DIR_PROGRAMS);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 3);
	fd_close(fd);
	CHECK_EQ(store_read_id(s, 123456, NULL, NULL, NULL), -ESTALE);
	CHECK_EQ(store_purge(s, DIR_PROGRAMS, "hello"), 0);
	CHECK_EQ(store_read_id(s, e.id, NULL, NULL, &fd), -ESTALE);
	store_free(s);
}

/* Verify that times are kept, and set. */
static void test_times(void)
{
	struct store *s = fresh();
	struct timespec t = { .tv_sec = 1000000000, .tv_nsec = 5 };
	struct store_entry e;

	CHECK_EQ(put(s, "hello", "x"), 0);
	CHECK_EQ(store_touch(s, DIR_PROGRAMS, "hello", &t), 0);
	CHECK_EQ(store_lookup(s, DIR_PROGRAMS, "hello", &e), 0);
	CHECK_EQ(e.mtime.tv_sec, 1000000000);
	CHECK_EQ(e.version, 1);
	CHECK_EQ(log_lines(s, "hello"), 1);
	CHECK_EQ(bad_files(s), 0);
	store_free(s);
}

int main(void)
{
	RUN(test_what_is_put_is_read);
	RUN(test_versions);
	RUN(test_a_reader_keeps_its_version);
	RUN(test_a_refused_text_is_not_lost);
	RUN(test_removal_keeps_the_past);
	RUN(test_rename);
	RUN(test_a_draft_goes_on_in_a_copy);
	RUN(test_a_frozen_text_does_not_change);
	RUN(test_a_draft_survives_its_process);
	RUN(test_hostile_names);
	RUN(test_symbolic_links);
	RUN(test_links_in_the_backing_are_not_followed);
	RUN(test_verify_finds_a_changed_file);
	RUN(test_limits);
	RUN(test_two_layers);
	RUN(test_listing);
	RUN(test_following);
	RUN(test_concurrent_writers);
	RUN(test_the_journal_runs_full);
	RUN(test_compaction);
	RUN(test_a_damaged_index);
	RUN(test_an_index_damaged_while_open);
	RUN(test_the_journal_restores_plain_files);
	RUN(test_a_torn_journal);
	RUN(test_one_supervisor);
	RUN(test_a_read_only_store);
	RUN(test_plain_files);
	RUN(test_a_batch);
	RUN(test_ids);
	RUN(test_times);
	remove_root();
	return tap_done();
}
