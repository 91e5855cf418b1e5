/*
 * The yardstick of the mount's figures: a plain pass-through in FUSE.
 *
 * What libfuse's passthrough_hp does, for one flat-ish tree: every inode is
 * an O_PATH descriptor, attributes and entries are cached by the kernel for
 * a day, file contents are kept. One thread, as thoxfs has one for requests.
 * Usage: passthrough SOURCE MOUNTPOINT; ends when unmounted.
 */

#define FUSE_USE_VERSION 314

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define TIMEOUT_SECONDS 86400.0
#define BUCKETS		65536U

struct node {
	struct node *next; /* in its bucket */
	int fd;		   /* O_PATH */
	dev_t device;
	ino_t inode;
	uint64_t lookups;
};

static struct node root;
static struct node *buckets[BUCKETS];

static struct node *node_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &root : (struct node *)(uintptr_t)ino;
}

static struct node **bucket_of(ino_t inode)
{
	return &buckets[inode % BUCKETS];
}

/* The node of what @fd (O_PATH, taken) stands for. */
static struct node *node_get(int fd, const struct stat *st)
{
	struct node **bucket = bucket_of(st->st_ino);
	struct node *n;

	for (n = *bucket; n; n = n->next)
		if (n->inode == st->st_ino && n->device == st->st_dev)
			break;
	if (n) {
		close(fd);
	} else {
		n = calloc(1, sizeof(*n));
		if (!n)
			abort();
		*n = (struct node){ .next = *bucket,
				    .fd = fd,
				    .device = st->st_dev,
				    .inode = st->st_ino };
		*bucket = n;
	}
	n->lookups++;
	return n;
}

static void node_put(struct node *n, uint64_t lookups)
{
	struct node **p = bucket_of(n->inode);

	n->lookups -= lookups;
	if (n->lookups > 0)
		return;
	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	close(n->fd);
	free(n);
}

static int look(fuse_ino_t parent, const char *name,
		struct fuse_entry_param *ret)
{
	int fd = openat(node_of(parent)->fd, name,
			O_PATH | O_NOFOLLOW | O_CLOEXEC);

	memset(ret, 0, sizeof(*ret));
	ret->attr_timeout = ret->entry_timeout = TIMEOUT_SECONDS;
	if (fd < 0)
		return errno;
	if (fstatat(fd, "", &ret->attr, AT_EMPTY_PATH) < 0) {
		int err = errno;

		close(fd);
		return err;
	}
	ret->ino = (fuse_ino_t)(uintptr_t)node_get(fd, &ret->attr);
	return 0;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e;
	int err = look(parent, name, &e);

