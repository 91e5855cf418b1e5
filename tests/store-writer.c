/* A writer of the store to be killed, and a reader that looks afterwards. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/store.h"

/*
 *	store-writer ROOT [open] COMMAND...
 *
 *	put NAME FILE     publish; prints `NAME VERSION`
 *	reject NAME FILE  keep as refused
 *	rm NAME           remove
 *	mv FROM TO        rename
 *	idle              housekeeping
 *	hold              wait for the end of standard input
 *	state             `NAME VERSION SHA256` of every program, and
 *	                  `damaged N` of store_verify(); exits 1 when N > 0
 *
 * A command that fails prints `COMMAND: ERRNO` and makes the exit code 1.
 * `readonly` and `relaxed` before the first command change the open.
 */

static int put(struct store *s, enum store_event event, const char *name,
	       const char *path)
{
	struct store_change c = { .event = event,
				  .dir = DIR_PROGRAMS,
				  .name = name,
				  .reason = "refused" };
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	store_writer_self(&c.writer);
	r = store_text_from_fd(s, DIR_PROGRAMS, name, fd, &c.text);
	fd_close(fd);
	if (r < 0)
		return r;
	r = store_commit(s, &c, 1);
	store_text_free(c.text);
	r = r < 0 ? r : c.result;
	if (r == 0)
		printf("%s %llu\n", name,
		       (unsigned long long)c.ret_entry.version);
	return r;
}

static int rm(struct store *s, const char *name)
{
	struct store_change c = { .event = STORE_REMOVED,
				  .dir = DIR_PROGRAMS,
				  .name = name };
	int r;

	store_writer_self(&c.writer);
	r = store_commit(s, &c, 1);
	return r < 0 ? r : c.result;
}

static int mv(struct store *s, const char *from, const char *to)
{
	struct store_writer w;

	store_writer_self(&w);
	return store_rename(s, DIR_PROGRAMS, from, to, false, &w, NULL);
}

/* Read as a reader does, not as the index remembers. */
static int show(const char *name, const struct store_entry *e, void *user)
{
	struct name_ref ref = { .kind = REF_LIVE };
	struct store *s = user;
	struct store_entry read;
	int fd, r;

	(void)e;
	snprintf(ref.name, sizeof(ref.name), "%s", name);
	r = store_read(s, DIR_PROGRAMS, &ref, &read, &fd);
	if (r < 0) {
		printf("%s unreadable: %s\n", name, strerrorname_np(-r));
		return 0;
	}
	fd_close(fd);
	printf("%s %llu %s\n", name, (unsigned long long)read.version,
	       read.sha256);
	return 0;
}

static int judge(enum store_dir dir, const char *name,
		 const struct store_entry *e, int result, void *user)
{
	int *damaged = user;

	(void)dir;
	if (result < 0) {
		printf("damaged %s@%llu: %s\n", name,
		       (unsigned long long)e->version,
		       strerrorname_np(-result));
		++*damaged;
	}
	return 0;
}

static int state(struct store *s)
{
	int damaged = 0, r;

	r = store_list(s, DIR_PROGRAMS, show, s);
	if (r == 0)
		r = store_verify(s, judge, &damaged);
	printf("damaged %d\n", damaged);
	return r < 0 ? r : damaged ? -EBADMSG : 0;
}

static int hold(void)
{
	char byte;

	puts("holding");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

/* The command at @argv; how many arguments it took in @ret_taken. */
static int run(struct store *s, char **argv, int argc, int *ret_taken)
{
	const char *command = argv[0];

	*ret_taken = 3;
	if (strcmp(command, "put") == 0 && argc > 2)
		return put(s, STORE_PUBLISHED, argv[1], argv[2]);
	if (strcmp(command, "reject") == 0 && argc > 2)
		return put(s, STORE_REJECTED, argv[1], argv[2]);
	if (strcmp(command, "mv") == 0 && argc > 2)
		return mv(s, argv[1], argv[2]);
	*ret_taken = 2;
	if (strcmp(command, "rm") == 0 && argc > 1)
		return rm(s, argv[1]);
	*ret_taken = 1;
	if (strcmp(command, "idle") == 0)
		return store_idle(s);
	if (strcmp(command, "hold") == 0)
		return hold();
	if (strcmp(command, "state") == 0)
		return state(s);
	fprintf(stderr, "store-writer: what is `%s`?\n", command);
	exit(2);
}

int main(int argc, char **argv)
{
	struct store_options o = { .flags = STORE_CREATE };
	struct store *s;
	int failed = 0, taken, r;

	if (argc < 3)
		return 2;
	for (; argc > 2; argc--, argv++) {
		if (strcmp(argv[2], "readonly") == 0)
			o.flags = STORE_READONLY;
		else if (strcmp(argv[2], "relaxed") == 0)
			o.flags |= STORE_RELAXED;
		else
			break;
		argv[2] = argv[1];
	}
	r = store_open(argv[1], &o, &s);
	if (r < 0) {
		printf("open: %s\n", strerrorname_np(-r));
		return 1;
	}
	for (int i = 2; i < argc; i += taken) {
		r = run(s, argv + i, argc - i, &taken);
		if (r < 0) {
			printf("%s: %s\n", argv[i], strerrorname_np(-r));
			failed = 1;
		}
	}
	store_free(s);
	return failed;
}
