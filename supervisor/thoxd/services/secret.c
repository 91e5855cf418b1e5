/*
 * Step 4, for services: secrets that a definition grants.
 *
 * They are read when a process is started, and go to it alone. A file that
 * others may read is no secret: then the service does not start, and says so.
 * The bytes are wiped where they were.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "thoxd/server.h"
#include "thoxd/services/service.h"

#define SECRET_BYTES  65536U  /* each */
#define SECRETS_BYTES 262144U /* all of a service's */

struct secret {
	char bytes[SECRET_BYTES + 1];
	size_t size;
};

static int complain(char ret[SERVICE_SECRET_WHY_BYTES], const char *file,
		    const char *what)
{
	snprintf(ret, SERVICE_SECRET_WHY_BYTES, "secrets/%.150s: %s", file,
		 what);
	return -EACCES;
}

/* Below the directory, whatever links say; and a FIFO is not waited for. */
static int open_secret(int dir_fd, const char *file)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir_fd, file, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static const char *fault_of(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "it is no file";
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return "it belongs to somebody else";
	if (st->st_mode & 077)
		return "others may read or write it; its mode must be 0600";
	if (st->st_size > SECRET_BYTES)
		return "it is larger than 64 KiB";
	return NULL;
}

static int read_all(int fd, struct secret *s)
{
	ssize_t n;

	s->size = 0;
	while ((n = read(fd, s->bytes + s->size, sizeof(s->bytes) - s->size)) >
	       0)
		s->size += (size_t)n;
	if (n < 0)
		return -errno;
	return s->size > SECRET_BYTES ? -EFBIG : 0;
}

static int read_secret(int dir_fd, const char *file, struct secret *s,
		       char ret_why[SERVICE_SECRET_WHY_BYTES])
{
	_cleanup_(fd_closep) int fd = open_secret(dir_fd, file);
	const char *fault;
	struct stat st;
	int r;

	if (fd < 0)
		return complain(ret_why, file, strerror(-fd));
	if (fstat(fd, &st) < 0)
		return complain(ret_why, file, strerror(errno));
	fault = fault_of(&st);
	if (fault)
		return complain(ret_why, file, fault);
	r = read_all(fd, s);
	return r < 0 ? complain(ret_why, file, strerror(-r)) : 0;
}

static int open_dir(const struct server *s)
{
	char path[PATH_MAX + 16];
	int fd;

	snprintf(path, sizeof(path), "%s/secrets", s->instance->config);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int service_secrets_write(const struct server *server,
			  const struct definition *d, struct mp_writer *w,
			  char ret_why[SERVICE_SECRET_WHY_BYTES])
{
	_cleanup_(fd_closep) int dir_fd = -1;
	static struct secret s; /* nothing runs beside this */
	size_t total = 0;
	int r = 0;

	mp_write_map(w, d->secrets.n);
	if (d->secrets.n == 0)
		return 0;
	dir_fd = open_dir(server);
	if (dir_fd < 0)
		return complain(ret_why, "", strerror(-dir_fd));
	for (uint32_t i = 0; r == 0 && i < d->secrets.n; i++) {
		const char *item = d->secrets.items[i];
		size_t n = strcspn(item, "=");

		r = read_secret(dir_fd, item + n + 1, &s, ret_why);
		total += s.size;
		if (r == 0 && total > SECRETS_BYTES)
			r = complain(ret_why, item + n + 1,
				     "all secrets together are larger than "
				     "256 KiB");
		if (r < 0)
			break;
		mp_write_strn(w, item, n);
		mp_write_strn(w, s.bytes, s.size);
	}
	explicit_bzero(&s, sizeof(s));
	return r;
}
