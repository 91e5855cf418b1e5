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

void logs_print(enum logs_output output, const char *service,
		const struct line *line);
