/* Options: thox-exec's command line. */

#include "cli/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "base/tap.h"
#include "base/util.h"

/* Words in one string, parted by spaces. */
static int parse(const char *words, struct options *o)
{
	static char text[512];
	static char *argv[32];
	int argc = 0;

	argv[argc++] = (char *)"thox-exec";
	strcpy(text, words);
	for (char *w = strtok(text, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	argv[argc] = NULL;
	optind = 0; /* glibc: start over */
	return options_parse(argc, argv, o);
}

/* Verify that options end where the program begins. */
static void test_what_follows_the_name_is_the_programs(void)
{
	struct options o;

	CHECK(parse("--json hello --memory 1 -e x", &o) == 0);
	CHECK(o.json && !o.text && o.memory_bytes == 0);
	CHECK_STR(o.name, "hello");
	CHECK_STR(o.args[0], "--memory");
	CHECK_STR(o.args[3], "x");
	CHECK(!o.args[4]);
}

/* Verify that a text takes all words as arguments, `-` is a name, and `--`
 * ends the options. */
static void test_texts_and_odd_names(void)
{
	struct options o;

	CHECK(parse("-e return hello", &o) == 0);
	CHECK_STR(o.text, "return");
	CHECK(!o.name);
	CHECK_STR(o.args[0], "hello");
	CHECK(parse("- a", &o) == 0);
	CHECK_STR(o.name, "-");
	CHECK_STR(o.args[0], "a");
	CHECK(parse("-- -x", &o) == 0);
	CHECK_STR(o.name, "-x");
}

/* Verify that every option reaches its field. */
static void test_every_option(void)
{
	struct options o;

	CHECK(parse("-r cc --memory 64M --cpu 1.5 --timeout=2m --env A "
		    "--env B=c --json --system hello",
		    &o) == 0);
	CHECK_STR(o.runtime, "cc");
	CHECK_EQ(o.memory_bytes, 64 << 20);
	CHECK_EQ(o.cpu_ms, 1500);
	CHECK_EQ(o.wall_ms, 120000);
	CHECK_EQ(o.n_env, 2);
	CHECK_STR(o.env[0], "A");
	CHECK_STR(o.env[1], "B=c");
	CHECK(o.json);
	CHECK(o.mode == INSTANCE_SYSTEM);
	CHECK(parse("--system --user x", &o) == 0);
	CHECK(o.mode == INSTANCE_USER);
	CHECK(parse("-d --name web:blue --allow fs.read,fs.list --allow "
		    "bind=web --deny store=** x",
		    &o) == 0);
	CHECK(o.background);
	CHECK_STR(o.service, "web:blue");
	CHECK_EQ(o.n_allow, 2);
	CHECK_STR(o.allow[1], "bind=web");
	CHECK_EQ(o.n_deny, 1);
	CHECK(parse("--background --no-calls x", &o) == 0);
	CHECK(o.background && !o.service);
	CHECK_EQ(o.n_deny, 4);
	CHECK(parse("-i", &o) == 0);
	CHECK(o.interactive);
	CHECK(parse("--help --nonsense", &o) == 0);
	CHECK(o.action == OPTIONS_HELP);
	CHECK(parse("-V", &o) == 0);
	CHECK(o.action == OPTIONS_VERSION);
}

/* Verify that wrong use is found before anything is done. */
static void test_wrong_use(void)
{
	static const char *const bad[] = {
		"",
		"--nonsense x",
		"-q x",
		"-r",
		"-e",
		"--memory",
		"--memory lots x",
		"--cpu 0 x",
		"--timeout -1 x",
		"--env =x hello",
		"-i hello",
		"-i -e x",
		"-e a -e b",
		"--json=1 x",
		"--name a x",
		"-d -i",
		"-d",
		"-d --name= x",
		"--allow= x",
		"--allow fs..read x",
		"--allow **.read x",
		"--allow a,,b x",
		"--allow a, x",
		"--deny read=fs.* x",
		"--deny call= x",
	};
	struct options o;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(parse(bad[i], &o) == -EINVAL);
}

int main(void)
{
	/* what is said there is the Bats tests' to check */
	dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
	RUN(test_what_follows_the_name_is_the_programs);
	RUN(test_texts_and_odd_names);
	RUN(test_every_option);
	RUN(test_wrong_use);
	return tap_done();
}
