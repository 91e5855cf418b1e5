/* Asking about a text: the messages. */

#include "fs/verify_message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

struct request_head {
	uint32_t seq;
	uint32_t text_size;
	uint8_t dir, by_fd, name_size, zero;
};

struct reply_head {
	uint32_t seq;
	int32_t signal;
	uint8_t kind, reason_size, runtime_size, n_needs;
};

struct need_head {
	uint64_t version;
	uint32_t line;
	uint8_t dir, name_size, zero[2];
};

_Static_assert(sizeof(struct reply_head) + 256 + NAME_MAX_BYTES +
			       VERIFY_NEEDS_MAX * (sizeof(struct need_head) +
						   NAME_MAX_BYTES) <=
		       VERIFY_REPLY_BYTES,
	       "a reply has room for all that it may hold");

size_t verify_request_write(const struct verify_request *request, void *buf)
{
	struct request_head head = { .seq = request->seq,
				     .dir = (uint8_t)request->dir,
				     .by_fd = request->by_fd,
				     .text_size = (uint32_t)request->size };
	size_t name = strlen(request->name);

	head.name_size = (uint8_t)name;
	memcpy(buf, &head, sizeof(head));
	memcpy((char *)buf + sizeof(head), request->name, name + 1);
	return sizeof(head) + name + 1;
}

int verify_request_read(struct verify_request *ret_request, void *data,
			size_t size)
{
	struct request_head head;
	char *name = (char *)data + sizeof(head), *text;

	if (size < sizeof(head))
		return -EBADMSG;
	memcpy(&head, data, sizeof(head));
	size -= sizeof(head);
	if (head.dir >= DIR_COUNT || head.by_fd > 1 || head.zero ||
	    size < (size_t)head.name_size + 1 || name[head.name_size] != '\0' ||
	    !name_valid(name) || strlen(name) != head.name_size)
		return -EBADMSG;
	text = name + head.name_size + 1;
	size -= (size_t)head.name_size + 1;
	if (head.by_fd ? size != 0 : size != head.text_size)
		return -EBADMSG;

	text[size] = '\0';
	*ret_request = (struct verify_request){
		.seq = head.seq,
		.dir = (enum store_dir)head.dir,
		.by_fd = head.by_fd,
		.name = name,
		.text = head.by_fd ? NULL : text,
		.size = head.text_size,
	};
	return 0;
}

static char *write_need(char *p, const struct verify_need *need)
{
	struct need_head head = { .version = need->version,
				  .line = need->line,
				  .dir = (uint8_t)need->dir,
				  .name_size = (uint8_t)strlen(need->name) };

	memcpy(p, &head, sizeof(head));
	memcpy(p + sizeof(head), need->name, head.name_size);
	return p + sizeof(head) + head.name_size;
}

size_t verify_reply_write(const struct verify_reply *reply, void *buf)
{
	struct reply_head head = { .seq = reply->seq,
				   .signal = reply->signal,
				   .kind = (uint8_t)reply->kind,
				   .n_needs = (uint8_t)reply->n_needs };
	size_t reason = strlen(reply->reason), runtime = strlen(reply->runtime);
	char *p = (char *)buf + sizeof(head);

	head.reason_size = (uint8_t)reason;
	head.runtime_size = (uint8_t)runtime;
	memcpy(buf, &head, sizeof(head));
	memcpy(p, reply->reason, reason);
	memcpy(p + reason, reply->runtime, runtime);
	p += reason + runtime;
	for (uint32_t i = 0; i < reply->n_needs; i++)
		p = write_need(p, &reply->needs[i]);
	return (size_t)(p - (char *)buf);
}

/* How many bytes of @size it takes, 0 when it is none. */
static size_t read_need(struct verify_need *ret, const char *p, size_t size)
{
	struct need_head head;

	if (size < sizeof(head))
		return 0;
	memcpy(&head, p, sizeof(head));
	if (head.dir >= DIR_COUNT || head.zero[0] || head.zero[1] ||
	    head.name_size > NAME_MAX_BYTES ||
	    size - sizeof(head) < head.name_size)
		return 0;
	*ret = (struct verify_need){ .dir = (enum store_dir)head.dir,
				     .line = head.line,
				     .version = head.version };
	memcpy(ret->name, p + sizeof(head), head.name_size);
	return name_valid(ret->name) ? sizeof(head) + head.name_size : 0;
}

int verify_reply_read(struct verify_reply *ret_reply, const void *data,
		      size_t size)
{
	const char *p = (const char *)data + sizeof(struct reply_head);
	struct verify_reply reply = { 0 };
	struct reply_head head;

	if (size < sizeof(head))
		return -EBADMSG;
	memcpy(&head, data, sizeof(head));
	size -= sizeof(head);
	if (head.kind > VERIFY_BROKEN || head.signal < 0 ||
	    size < (size_t)head.reason_size + head.runtime_size ||
	    head.runtime_size > NAME_MAX_BYTES ||
	    head.n_needs > VERIFY_NEEDS_MAX)
		return -EBADMSG;

	reply.seq = head.seq;
	reply.kind = (enum verify_reply_kind)head.kind;
	reply.signal = head.signal;
	memcpy(reply.reason, p, head.reason_size);
	memcpy(reply.runtime, p + head.reason_size, head.runtime_size);
	if (reply.runtime[0] && !name_valid(reply.runtime))
		return -EBADMSG;
	p += head.reason_size + head.runtime_size;
	size -= (size_t)head.reason_size + head.runtime_size;
	for (; reply.n_needs < head.n_needs; reply.n_needs++) {
		size_t n = read_need(&reply.needs[reply.n_needs], p, size);

		if (n == 0)
			return -EBADMSG;
		p += n;
		size -= n;
	}
	if (size > 0)
		return -EBADMSG;
	*ret_reply = reply;
	return 0;
}

int verify_send(int fd, const void *data, size_t size, const void *more,
		size_t more_size, int pass_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov[2] = { { .iov_base = (void *)data, .iov_len = size },
				{ .iov_base = (void *)more,
				  .iov_len = more_size } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = more ? 2 : 1 };
	ssize_t n;

	if (pass_fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &pass_fd, sizeof(int));
	}
	do {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

ssize_t verify_recv(int fd, void *data, size_t size, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c;
	int fds[4], got = -1;
	ssize_t n;

	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = count < 4 ? count : 4;
		memcpy(fds, CMSG_DATA(c), count * sizeof(int));
		for (size_t i = 0; i < count; i++) {
			if (got < 0)
				got = fds[i];
			else
				fd_close(fds[i]); /* more than was agreed */
		}
	}
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || !ret_fd) {
		fd_close(got);
		if (got >= 0 || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
			return -EBADMSG;
		return n;
	}
	*ret_fd = got;
	return n;
}
