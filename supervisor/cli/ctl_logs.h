#pragma once

/*
 * `thoxctl logs`: which lines are wanted, and how they are shown.
 */

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>

#include "logd/line.h"

enum logs_output {
	LOGS_SHORT,
	LOGS_JSON, /* a line each */
	LOGS_CAT,
	LOGS_TEXT, /* as LOGS_CAT, and harmless on a screen */
};

struct logs_filter {
	uint64_t since_us, until_us; /* 0: no limit */
	enum line_level level;	     /* and what is more urgent */
	regex_t *grep;		     /* or NULL */
	char *const *names;	     /* of services, as the user gave them */
	int n_names;
};

bool logs_wanted(const struct logs_filter *f, const char *service,
		 const struct line *line);
/* May a line of this service be wanted? */
bool logs_service_wanted(const struct logs_filter *f, const char *service);

/*
 * The last lines of a service, or of one of its processes what that said on
 * stderr, printed under @head; nothing at all without any.
 */
#define LOGS_TAIL_MAX 32U
struct logs_tail {
	const char *state_dir;
	const char *service;  /* without its instance */
	const char *instance; /* "": all */
	pid_t pid;	      /* 0: all */
	const char *head;
	size_t lines; /* at most; LOGS_TAIL_MAX */
};
size_t logs_tail(const struct logs_tail *t); /* how many there are */

/* Wait until what was printed before is in the files, if there is somebody who
 * knows, and that not long. Once: the next calls do nothing. */
struct instance;
void logs_settle(const struct instance *in);

void logs_print(enum logs_output output, const char *service,
		const struct line *line);
