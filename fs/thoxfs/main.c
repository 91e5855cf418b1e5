/* Step 0: options, descriptors, confinement, and then the loop. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/instance.h"
#include "base/log.h"
#include "base/util.h"
#include "confine.h"
#include "mount.h"
#include "rpc/link.h"
#include "rpc/mp.h"
#include "session.h"
#include "thoxfs.h"
#include "writer.h"

#define RECORD_NAME ".session"

struct options {
	const char *store_path;
	const char *builtin_path;
	const char *verifier_path;
	const char *record_path;
	const char *mount_point; /* NULL: on fuse_fd */
	int fuse_fd;
	int link_fd;
	bool relaxed;
	bool noverify;
	bool readonly;
	bool allow_other;
	bool debug;
	unsigned keep;
	uint64_t limit_bytes;
	uint64_t quota_bytes;
};

static struct fuse_session *volatile session_to_stop;

static void on_signal(int number)
{
	(void)number;
	if (session_to_stop)
		fuse_session_exit(session_to_stop);
}

static int open_store(struct thoxfs *fs, const struct options *o)
{
	const struct store_options so = {
		.flags = STORE_CREATE | STORE_OWN_IS_OLD |
			 (o->relaxed ? STORE_RELAXED : 0) |
			 (o->readonly ? STORE_READONLY : 0),
		.keep = o->keep,
		.file_limit_bytes = o->limit_bytes,
		.quota_bytes = o->quota_bytes,
		.builtin_path = o->builtin_path,
	};
	struct stat st;
	int r;

	r = store_open(o->store_path, &so, &fs->store);
	if (r < 0)
		return r;
	fs->root_fd = open(o->store_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fs->root_fd < 0 || fstat(fs->root_fd, &st) < 0)
		return -errno;
	fs->owner = st.st_uid;
	fs->group = st.st_gid;
	return 0;
}

/*
 * The record of INIT is also what says that the store has a thoxfs: two would
 * take each other's drafts for left-overs. A store that cannot be written has
 * no drafts, and its mount no successor.
 */
static int open_record(struct thoxfs *fs, const struct options *o, int *ret_fd)
{
	const char *path = o->record_path ? o->record_path : RECORD_NAME;
	int fd;

	fd = openat(fs->root_fd, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		*ret_fd = -1;
		return errno == EROFS || errno == EACCES ? 0 : -errno;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		fd_close(fd);
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	}
	*ret_fd = fd;
	return 0;
}

static int start_verifier(struct thoxfs *fs, const struct options *o)
{
	char path[PATH_MAX];

	if (o->noverify)
		return 0;
	snprintf(path, sizeof(path), "%s/thox-verifier",
		 instance_libexec_dir());
	return verifier_new(o->verifier_path ? o->verifier_path : path,
			    &fs->verifier);
}

/* To thoxd: [1, resumed]. */
static void say_ready(const struct options *o, const struct session *session)
{
	uint8_t data[16];
	struct mp_writer w;
	struct link link;

	if (o->link_fd < 0)
		return;
	mp_writer_init(&w, data, sizeof(data));
	mp_write_array(&w, 2);
	mp_write_uint(&w, 1);
	mp_write_bool(&w, session->resumed);
	link_init(&link, o->link_fd);
	if (link_send(&link, w.data, w.used, NULL, 0) < 0)
		log_warnx("thoxd does not hear that the mount is ready, "
			  "ignoring");
	/* The link stays open as long as this process. */
}

/* Signals go to the loop's thread, which they wake from its read. */
static void catch_signals(struct thoxfs *fs)
{
	const struct sigaction action = { .sa_handler = on_signal };

	session_to_stop = fs->session;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	fd_ignore_signals();
	signal(SIGIO, SIG_IGN); /* plain.c: its leases are given back at once */
}

static int start_threads(struct thoxfs *fs)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = committer_start(fs);
	if (r == 0)
		r = notifier_start(fs);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

static int fail(const char *what, int r)
{
	errno = -r;
	log_warn("%s", what);
	return r == -EBUSY ? SESSION_EXIT_BUSY : SESSION_EXIT_FAILED;
}

static void finish(struct thoxfs *fs, bool unmounted)
{
	committer_stop(fs);
	notifier_stop(fs);
	drafts_deinit(fs, !unmounted);
	if (unmounted && store_writable(fs->store) == 0) {
		drafts_clear(fs);
		(void)store_scratch_clear(fs->store);
	}
	readings_deinit(fs);
	plains_deinit(fs);
	listings_deinit(fs);
	announce_deinit(&fs->announce);
	session_close(fs);
	verifier_free(fs->verifier);
	store_free(fs->store);
	fd_close(fs->root_fd);
}

