/*
 * Step 3, in the zygote: everything a process has by birth is given up.
 *
 * The table at the end is the order, and the order matters: a user namespace
 * first, because it gives an ordinary user the right to make the others;
 * no_new_privs before Landlock, which asks for it; capabilities late, since
 * the layers above use them; the death signal last, since a change of
 * credentials clears it.
 */

#include "runner/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "runner/limits.h"

/* --- namespaces -------------------------------------------------------------
 */

static int write_file(const char *path, const char *text)
{
	_cleanup_(fd_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fd_write_all(fd, text, strlen(text));
}

/* An ordinary user may map itself, once it gives up setgroups(). */
static int map_self(uid_t uid, gid_t gid)
{
	char map[64];
	int r;

	r = write_file("/proc/self/setgroups", "deny");
	if (r < 0)
		return r;
	snprintf(map, sizeof(map), "%u %u 1\n", uid, uid);
	r = write_file("/proc/self/uid_map", map);
	if (r < 0)
		return r;
	snprintf(map, sizeof(map), "%u %u 1\n", gid, gid);
	return write_file("/proc/self/gid_map", map);
}

/* Root's namespace is root's, so that thoxd may set limits from outside;
 * inside it there is the dedicated uid and nothing else. */
static int become_dedicated(struct layers *l)
{
	int r;

	if (setgroups(0, NULL) < 0 || unshare(CLONE_NEWUSER) < 0)
		return -errno;
	r = l->map(l->context);
	if (r < 0)
		return r;
	if (setresgid(l->uid, l->uid, l->uid) < 0 ||
	    setresuid(l->uid, l->uid, l->uid) < 0)
		return -errno;
	return 0;
}

static int layer_user(struct layers *l)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (uid == 0 && l->uid == 0)
		return -EPERM; /* runners are never root */
	if (l->uid != 0 && l->uid != uid)
		return become_dedicated(l);
	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	return map_self(uid, gid);
}

static int layer_network(struct layers *l)
{
	(void)l;
	return unshare(CLONE_NEWNET) < 0 ? -errno : 0;
}

static int layer_mount(struct layers *l)
{
	(void)l;
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	return 0;
}

static int layer_ipc(struct layers *l)
{
	(void)l;
	return unshare(CLONE_NEWIPC) < 0 ? -errno : 0;
}

static int layer_uts(struct layers *l)
{
	(void)l;
	if (unshare(CLONE_NEWUTS) < 0 || sethostname("thox", 4) < 0)
		return -errno;
	return 0;
}

/* --- an empty root ----------------------------------------------------------
 */

/* The new root is mounted over a directory that every system has. */
#define ROOT_AT	   "/proc"
#define ROOT_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static int layer_root(struct layers *l)
{
	(void)l;
	if (mount("thox", ROOT_AT, "tmpfs", ROOT_FLAGS,
		  "size=4k,nr_inodes=1,mode=0555") < 0 ||
	    chdir(ROOT_AT) < 0)
		return -errno;
	/* Both at one place: the old root comes to lie over the new one, and
	 * goes with everything below it. */
	if (syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	if (mount(NULL, "/", NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | ROOT_FLAGS, NULL) < 0)
		return -errno;
	return 0;
}

/* --- rights -----------------------------------------------------------------
 */

static int layer_limits(struct layers *l)
{
	static const struct {
		int resource;
		rlim_t value;
	} limits[] = {
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_NOFILE, LIMIT_DESCRIPTORS },
		{ RLIMIT_MEMLOCK, 0 },
		{ RLIMIT_MSGQUEUE, 0 },
		{ RLIMIT_STACK, LIMIT_C_STACK_BYTES },
		{ RLIMIT_NICE, 0 },
		{ RLIMIT_RTPRIO, 0 },
	};

	(void)l;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit limit;

		if (getrlimit(limits[i].resource, &limit) < 0)
			return -errno;
		if (limit.rlim_max > limits[i].value)
			limit.rlim_max = limits[i].value;
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(limits[i].resource, &limit) < 0)
			return -errno;
	}
	return 0;
}

