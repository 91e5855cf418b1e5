/*
 * Step 1, in thox-repl: a line.
 *
 * While a line is edited the terminal sends no signals for keys (setty
 * -isig), so Ctrl-C and Ctrl-Z are keys like others and no handler can meet
 * libedit halfway. Signals from elsewhere have their default action then, by
 * libedit's own handlers, which put the terminal right first.
 */

#include "cli/prompt.h"

#include <errno.h>
#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/terminal.h"

#define HISTORY_LINES 2000

struct prompt {
	bool terminal;
	EditLine *edit; /* NULL: no terminal, or one that cannot be edited on */
	History *history;
	const char *history_path;
	const char *text;
	bool interrupted;
	char *line; /* getline()'s */
	size_t size;
};

/* libedit gives callbacks the EditLine alone. */
static struct prompt *prompt_of(EditLine *edit)
{
	void *p = NULL;

	el_get(edit, EL_CLIENTDATA, &p);
	return p;
}

static char *on_prompt(EditLine *edit)
{
	return (char *)prompt_of(edit)->text;
}

static unsigned char on_interrupt(EditLine *edit, int key)
{
	(void)key;
	prompt_of(edit)->interrupted = true;
	return CC_EOF;
}

static unsigned char on_suspend(EditLine *edit, int key)
{
	(void)key;
	el_set(edit, EL_PREP_TERM, 0);
	putchar('\n');
	fflush(stdout);
	terminal_stop(SIGTSTP);
	el_set(edit, EL_PREP_TERM, 1);
	return CC_REFRESH;
}

#ifdef THOX_SANITIZED
/* libedit never frees the names and help texts that EL_ADDFN copies. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:wcsdup\n";
}
#endif

static int open_editor(struct prompt *p)
{
	HistEvent event;

	p->edit = el_init("thox", stdin, stdout, stderr);
	p->history = history_init();
	if (!p->edit || !p->history)
		return -ENOMEM;
	history(p->history, &event, H_SETSIZE, HISTORY_LINES);
	history(p->history, &event, H_SETUNIQUE, 1);
	if (p->history_path)
		history(p->history, &event, H_LOAD, p->history_path);
	el_set(p->edit, EL_CLIENTDATA, p);
	el_set(p->edit, EL_PROMPT, on_prompt);
	el_set(p->edit, EL_EDITOR, "emacs");
	el_set(p->edit, EL_SIGNAL, 1);
	el_set(p->edit, EL_HIST, history, p->history);
	el_set(p->edit, EL_SETTY, "-d", "-isig", NULL);
	el_set(p->edit, EL_ADDFN, "thox-interrupt", "drop the line",
	       on_interrupt);
	el_set(p->edit, EL_ADDFN, "thox-suspend", "stop", on_suspend);
	el_set(p->edit, EL_BIND, "^C", "thox-interrupt", NULL);
	el_set(p->edit, EL_BIND, "^Z", "thox-suspend", NULL);
	el_set(p->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
	el_source(p->edit, NULL); /* the user's ~/.editrc */
	return 0;
}

/* Editing needs a terminal on both sides that can move its cursor. */
static bool can_edit(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term && *term &&
	       strcmp(term, "dumb") != 0;
}

int prompt_new(const char *history_path, struct prompt **ret_prompt)
{
	struct prompt *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return -ENOMEM;
	p->history_path = history_path;
	p->terminal = isatty(STDIN_FILENO);
	if (p->terminal && can_edit())
		r = open_editor(p);
	if (r < 0)
		prompt_free(p);
	else
		*ret_prompt = p;
	return r;
}

struct prompt *prompt_free(struct prompt *p)
{
	if (!p)
		return NULL;
	if (p->edit)
		el_end(p->edit);
	if (p->history)
		history_end(p->history);
	free(p->line);
	free(p);
	return NULL;
}

bool prompt_is_terminal(const struct prompt *p)
{
	return p->terminal;
}

static enum prompt_result end_of_input(void)
{
	putchar('\n');
	fflush(stdout);
	return PROMPT_END;
}

static enum prompt_result edit_line(struct prompt *p, const char **ret_line,
				    size_t *ret_size)
{
	int size = 0;
	const char *line;

	p->interrupted = false;
	terminal_unblock();
	/* libedit would do so only after it has shown the prompt, and a key
	 * typed in between would be taken as one of a cooked line. */
	el_set(p->edit, EL_PREP_TERM, 1);
	line = el_gets(p->edit, &size);
	terminal_block();
	if (p->interrupted) {
		puts("^C");
		return PROMPT_INTERRUPTED;
	}
	if (!line || size <= 0)
		return end_of_input();
	*ret_line = line;
	*ret_size = (size_t)size;
	return PROMPT_LINE;
}

static void on_sigint(int sig)
{
	(void)sig; /* only to interrupt getline() */
}

/* A terminal without editing: the line discipline does what it can. */
static enum prompt_result plain_line(struct prompt *p, const char **ret_line,
				     size_t *ret_size)
{
	struct sigaction action = { .sa_handler = on_sigint }, old;
	ssize_t n;

	fputs(p->text, stdout);
	fflush(stdout);
	sigaction(SIGINT, &action, &old);
	terminal_unblock_all();
	errno = 0;
	n = getline(&p->line, &p->size, stdin);
	terminal_block();
	sigaction(SIGINT, &old, NULL);
	if (n < 0 && errno == EINTR) {
		clearerr(stdin);
		putchar('\n');
		return PROMPT_INTERRUPTED;
	}
	if (n <= 0)
		return end_of_input();
	*ret_line = p->line;
	*ret_size = (size_t)n;
	return PROMPT_LINE;
}

enum prompt_result prompt_read(struct prompt *p, const char *text,
			       const char **ret_line, size_t *ret_size)
{
	ssize_t n;

	p->text = text;
	if (p->edit)
		return edit_line(p, ret_line, ret_size);
	if (p->terminal)
		return plain_line(p, ret_line, ret_size);
	n = getline(&p->line, &p->size, stdin);
	if (n <= 0)
		return PROMPT_END;
	*ret_line = p->line;
	*ret_size = (size_t)n;
	return PROMPT_LINE;
}

void prompt_remember(struct prompt *p, const char *line)
{
	HistEvent event;

	if (!p->edit || line[strspn(line, " \t\n")] == '\0')
		return;
	history(p->history, &event, H_ENTER, line);
	if (p->history_path)
		history(p->history, &event, H_SAVE, p->history_path);
}
