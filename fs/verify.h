#pragma once

/*
 * Asking whether a text may be published.
 *
 * The parsing happens in `thox-verifier`, started by verifier_new() and kept:
 * a parent that parses nothing, and its child, confined (no_new_privs,
 * Landlock, seccomp, limits), that does. A child that dies of a hostile text
 * is replaced by its parent and that text is refused, naming the signal; so
 * the caller needs no right to fork or exec after verifier_new(), only the
 * sockets it already holds: sendmsg, recvmsg, poll.
 *
 * What is checked, by directory: programs, libraries and runtimes: Lua 5.4
 * syntax, text only (a NUL or `\27Lua` is refused); services: keys and values
 * (service/definition.h); data: nothing. What a text needs of the store is
 * told, and looked up by verdict_check_needs(), since the parser may see
 * nothing of it.
 *
 * Threads: any may ask; one at a time may wait for answers.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/name.h"

struct verifier;

#define VERIFY_REASON_BYTES  256
#define VERIFY_TEXT_BYTES    (16U << 20) /* larger is refused, never read */
#define VERIFY_MEMORY_BYTES  (256U << 20)
#define VERIFY_CPU_MSEC	     2000 /* of processor time, for one text */
#define VERIFY_PATIENCE_MSEC 20000

/* Another text that this one needs. */
struct verify_need {
	enum store_dir dir;
	uint32_t line;	  /* that says so */
	uint64_t version; /* 0: any */
	char name[NAME_MAX_BYTES + 1];
};
#define VERIFY_NEEDS_MAX 2U

struct verdict {
	int result;			  /* 0, or -EINVAL with a reason */
	char reason[VERIFY_REASON_BYTES]; /* `hello:3: unexpected symbol near
					   * '}'`; printable */
	char runtime[NAME_MAX_BYTES + 1]; /* named by the first line, or "" */
	uint32_t n_needs;
	struct verify_need needs[VERIFY_NEEDS_MAX];
};

/* @program_path is the verifier's executable. Forks and execs. */
int verifier_new(const char *program_path, struct verifier **ret_verifier);
struct verifier *verifier_free(struct verifier *v); /* kills and reaps */
pid_t verifier_pid(const struct verifier *v);
/* How long an answer is waited for; VERIFY_PATIENCE_MSEC at first. Then its
 * child is killed, and its text refused. */
void verifier_set_patience(struct verifier *v, int msec);

/*
 * Check what @fd holds (regular file, read from 0, offset untouched) as the
 * text of @name, which only serves to name it in the reason. Blocks while the
 * parser is at work, at most for the patience. Negative errno only when no
 * verdict could be had: -EPIPE when the verifier is gone (make a new one).
 */
int verifier_check(struct verifier *v, enum store_dir dir, const char *name,
		   int fd, struct verdict *ret_verdict);

/*
 * The same in two halves, so that many texts are on their way while the asker
 * does something else: ask hands the text over and hardly blocks, answer waits
 * for it. @fd may be closed in between, but its file must not change. Answers
 * come in the order of asking; of those that nobody waits for,
 * VERIFY_PENDING_MAX are kept.
 */
#define VERIFY_PENDING_MAX 64U
int verifier_ask(struct verifier *v, enum store_dir dir, const char *name,
		 int fd, uint32_t *ret_ticket);
int verifier_answer(struct verifier *v, const char *name, uint32_t ticket,
		    struct verdict *ret_verdict);

/* A good verdict becomes a refusal when something that the text of @name needs
 * is not in the store. */
struct store;
void verdict_check_needs(struct verdict *v, struct store *s, const char *name);
