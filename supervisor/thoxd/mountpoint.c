/*
 * Step 2, once: the place where the store will show.
 *
 * /proc/self/mountinfo tells what is mounted where without touching it: a
 * mount whose thoxfs is gone would block whoever asks it anything.
 */

#include "thoxd/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/instance.h"
#include "base/util.h"

/* The kernel writes space, tab, line feed and backslash as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] &&
		    s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 |
				       (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* "36 35 98:0 /root POINT options [optional…] - TYPE SOURCE options" */
static bool parse_line(char *line, char **ret_point, char **ret_type,
		       char **ret_source)
{
	char *rest = strstr(line, " - ");
	char *save, *field = NULL;

	if (!rest)
		return false;
	*rest = '\0';
	field = strtok_r(line, " ", &save);
	for (int i = 0; field && i < 4; i++)
		field = strtok_r(NULL, " ", &save);
	*ret_point = field;
	*ret_type = strtok_r(rest + 3, " ", &save);
	*ret_source = strtok_r(NULL, " ", &save);
	if (!*ret_point || !*ret_type || !*ret_source)
		return false;
	unescape(*ret_point);
	unescape(*ret_source);
	return true;
}

enum mountpoint mountpoint_look(const char *path, const char *source)
{
	enum mountpoint found = MOUNTPOINT_FREE;
	char *line = NULL, *point, *type, *from;
	size_t size = 0;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	/* of several on one point the last is on top */
	while (f && getline(&line, &size, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!parse_line(line, &point, &type, &from) ||
		    strcmp(point, path) != 0)
			continue;
		found = strcmp(type, MOUNT_TYPE) == 0 &&
					strcmp(from, source) == 0
				? MOUNTPOINT_OURS
				: MOUNTPOINT_OTHER;
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

void mountpoint_source(const char *store, char *ret, size_t size)
{
	snprintf(ret, size, "thox:%s", store);
}

static int is_empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int r = 0;

	if (!d)
		return -errno;
	while (r == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = -ENOTEMPTY;
	closedir(d);
	return r;
}

int mountpoint_prepare(const char *path)
{
	int r = instance_make_dir(path, 0);

	return r < 0 ? r : is_empty(path);
}

int mountpoint_mount(const char *path, const char *source, bool allow_other,
		     int *ret_fd)
{
	_cleanup_(fd_closep) int fd = -1;
	char options[128];

	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%u,group_id=%u%s", fd,
		 (unsigned)geteuid(), (unsigned)getegid(),
		 allow_other ? ",allow_other" : "");
	if (mount(source, path, MOUNT_TYPE, MS_NOSUID | MS_NODEV, options) < 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

int mountpoint_unmount(const char *path)
{
	return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

int mountpoint_options(const char *source, bool allow_other, char *ret,
		       size_t size)
{
	size_t n = 0;
	int m;

	m = snprintf(ret, size, "rw,nosuid,nodev,subtype=thoxfs%s,fsname=",
		     allow_other ? ",allow_other" : "");
	n = (size_t)m;
	for (const char *p = source; *p && n + 2 < size; p++) {
		if (*p == ',' || *p == '\\')
			ret[n++] = '\\';
		ret[n++] = *p;
	}
	if (n + 2 >= size)
		return -ENAMETOOLONG;
	ret[n] = '\0';
	return 0;
}
