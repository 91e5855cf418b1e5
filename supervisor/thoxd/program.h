#pragma once

/*
 * Which text and which runtime a request means, looked up in the store.
 */

#include <stdint.h>

#include "fs/name.h"
#include "fs/store.h"
#include "thoxd/message.h"

struct server;

#define PROGRAM_MESSAGE_BYTES 512

struct program {
	char name[256]; /* to show */
	uint64_t version;
	bool stored; /* its name is a program's, not only to show */
	int text_fd; /* owned; of a given text: -1 */
	char runtime[NAME_MAX_BYTES + 1];
	uint64_t runtime_version;
	uint64_t runtime_id; /* 0: native */
	int runtime_fd;	     /* owned; -1: native */
	/* of a runtime that a process published: by what it was confined */
	char runtime_confined[STORE_CONFINED_BYTES];
	char notice[PROGRAM_MESSAGE_BYTES]; /* "": none */
};

/* Why not: a status of rpc/status.h and words for a person. */
struct refusal {
	int status;
	char message[PROGRAM_MESSAGE_BYTES];
	char hint[NAME_MAX_BYTES + 1];
};

/* 0, or -1 and @ret_why. */
int program_open(struct server *s, const struct run_spec *spec,
		 struct program *ret_program, struct refusal *ret_why);
void program_close(struct program *p);
