/*
 * Step 5, in a runner: a stream's file, for the library `storage`.
 *
 * Whether it still is the file of its name is asked of the file itself: it was
 * replaced or removed when no name leads to it any more. So whoever looks sees
 * a replacement at once, whatever is on its way over links.
 */

#include "runner/lua_file.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "runner/channel.h"
#include "runner/context.h"
#include "runner/limits.h"
#include "runner/runner.h"

#define FILE_TYPE   "thox.file"
#define PIECE_BYTES 65536

/* The channel refers to it, and closes it at its own end. */
struct file {
	int fd;	       /* -1: closed */
	uint64_t link; /* that it came with */
};

static struct file *check_file(lua_State *L)
{
	return luaL_checkudata(L, 1, FILE_TYPE);
}

static size_t check_size(lua_State *L, int index)
{
	lua_Integer n = luaL_checkinteger(L, index);

	luaL_argcheck(L, n >= 0, index, "a number of bytes is wanted");
	return (size_t)n;
}

/*
 * A file that was asked for its times notes them at its next write, which
 * makes that slower: statx() asks for what is wanted alone. Without a path,
 * since what a path leads to is nothing that the table could see (Linux 6.11).
 */
static int ask(int fd, struct statx *st)
{
	static bool by_fstat;
	struct stat old;

	if (!by_fstat) {
		if (syscall(SYS_statx, fd, NULL, AT_EMPTY_PATH,
			    STATX_NLINK | STATX_SIZE, st) == 0)
			return 0;
		if (errno != EFAULT)
			return -errno;
		by_fstat = true;
	}
	/* The call itself: the C library would ask by a path. */
	if (syscall(SYS_fstat, fd, &old) < 0)
		return -errno;
	st->stx_nlink = (uint32_t)old.st_nlink;
	st->stx_size = (uint64_t)old.st_size;
	return 0;
}

static bool is_current(const struct file *f, uint64_t *ret_size)
{
	struct statx st;

	if (f->fd < 0 || ask(f->fd, &st) < 0 || st.stx_nlink == 0)
		return false;
	*ret_size = st.stx_size;
	return true;
}

/* Until the end of the file or an error, which shows as an end. */
static size_t read_at(int fd, char *data, size_t size, uint64_t offset)
{
	size_t done;

	(void)fd_read_at(fd, data, size, offset, &done);
	return done;
}

/* What Lua keeps before the bytes of a long string; 0: that is not known, or
 * no number of bytes that allocator_prepare() takes. */
static size_t head_bytes;

static void learn_head(lua_State *L)
{
	static const char text[200];
	const struct allocator *a = &runner.allocator;
	size_t before, took;

	lua_gc(L, LUA_GCSTOP);
	before = a->used_bytes;
	lua_pushlstring(L, text, sizeof(text));
	took = a->used_bytes - before;
	lua_pop(L, 1);
	lua_gc(L, LUA_GCRESTART);
	if (took > sizeof(text) && took < 2 * sizeof(text) &&
	    (took - sizeof(text) - 1) % (2 * sizeof(void *)) == sizeof(void *))
		head_bytes = took - sizeof(text) - 1;
}

/*
 * Lua goes by bytes: in a small heap a large string is a collection, which
 * takes a seventh of what reading it takes. So as long as few are held, those
 * that were read in place do not count. The ceiling is not met sooner: what is
 * used at that moment is not half of it, and Lua lets no heap grow by more than
 * its size before it collects. May run finalizers.
 */
static void spare_collector(lua_State *L, size_t size)
{
	const struct allocator *a = &runner.allocator;

	if (a->placed_bytes <= LIMIT_UNCOUNTED_BYTES &&
	    a->used_bytes <= a->limit_bytes / 2 && lua_gc(L, LUA_GCISRUNNING))
		lua_gc(L, LUA_GCSTEP, -(int)(size / 1024));
}

/*
 * A large piece is read to where its string is going to be: Lua is given that
 * block when it asks for one, and copies the bytes to where they are, which is
 * nothing. Where it asks for another size, such as at the end of the file, it
 * copies them from there to there. The bytes begin with a page: to some places
 * just behind a page's begin the kernel copies at a fifth of its speed.
 */
