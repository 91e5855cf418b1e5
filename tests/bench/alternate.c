/*
 * Times commands from posix_spawn() to the wait status, in turns: A B A B …,
 * so that what else the machine does meets all of them alike.
 *
 * usage: alternate ROUNDS LABEL[=CODE] COMMAND... [+ LABEL[=CODE] COMMAND...]
 * Each command must exit with CODE (default 0). Prints for each label
 * `LABEL median-us p25-us p75-us min-us`, after a tenth of ROUNDS unmeasured.
 */

#include "spawn.h"

#define CANDIDATES_MAX 16U

struct candidate {
	char *label;
	char **command;
	int code;
	double *times_us;
};

static struct candidate candidates[CANDIDATES_MAX];
static size_t count;

static void parse(char **arg)
{
	while (*arg) {
		struct candidate *c = &candidates[count++];
		char *equals;

		if (count > CANDIDATES_MAX)
			die("too many commands", E2BIG);
		c->label = *arg++;
		c->command = arg;
		equals = strchr(c->label, '=');
		if (equals) {
			*equals = '\0';
			c->code = atoi(equals + 1);
		}
		while (*arg && strcmp(*arg, "+") != 0)
			arg++;
		if (*arg)
			*arg++ = NULL;
		if (!c->command[0])
			die(c->label, EINVAL);
	}
}

static double once(const struct candidate *c)
{
	double begin = now_us();

	wait_for(spawn(c->command, -1, c->code != 0), c->label, c->code);
	return now_us() - begin;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char *argv[])
{
	int rounds = argc > 3 ? atoi(argv[1]) : 0;

	if (rounds < 1) {
		fprintf(stderr, "usage: alternate ROUNDS LABEL[=CODE] "
				"COMMAND... [+ LABEL[=CODE] COMMAND...]\n");
		return 2;
	}
	parse(argv + 2);
	for (size_t i = 0; i < count; i++) {
		candidates[i].times_us = calloc((size_t)rounds, sizeof(double));
		if (!candidates[i].times_us)
			die("times", ENOMEM);
	}
	for (int n = -(rounds + 9) / 10; n < rounds; n++)
		for (size_t i = 0; i < count; i++) {
			double t = once(&candidates[i]);

			if (n >= 0)
				candidates[i].times_us[n] = t;
		}
	for (size_t i = 0; i < count; i++) {
		double *t = candidates[i].times_us;

		qsort(t, (size_t)rounds, sizeof(*t), compare);
		printf("%s %.1f %.1f %.1f %.1f\n", candidates[i].label,
		       t[rounds / 2], t[rounds / 4], t[rounds * 3 / 4], t[0]);
	}
	return 0;
}
