/* Crashes, damage, company: the store stays what it was. */

#include "fs/test_store.h"

#include <pthread.h>
#include <sys/wait.h>

#include "fs/index.h"

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

int main(void)
{
	RUN(test_links_in_the_backing_are_not_followed);
	RUN(test_verify_finds_a_changed_file);
	RUN(test_concurrent_writers);
	RUN(test_the_journal_runs_full);
	RUN(test_compaction);
	RUN(test_a_damaged_index);
	RUN(test_an_index_damaged_while_open);
	RUN(test_the_journal_restores_plain_files);
	RUN(test_a_torn_journal);
	RUN(test_one_supervisor);
	RUN(test_a_read_only_store);
	remove_root();
	return tap_done();
}
