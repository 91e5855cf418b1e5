/*
 * Step 0, in clients and daemons alike: where an instance lives.
 */

#include "base/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"

static int join(char path[PATH_MAX], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int join(char path[PATH_MAX], const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(path, PATH_MAX, format, ap);
	va_end(ap);
	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* An environment variable that holds an absolute path, or NULL. */
static const char *env_path(const char *name)
{
	const char *value = secure_getenv(name);

	return value && value[0] == '/' ? value : NULL;
}

static int locate_in(const char *dir, struct instance *in)
{
	int r = join(in->store, "%s/store", dir);

	r = r ? r : join(in->state, "%s/state", dir);
	r = r ? r : join(in->config, "%s", dir);
	return r ? r : join(in->mount, "%s/mnt", dir);
}

static int locate_system(struct instance *in)
{
	int r = join(in->store, "/var/lib/thox");

	r = r ? r : join(in->state, "/var/log/thox");
	r = r ? r : join(in->config, "%s", THOX_SYSCONFDIR);
	return r ? r : join(in->mount, "/thox");
}

static int xdg(char path[PATH_MAX], const char *variable, const char *home,
	       const char *below_home)
{
	const char *dir = env_path(variable);

	if (dir)
		return join(path, "%s/thox", dir);
	return join(path, "%s/%s/thox", home, below_home);
}

static int locate_user_run(char path[PATH_MAX])
{
	const char *dir = env_path("XDG_RUNTIME_DIR");
	char user_dir[64];
	struct stat st;

	if (dir)
		return join(path, "%s/thox", dir);
	snprintf(user_dir, sizeof(user_dir), "/run/user/%u",
		 (unsigned)geteuid());
	if (stat(user_dir, &st) == 0 && st.st_uid == geteuid())
		return join(path, "%s/thox", user_dir);
	dir = env_path("TMPDIR");
	return join(path, "%s/thox-%u", dir ? dir : "/tmp",
		    (unsigned)geteuid());
}

static int locate_user(struct instance *in)
{
	const char *home = env_path("HOME"); /* it is there: see below */
	int r = xdg(in->store, "XDG_DATA_HOME", home, ".local/share");

	r = r ? r : xdg(in->state, "XDG_STATE_HOME", home, ".local/state");
	r = r ? r : xdg(in->config, "XDG_CONFIG_HOME", home, ".config");
	return r ? r : join(in->mount, "%s/thox", home);
}

int instance_locate_run(enum instance_mode mode, struct instance *ret_instance)
{
	const char *dir = env_path("THOX_DIR");

	ret_instance->mode = mode;
	if (dir)
		return join(ret_instance->run, "%s/run", dir);
	if (mode == INSTANCE_SYSTEM)
		return join(ret_instance->run, "/run/thox");
	if (!env_path("HOME"))
		return -ENOENT;
	return locate_user_run(ret_instance->run);
}

int instance_locate(enum instance_mode mode, struct instance *ret_instance)
{
	const char *dir = env_path("THOX_DIR");
	int r = instance_locate_run(mode, ret_instance);

	if (r < 0)
		return r;
	if (dir)
		return locate_in(dir, ret_instance);
	if (mode == INSTANCE_SYSTEM)
		return locate_system(ret_instance);
	return locate_user(ret_instance);
}

static int make_parents(const char *path)
{
	char parent[PATH_MAX];

	for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		size_t size = (size_t)(p - path);

		if (size >= sizeof(parent))
			return -ENAMETOOLONG;
		memcpy(parent, path, size);
		parent[size] = '\0';
		if (mkdir(parent, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

int instance_make_dir(const char *path, mode_t refused)
{
	struct stat st;
	int r = make_parents(path);

	if (r < 0)
		return r;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (st.st_uid != geteuid() || (st.st_mode & refused))
		return -EPERM;
	return 0;
}

int instance_make_dirs(const struct instance *in)
{
	int r = instance_make_dir(in->run, 0022);

	r = r ? r : instance_make_dir(in->store, 0022);
	r = r ? r : instance_make_dir(in->state, 0022);
	return r ? r : instance_make_dir(in->config, 0022);
}

int instance_socket_path(const char *dir, const char *name, char *ret_path,
			 int *ret_dirfd)
{
	int n, fd;

	*ret_dirfd = -1;
	n = snprintf(ret_path, INSTANCE_SOCKET_BYTES, "%s/%s", dir, name);
	if (n > 0 && n < INSTANCE_SOCKET_BYTES)
		return 0;

	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = snprintf(ret_path, INSTANCE_SOCKET_BYTES, "/proc/self/fd/%d/%s", fd,
		     name);
	if (n < 0 || n >= INSTANCE_SOCKET_BYTES) {
		fd_close(fd);
		return -ENAMETOOLONG;
	}
	*ret_dirfd = fd;
	return 0;
}

const char *instance_libexec_dir(void)
{
	const char *dir = env_path("THOX_LIBEXEC_DIR");

	return dir ? dir : THOX_LIBEXECDIR;
}

const char *instance_data_dir(void)
{
	const char *dir = env_path("THOX_DATA_DIR");

	return dir ? dir : THOX_DATADIR;
}
