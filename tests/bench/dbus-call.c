/*
 * A peer of calls: a method call over a message bus, with sd-bus on both
 * sides.
 *
 * usage: dbus-call BYTES COUNT ROUNDS
 * The bus is that of DBUS_SESSION_BUS_ADDRESS. Prints for each round the
 * microseconds of one of COUNT calls with a string of BYTES, which comes back.
 */

#include <signal.h>
#include <systemd/sd-bus.h>

#include "spawn.h"

#define NAME   "thox.Bench"
#define OBJECT "/thox/Bench"

static void check(const char *what, int r)
{
	if (r < 0)
		die(what, -r);
}

static sd_bus *open_bus(void)
{
	sd_bus *bus = NULL;

	check("sd_bus_open_user", sd_bus_open_user(&bus));
	return bus;
}

static int on_echo(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *text;
	int r = sd_bus_message_read(m, "s", &text);

	(void)userdata;
	(void)error;
	return r < 0 ? r : sd_bus_reply_method_return(m, "s", text);
}

static const sd_bus_vtable methods[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Echo", "s", "s", on_echo, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

/* Says on @ready when it can be called. */
_Noreturn static void serve(int ready)
{
	sd_bus *bus = open_bus();
	int r;

	check("sd_bus_add_object_vtable",
	      sd_bus_add_object_vtable(bus, NULL, OBJECT, NAME, methods, NULL));
	check("sd_bus_request_name", sd_bus_request_name(bus, NAME, 0));
	if (write(ready, "", 1) != 1)
		die("write", errno);
	for (;;) {
		r = sd_bus_process(bus, NULL);
		check("sd_bus_process", r);
		if (r == 0)
			check("sd_bus_wait", sd_bus_wait(bus, UINT64_MAX));
	}
}

static void call(sd_bus *bus, const char *text)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *answer = NULL;
	const char *back;

	check("sd_bus_call_method",
	      sd_bus_call_method(bus, NAME, OBJECT, NAME, "Echo", &error,
				 &answer, "s", text));
	check("sd_bus_message_read", sd_bus_message_read(answer, "s", &back));
	if (strcmp(text, back) != 0)
		die("the answer", EBADMSG);
	sd_bus_message_unref(answer);
}

int main(int argc, char *argv[])
{
	unsigned long bytes, count, rounds;
	int ready[2];
	char byte, *text;
	sd_bus *bus;
	pid_t pid;

	if (argc != 4) {
		fprintf(stderr, "usage: dbus-call BYTES COUNT ROUNDS\n");
		return 2;
	}
	bytes = strtoul(argv[1], NULL, 10);
	count = strtoul(argv[2], NULL, 10);
	rounds = strtoul(argv[3], NULL, 10);
	text = malloc(bytes + 1);
	if (!text || pipe(ready) < 0)
		die("to begin", errno);
	memset(text, 'x', bytes);
	text[bytes] = '\0';
	pid = fork();
	if (pid < 0)
		die("fork", errno);
	if (pid == 0)
		serve(ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		die("the server", ECHILD);
	bus = open_bus();
	for (unsigned long round = 0; round <= rounds; round++) {
		double begin = now_us();

		for (unsigned long i = 0; i < count; i++)
			call(bus, text);
		if (round > 0) /* the first warms up */
			printf("%.3f\n", (now_us() - begin) / (double)count);
	}
	kill(pid, SIGKILL);
	sd_bus_flush_close_unref(bus);
	free(text);
	return 0;
}
