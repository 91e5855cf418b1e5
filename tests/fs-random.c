/*
 * Random operations on a mounted directory, held against a model in memory.
 *
 * Usage: fs-random DIRECTORY SEED STEPS [PID-FILE]
 * Every step does one thing as one program would: write a name anew, append,
 * write into the middle, truncate, rename, remove, read, list; some with
 * several opens at once. What is read must be what the model holds: the last
 * text whose close succeeded. Ends with 0, or says which step differed.
 * With PID-FILE (24-random.bats), a line there names a process to kill at a
 * random step.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES	   8
#define OPENS	   4
#define SIZE_BYTES 20000U
#define NOTES	   40

struct text {
	bool exists;
	size_t size;
	char bytes[SIZE_BYTES];
};

/* A file that is open for writing: what its own view must be. */
struct writer {
	int fd; /* -1: free */
	int name;
	bool changed;
	struct text view;
};

/* A file that is open for reading: it keeps what it was. */
struct reader {
	int fd; /* -1: free */
	struct text view;
};

static struct text names[NAMES];
static struct writer writers[OPENS];
static struct reader readers[OPENS];
static unsigned long step;
static uint64_t state;
static char notes[NOTES][80];
static unsigned noted;

static unsigned pick(unsigned n)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(state >> 33) % n;
}

/* What was done last, told when something differs. */
__attribute__((format(printf, 1, 2))) static void note(const char *text, ...)
{
	int n = snprintf(notes[noted % NOTES], sizeof(notes[0]),
			 "step %lu: ", step);
	va_list args;

	va_start(args, text);
	vsnprintf(notes[noted++ % NOTES] + n, sizeof(notes[0]) - (size_t)n,
		  text, args);
	va_end(args);
}

static void fail(const char *what, int name)
{
	int error = errno;

	for (unsigned i = noted > NOTES ? noted - NOTES : 0; i < noted; i++)
		fprintf(stderr, "%s\n", notes[i % NOTES]);
	errno = error;
	fprintf(stderr, "step %lu: %s, n%d: %s\n", step, what, name,
		strerror(errno));
	exit(1);
}

static const char *name_of(int name)
{
	static char text[2][8];
	static int at;

	at = !at;
	snprintf(text[at], sizeof(text[at]), "n%d", name);
	return text[at];
}

static void check_fd(int fd, const struct text *want, int name)
{
	static char got[SIZE_BYTES + 1];
	ssize_t n = pread(fd, got, sizeof(got), 0);
	struct stat st;

	if (n < 0 || fstat(fd, &st) < 0)
		fail("read", name);
	errno = 0;
	if ((size_t)n != want->size || (size_t)st.st_size != want->size) {
		fprintf(stderr, "read %zd bytes, stat says %lld, want %zu\n", n,
			(long long)st.st_size, want->size);
		fail("wrong size", name);
	}
	if (memcmp(got, want->bytes, want->size) != 0)
		fail("wrong bytes", name);
}

static bool is_being_made(int name)
{
	for (int i = 0; i < OPENS; i++)
		if (writers[i].fd >= 0 && writers[i].name == name)
			return true;
	return false;
}

/* A process sees the new name that it is making itself, and how much of it is
 * nobody else's business. */
static bool is_unsure(int name)
{
	return !names[name].exists && is_being_made(name);
}

static void check_name(int name)
{
	int fd;

	if (is_unsure(name))
		return;
	note("check n%d", name);
	fd = open(name_of(name), O_RDONLY);
	if (fd < 0 && errno == ENOENT && !names[name].exists)
		return;
	if (fd < 0 || !names[name].exists)
		fail(fd < 0 ? "missing" : "there", name);
	check_fd(fd, &names[name], name);
	close(fd);
}

static void fill(char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)('a' + pick(26));
}

static void do_write(struct writer *w)
{
	char bytes[5000];
	size_t n = 1 + pick(sizeof(bytes)),
	       at = pick(SIZE_BYTES - sizeof(bytes));
	struct text *v = &w->view;

	fill(bytes, n);
	note("write %zu at %zu to n%d by %d", n, at, w->name, w->fd);
	if (pwrite(w->fd, bytes, n, (off_t)at) != (ssize_t)n)
		fail("write", w->name);
	if (at > v->size)
		memset(v->bytes + v->size, 0, at - v->size);
	memcpy(v->bytes + at, bytes, n);
	if (at + n > v->size)
		v->size = at + n;
	w->changed = true;
}

static void do_truncate(struct writer *w)
{
	size_t size = pick(SIZE_BYTES);
	struct text *v = &w->view;

	note("truncate n%d to %zu by %d", w->name, size, w->fd);
	if (ftruncate(w->fd, (off_t)size) < 0)
		fail("ftruncate", w->name);
	if (size > v->size)
		memset(v->bytes + v->size, 0, size - v->size);
	v->size = size;
	w->changed = true;
}