/* acquire -> sandbox -> loop */
static int serve(int fuse_fd, void *user)
{
	const struct options *o = user;
	const struct confine_options confinement = {
		.store_path = o->store_path,
		.builtin_path = o->builtin_path,
	};
	struct thoxfs fs = {
		.lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP,
		.relaxed = o->relaxed,
		.root_fd = -1,
	};
	struct session session = { .fuse_fd = fuse_fd,
				   .record_fd = -1,
				   .debug = o->debug };
	const char *layer;
	int r;

	r = open_store(&fs, o);
	if (r < 0)
		return fail("cannot open the store", r);
	r = open_record(&fs, o, &session.record_fd);
	if (r < 0)
		return fail("cannot have the store's session", r);
	r = writer_init();
	if (r < 0)
		return fail("cannot open /proc", r);
	r = start_verifier(&fs, o);
	if (r < 0)
		return fail("cannot start the verifier", r);
	r = notifier_prepare(&fs, fuse_fd);
	if (r < 0)
		return fail("cannot watch the store", r);
	r = thoxfs_confine(&confinement, &layer);
	if (r < 0)
		return fail(layer, r);

	r = session_open(&fs, &session);
	if (r == -ENOTCONN)
		return 0;
	if (r == -EPROTO)
		return SESSION_EXIT_NEEDS_MOUNT;
	if (r < 0)
		return fail("cannot speak with the kernel", r);
	fs.successor = session.record_fd >= 0 && session.can_resend;
	fs.announce.everything = session.resumed;
	r = session.resumed ? drafts_find_left(&fs) : 0;
	if (r < 0)
		return fail("cannot read the drafts", r);
	if (!session.resumed && store_writable(fs.store) == 0) {
		drafts_clear(&fs);
		(void)store_scratch_clear(fs.store);
	}
	r = start_threads(&fs);
	if (r < 0)
		return fail("cannot start a thread", r);
	catch_signals(&fs);
	if (session_resume(&session) < 0)
		return SESSION_EXIT_NEEDS_MOUNT;
	say_ready(o, &session);
	r = session_run(&fs, &session);
	finish(&fs, session.unmounted);
	return r < 0 ? fail("the conversation with the kernel ended", r) : 0;
}

static void usage(FILE *to)
{
	fprintf(to, "usage: thoxfs --store DIR [OPTION]... MOUNTPOINT\n"
		    "       thoxfs --store DIR --fuse-fd N [OPTION]...\n"
		    "  --builtin DIR   the layer below\n"
		    "  --verifier FILE the verifier's executable\n"
		    "  --record FILE   where INIT is recorded "
		    "(default: DIR/" RECORD_NAME ")\n"
		    "  --link-fd N     thoxd's link\n"
		    "  -o OPTION,...   relaxed noverify ro allow_other "
		    "keep=N limit=BYTES quota=BYTES\n"
		    "  -d, --debug     print every request\n");
}

static bool parse_number(const char *text, uint64_t *ret_number)
{
	char *end;

	if (!text || !*text)
		return false;
	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

static bool parse_mount_options(char *text, struct options *o)
{
	enum { RELAXED, NOVERIFY, RO, RW, ALLOW_OTHER, KEEP, LIMIT, QUOTA };
	char *const names[] = { "relaxed", "noverify",	  "ro",
				"rw",	   "allow_other", "keep",
				"limit",   "quota",	  NULL };
	uint64_t keep = 0;
	char *value;
	bool ok = true;

	while (ok && *text) {
		switch (getsubopt(&text, names, &value)) {
		case RELAXED:
			o->relaxed = true;
			break;
		case NOVERIFY:
			o->noverify = true;
			break;
		case RO:
			o->readonly = true;
			break;
		case RW:
			break;
		case ALLOW_OTHER:
			o->allow_other = true;
			break;
		case KEEP:
			ok = parse_number(value, &keep) && keep <= UINT_MAX;
			o->keep = (unsigned)keep;
			break;
		case LIMIT:
			ok = parse_number(value, &o->limit_bytes);
			break;
		case QUOTA:
			ok = parse_number(value, &o->quota_bytes);
			break;
		default:
			ok = false;
		}
	}
	return ok;
}

static bool parse_fd(const char *text, int *ret_fd)
{
	uint64_t number;

	if (!parse_number(text, &number) || number > INT_MAX)
		return false;
	*ret_fd = (int)number;
	return fd_set_cloexec(*ret_fd, 1) == 0;
}

static bool parse(int argc, char *argv[], struct options *o)
{
	enum { STORE = 256, BUILTIN, VERIFIER, RECORD, FUSE_FD, LINK_FD, HELP };
	static const struct option names[] = {
		{ "store", required_argument, NULL, STORE },
		{ "builtin", required_argument, NULL, BUILTIN },
		{ "verifier", required_argument, NULL, VERIFIER },
		{ "record", required_argument, NULL, RECORD },
		{ "fuse-fd", required_argument, NULL, FUSE_FD },
		{ "link-fd", required_argument, NULL, LINK_FD },
		{ "debug", no_argument, NULL, 'd' },
		{ "help", no_argument, NULL, HELP },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "do:", names, NULL)) >= 0) {
		switch (c) {
		case STORE:
			o->store_path = optarg;
			break;
		case BUILTIN:
			o->builtin_path = optarg;
			break;
		case VERIFIER:
			o->verifier_path = optarg;
			break;
		case RECORD:
			o->record_path = optarg;
			break;
		case FUSE_FD:
			if (!parse_fd(optarg, &o->fuse_fd))
				return false;
			break;
		case LINK_FD:
			if (!parse_fd(optarg, &o->link_fd))
				return false;
			break;
		case 'o':
			if (!parse_mount_options(optarg, o))
				return false;
			break;
		case 'd':
			o->debug = true;
			break;
		case HELP:
			usage(stdout);
			exit(0);
		default:
			return false;
		}
	}
	if (optind < argc)
		o->mount_point = argv[optind++];
	return optind == argc && o->store_path &&
	       (o->fuse_fd >= 0) != (o->mount_point != NULL);
}

/* Every content that somebody reads is a descriptor. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char *argv[])
{
	struct options o = { .fuse_fd = -1,
			     .link_fd = -1,
			     .builtin_path = instance_data_dir() };

	log_init("thoxfs", LOG_LEVEL_INFO);
	if (!parse(argc, argv, &o)) {
		usage(stderr);
		return SESSION_EXIT_USAGE;
	}
	umask(077);
	raise_descriptors();
	if (o.mount_point)
		return mount_run(o.mount_point, o.allow_other, serve, &o);
	return serve(o.fuse_fd, &o);
}