	if (err == 0 || err == ENOENT) /* ino 0: a negative entry */
		fuse_reply_entry(req, &e);
	else
		fuse_reply_err(req, err);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	node_put(node_of(ino), lookups);
	fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	if (fstatat(node_of(ino)->fd, "", &st, AT_EMPTY_PATH) < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_attr(req, &st, TIMEOUT_SECONDS);
}

static int reopen(fuse_ino_t ino, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", node_of(ino)->fd);
	return open(path, (flags & ~O_NOFOLLOW) | O_CLOEXEC);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
		       int to_set, struct fuse_file_info *fi)
{
	if (to_set & FUSE_SET_ATTR_SIZE) {
		int fd = fi ? (int)fi->fh : reopen(ino, O_WRONLY);

		if (fd < 0 || ftruncate(fd, attr->st_size) < 0) {
			fuse_reply_err(req, errno);
			return;
		}
		if (!fi)
			close(fd);
	}
	op_getattr(req, ino, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int fd = reopen(ino, fi->flags);

	if (fd < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	fi->fh = (uint64_t)fd;
	fi->keep_cache = 1;
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
	fuse_reply_open(req, fi);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		      mode_t mode, struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	int fd, err;

	fd = openat(node_of(parent)->fd, name,
		    (fi->flags | O_CREAT | O_CLOEXEC) & ~O_NOFOLLOW, mode);
	if (fd < 0) {
		fuse_reply_err(req, errno);
		return;
	}
	err = look(parent, name, &e);
	if (err) {
		close(fd);
		fuse_reply_err(req, err);
		return;
	}
	fi->fh = (uint64_t)fd;
	fuse_reply_create(req, &e, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct fuse_bufvec buf = FUSE_BUFVEC_INIT(size);

	(void)ino;
	buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	buf.buf[0].fd = (int)fi->fh;
	buf.buf[0].pos = offset;
	fuse_reply_data(req, &buf, 0);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data,
		     size_t size, off_t offset, struct fuse_file_info *fi)
{
	ssize_t n = pwrite((int)fi->fh, data, size, offset);

	(void)ino;
	if (n < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_write(req, (size_t)n);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fuse_reply_err(req, close(dup((int)fi->fh)) < 0 ? errno : 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	int fd = (int)fi->fh;

	(void)ino;
	fuse_reply_err(req,
		       (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? errno : 0);
}

static void op_release(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	(void)ino;
	close((int)fi->fh);
	fuse_reply_err(req, 0);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int r = unlinkat(node_of(parent)->fd, name, 0);

	fuse_reply_err(req, r < 0 ? errno : 0);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t new_parent, const char *new_name,
		      unsigned flags)
{
	int r = renameat2(node_of(parent)->fd, name, node_of(new_parent)->fd,
			  new_name, flags);

	fuse_reply_err(req, r < 0 ? errno : 0);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode)
{
	if (mkdirat(node_of(parent)->fd, name, mode) < 0)
		fuse_reply_err(req, errno);
	else
		op_lookup(req, parent, name);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int r = unlinkat(node_of(parent)->fd, name, AT_REMOVEDIR);

	fuse_reply_err(req, r < 0 ? errno : 0);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	int fd = openat(node_of(ino)->fd, ".", O_RDONLY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		fuse_reply_err(req, errno);
		return;
	}
	fi->fh = (uint64_t)(uintptr_t)dir;
	fi->cache_readdir = 1;
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size,
		       off_t offset, struct fuse_file_info *fi)
{
	DIR *dir = (DIR *)(uintptr_t)fi->fh;
	char *buf = malloc(size);
	size_t used = 0;
	struct dirent *d;

	(void)ino;
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (offset != telldir(dir))
		seekdir(dir, offset);
	while ((d = readdir(dir))) {
		struct stat st = { .st_ino = d->d_ino,
				   .st_mode = (mode_t)d->d_type << 12 };
		size_t n = fuse_add_direntry(req, buf + used, size - used,
					     d->d_name, &st, d->d_off);

		if (n > size - used)
			break;
		used += n;
		offset = d->d_off;
	}
	if (d)
		seekdir(dir, offset);
	fuse_reply_buf(req, buf, used);
	free(buf);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino,
			  struct fuse_file_info *fi)
{
	(void)ino;
	closedir((DIR *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;

	(void)ino;
	if (fstatvfs(root.fd, &st) < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_statfs(req, &st);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = op_lookup,
	.forget = op_forget,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.fsync = op_fsync,
	.release = op_release,
	.unlink = op_unlink,
	.rename = op_rename,
	.mkdir = op_mkdir,
	.rmdir = op_rmdir,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.releasedir = op_releasedir,
	.statfs = op_statfs,
};

int main(int argc, char *argv[])
{
	char *fuse_argv[] = { argv[0], NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, fuse_argv);
	struct fuse_session *se;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: passthrough SOURCE MOUNTPOINT\n");
		return 2;
	}
	root.fd = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root.fd < 0) {
		perror(argv[1]);
		return 1;
	}
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se || fuse_set_signal_handlers(se) != 0 ||
	    fuse_session_mount(se, argv[2]) != 0)
		return 1;
	r = fuse_session_loop(se);
	fuse_session_unmount(se);
	fuse_remove_signal_handlers(se);
	fuse_session_destroy(se);
	return r ? 1 : 0;
}
