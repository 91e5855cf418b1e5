#pragma once

/*
 * Lines for the user on standard error: `thox-exec: text`.
 *
 * A line is written with one write(), and control bytes in it are shown as
 * \xNN: a program's name or a refused text can hold anything.
 */

void say_init(const char *program); /* must stay valid */
const char *say_program(void);

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* `text\n`, unescaped and without the program's name: JSON, help. */
void say_raw(int fd, const char *text);