static void do_open(struct writer *w)
{
	static const int flags[] = { 0, O_TRUNC, O_CREAT, O_CREAT | O_TRUNC,
				     O_CREAT | O_EXCL };
	int flag = flags[pick(5)], name = (int)pick(NAMES);
	struct text *n = &names[name];

	/* Two that make one name at once see each other: a model of its own. */
	if (is_unsure(name))
		return;
	w->fd = open(name_of(name), O_RDWR | flag, 0644);
	if (w->fd < 0) {
		if ((errno == ENOENT && !n->exists && !(flag & O_CREAT)) ||
		    (errno == EEXIST && n->exists && flag & O_EXCL))
			return;
		fail("open", name);
	}
	note("open n%d to write, flags %d: %d", name, flag, w->fd);
	w->name = name;
	w->view = *n;
	w->changed = false;
	if (!n->exists || flag & O_TRUNC) {
		w->view.size = 0;
		w->changed = true;
	}
	w->view.exists = true;
}

static void do_close(struct writer *w)
{
	note("close n%d, %s by %d, %zu bytes", w->name,
	     w->changed ? "changed" : "not changed", w->fd, w->view.size);
	if (close(w->fd) < 0)
		fail("close", w->name);
	w->fd = -1;
	if (w->changed)
		names[w->name] = w->view;
}

static void use_writer(struct writer *w)
{
	if (w->fd < 0) {
		do_open(w);
		return;
	}
	switch (pick(5)) {
	case 0:
	case 1:
		do_write(w);
		break;
	case 2:
		do_truncate(w);
		break;
	case 3:
		note("check n%d by %d", w->name, w->fd);
		check_fd(w->fd, &w->view, w->name);
		break;
	default:
		do_close(w);
	}
}

static void use_reader(struct reader *r)
{
	int name = (int)pick(NAMES);

	if (r->fd >= 0) {
		note("check what %d reads", r->fd);
		check_fd(r->fd, &r->view, -1);
		if (pick(3))
			return;
		close(r->fd);
		r->fd = -1;
		return;
	}
	if (is_unsure(name))
		return;
	r->fd = open(name_of(name), O_RDONLY);
	if ((r->fd >= 0) != names[name].exists)
		fail("open to read", name);
	r->view = names[name];
	note("open n%d to read: %d", name, r->fd);
}

static void do_rename(void)
{
	int from = (int)pick(NAMES), to = (int)pick(NAMES);

	if (from == to || is_being_made(from) || is_being_made(to))
		return;
	note("rename n%d to n%d", from, to);
	if (rename(name_of(from), name_of(to)) < 0) {
		if (errno != ENOENT || names[from].exists)
			fail("rename", from);
		return;
	}
	if (!names[from].exists)
		fail("renamed what is not there", from);
	names[to] = names[from];
	names[from].exists = false;
}

static void do_replace(void)
{
	static struct text t;
	int name = (int)pick(NAMES), fd;

	if (is_unsure(name))
		return;
	t.exists = true;
	t.size = pick(SIZE_BYTES);
	fill(t.bytes, t.size);
	note("replace n%d by %zu bytes", name, t.size);
	fd = open(".new", O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || write(fd, t.bytes, t.size) != (ssize_t)t.size ||
	    close(fd) < 0 || rename(".new", name_of(name)) < 0)
		fail("replace", name);
	names[name] = t;
}

static void do_unlink(void)
{
	int name = (int)pick(NAMES);

	if (is_being_made(name))
		return;
	note("unlink n%d", name);
	if ((unlink(name_of(name)) == 0) != names[name].exists)
		fail("unlink", name);
	names[name].exists = false;
}

static void do_list(void)
{
	DIR *d = opendir(".");
	const struct dirent *e;
	int seen = 0, want = 0;

	if (!d)
		fail("opendir", -1);
	while ((e = readdir(d)))
		seen += e->d_name[0] == 'n';
	closedir(d);
	for (int i = 0; i < NAMES; i++)
		want += names[i].exists;
	if (seen != want) {
		fprintf(stderr, "step %lu: %d names listed instead of %d\n",
			step, seen, want);
		exit(1);
	}
}

static void kill_one(const char *path)
{
	FILE *f = fopen(path, "r");
	int pid;

	if (!f)
		return;
	if (fscanf(f, "%d", &pid) == 1 && pid > 1) {
		note("kill %d", pid);
		kill(pid, SIGKILL);
	}
	fclose(f);
	unlink(path);
}

static void do_step(const char *pid_file)
{
	switch (pick(12)) {
	case 0:
		do_rename();
		break;
	case 1:
		do_unlink();
		break;
	case 2:
		do_replace();
		break;
	case 3:
		do_list();
		break;
	case 4:
	case 5:
		use_reader(&readers[pick(OPENS)]);
		break;
	case 6:
		check_name((int)pick(NAMES));
		break;
	default:
		use_writer(&writers[pick(OPENS)]);
	}
	if (pid_file && pick(40) == 0)
		kill_one(pid_file);
}

int main(int argc, char *argv[])
{
	unsigned long steps;

	if (argc < 4 || chdir(argv[1]) < 0)
		return 2;
	state = strtoull(argv[2], NULL, 10);
	steps = strtoul(argv[3], NULL, 10);
	for (int i = 0; i < OPENS; i++)
		writers[i].fd = readers[i].fd = -1;
	for (step = 1; step <= steps; step++)
		do_step(argc > 4 ? argv[4] : NULL);
	for (int i = 0; i < OPENS; i++)
		if (writers[i].fd >= 0)
			do_close(&writers[i]);
	for (int i = 0; i < NAMES; i++)
		check_name(i);
	return 0;
}