#define ALL_SECUREBITS                                                         \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |       \
	 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |             \
	 SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static int layer_capabilities(struct layers *l)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[2] = { { 0 } };

	(void)l;
	if (prctl(PR_SET_SECUREBITS, ALL_SECUREBITS) < 0)
		return -errno;
	/* The kernel's last capability is where EINVAL comes. */
	for (int i = 0; i < 64; i++)
		if (prctl(PR_CAPBSET_DROP, i) < 0) {
			if (errno == EINVAL && i > CAP_SYS_RESOURCE)
				break;
			return -errno;
		}
	if (syscall(SYS_capset, &head, none) < 0)
		return -errno;
	return 0;
}

static int layer_no_new_privs(struct layers *l)
{
	(void)l;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* Landlock grew by versions; Debian's header may be older than the kernel, so
 * what is asked for is written out here. Bits that a version adds to the one
 * before it, for files, network and scopes. */
struct landlock_rights {
	uint64_t files;
	uint64_t network;
	uint64_t scopes;
};

static const struct landlock_rights landlock_versions[] = {
	[1] = { 0x1fff, 0, 0 },	 /* execute … make symbolic links */
	[2] = { 1 << 13, 0, 0 }, /* refer */
	[3] = { 1 << 14, 0, 0 }, /* truncate */
	[4] = { 0, 0x3, 0 },	 /* bind and connect TCP */
	[5] = { 1 << 15, 0, 0 }, /* ioctl on devices */
	[6] = { 0, 0, 0x3 },	 /* abstract sockets, signals */
};

#define LANDLOCK_ABI_LEAST   2	/* Linux 6.1 has it */
#define LANDLOCK_ASK_VERSION 1U /* LANDLOCK_CREATE_RULESET_VERSION */

static int layer_landlock(struct layers *l)
{
	_cleanup_(fd_closep) int fd = -1;
	struct landlock_rights all = { 0 };
	size_t size = sizeof(all.files);
	int abi;

	abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
			   LANDLOCK_ASK_VERSION);
	if (abi < 0)
		return -errno;
	if (abi < LANDLOCK_ABI_LEAST)
		return -EOPNOTSUPP;
	for (int i = 1; i <= abi && i < (int)ARRAY_SIZE(landlock_versions);
	     i++) {
		all.files |= landlock_versions[i].files;
		all.network |= landlock_versions[i].network;
		all.scopes |= landlock_versions[i].scopes;
	}
	if (abi >= 4)
		size += sizeof(all.network);
	if (abi >= 6)
		size += sizeof(all.scopes);
	fd = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
	if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return -errno;
	l->landlock_abi = abi;
	return 0;
}

/* Linux 6.3: memory that was not executable never becomes so. */
static int layer_mdwe(struct layers *l)
{
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
	l->mdwe = prctl(PR_SET_MDWE, 1, 0, 0, 0) == 0;
	return 0;
}

/* A keeper that died meanwhile has left this process to another parent. */
static int layer_death(struct layers *l)
{
	pid_t parent = getppid();

	(void)l;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

static const struct {
	const char *name;
	int (*apply)(struct layers *l);
} layers[] = {
	{ "user namespace", layer_user },
	{ "network namespace", layer_network },
	{ "mount namespace", layer_mount },
	{ "empty root", layer_root },
	{ "IPC namespace", layer_ipc },
	{ "UTS namespace", layer_uts },
	{ "resource limits", layer_limits },
	{ "capabilities", layer_capabilities },
	{ "no_new_privs", layer_no_new_privs },
	{ "Landlock", layer_landlock },
	{ "MDWE", layer_mdwe },
	{ "parent death signal", layer_death },
};

int layers_apply(struct layers *l, const char **ret_layer)
{
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		int r = layers[i].apply(l);

		if (r < 0) {
			*ret_layer = layers[i].name;
			return r;
		}
	}
	return 0;
}

const char *layers_name(const struct layers *l, size_t i)
{
	size_t n = 0;

	for (size_t k = 0; k < ARRAY_SIZE(layers); k++) {
		if (layers[k].apply == layer_mdwe && !l->mdwe)
			continue;
		if (n++ == i)
			return layers[k].name;
	}
	return NULL;
}
