#pragma once

/*
 * Lines from the user: with editing and history on a terminal, plain
 * otherwise.
 */

#include <stdbool.h>
#include <sys/types.h>

struct prompt;

enum prompt_result {
	PROMPT_LINE = 1,
	PROMPT_END,	    /* Ctrl-D, or the end of the input */
	PROMPT_INTERRUPTED, /* Ctrl-C: the line is dropped */
};

/* @history_path is read now and written by prompt_remember(); NULL: none. */
int prompt_new(const char *history_path, struct prompt **ret_prompt);
struct prompt *prompt_free(struct prompt *p);
bool prompt_is_terminal(const struct prompt *p);

/* The next line, with its line feed where it had one; valid until the next
 * call. @text is the prompt. */
enum prompt_result prompt_read(struct prompt *p, const char *text,
			       const char **ret_line, size_t *ret_size);

/* Into the history; a failure to write it is not worth a word. */
void prompt_remember(struct prompt *p, const char *line);