static bool push_in_place(lua_State *L, int fd, size_t size, uint64_t offset)
{
	struct allocator *a = &runner.allocator;
	char *block = NULL;
	size_t done;

	if (head_bytes > 0 && size < SIZE_MAX - head_bytes)
		block = allocator_prepare(a, head_bytes + size + 1, head_bytes);
	if (!block)
		return false;
	done = read_at(fd, block + head_bytes, size, offset);
	lua_pushlstring(L, block + head_bytes, done);
	if (a->prepared)
		allocator_unprepare(a);
	else
		spare_collector(L, size);
	return true;
}

/* The usual pieces come by a buffer that stays in the cache, where the kernel
 * copies fast since it begins with a page: one of Lua's would be new memory
 * each time. */
static void push_bytes(lua_State *L, int fd, size_t size, uint64_t offset)
{
	static _Alignas(4096) char piece[PIECE_BYTES];
	luaL_Buffer b;

	if (size <= sizeof(piece)) {
		size = read_at(fd, piece, size, offset);
		lua_pushlstring(L, piece, size);
		return;
	}
	if (push_in_place(L, fd, size, offset))
		return;
	luaL_buffinitsize(L, &b, size);
	size = read_at(fd, luaL_buffaddr(&b), size, offset);
	luaL_pushresultsize(&b, size);
}

/* file:read(offset, n) -> string, short at the end | nil: it was replaced */
static int l_read(lua_State *L)
{
	struct file *f = check_file(L);
	uint64_t offset = check_size(L, 2), size = check_size(L, 3), left;

	if (!is_current(f, &left))
		return 0;
	left = offset < left ? left - offset : 0;
	if (size > left)
		size = left;
	push_bytes(L, f->fd, size, offset);
	return 1;
}

/* file:write(offset, text) -> bytes written, perhaps not all | nil: it was
 * replaced */
static int l_write(lua_State *L)
{
	struct file *f = check_file(L);
	uint64_t offset = check_size(L, 2), size;
	size_t left, done = 0;
	const char *text = luaL_checklstring(L, 3, &left);

	if (!is_current(f, &size))
		return 0;
	while (done < left) {
		ssize_t n = pwrite(f->fd, text + done, left - done,
				   (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	lua_pushinteger(L, (lua_Integer)done);
	return 1;
}

/* file:size() -> bytes | nil: it was replaced */
static int l_size(lua_State *L)
{
	uint64_t size;

	if (!is_current(check_file(L), &size))
		return 0;
	lua_pushinteger(L, (lua_Integer)size);
	return 1;
}

static int l_close(lua_State *L)
{
	struct file *f = check_file(L);
	struct channel *c = channel_find(f->link, false);

	if (c && c->taken == &f->fd)
		c->taken = NULL;
	f->fd = fd_close(f->fd);
	return 0;
}

int lua_file_take(lua_State *L)
{
	struct context *ctx;
	struct channel *c;
	struct file *f;

	f = lua_newuserdatauv(L, sizeof(*f), 0); /* … file */
	*f = (struct file){ .fd = -1 };
	luaL_setmetatable(L, FILE_TYPE);
	if (!context_check(L, 1, &ctx) || !ctx || ctx->owned)
		return 0;
	c = channel_find(ctx->link, false);
	if (!c || c->file < 0)
		return 0;
	f->link = c->number;
	f->fd = steal_fd(&c->file);
	c->taken = &f->fd;
	return 1;
}

void lua_file_open(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "close", l_close }, { "read", l_read }, { "size", l_size },
		{ "write", l_write }, { NULL, NULL },
	};

	learn_head(L);
	luaL_newmetatable(L, FILE_TYPE); /* metatable */
	lua_pushcfunction(L, l_close);
	lua_setfield(L, -2, "__gc");
	lua_pushliteral(L, "file");
	lua_setfield(L, -2, "__metatable");
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}
