/*
 * Step 4: thoxd starts: the supervisor of one instance.
 *
 * acquire (configuration, store) -> loop. What it holds it needs until the
 * end; it parses no program's text and touches nothing below the mount.
 */

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/instance.h"
#include "base/log.h"
#include "base/util.h"
#include "thoxd/label.h"
#include "thoxd/server.h"

static struct server server;
static ev_signal term, interrupt;

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
	(void)loop;
	(void)watcher;
	(void)events;
	server_shutdown(&server);
}

static void on_warning(const char *file, int line, const char *message,
		       void *user)
{
	(void)user;
	log_warnx("%s:%d: %s", file, line, message);
}

static _Noreturn void fail(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* To the log, and to whoever started the instance. */
static _Noreturn void fail(const char *format, ...)
{
	char message[PATH_MAX + 256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	parent_failed(&server.parent, message);
	log_fatalx("%s", message);
}

static void set_log_level(const char *name)
{
	static const char *const names[] = {
		[LOG_LEVEL_FATAL] = "fatal",
		[LOG_LEVEL_WARN] = "warning",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
	};

	for (size_t i = 0; name && i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			log_set_level((enum log_level)i);
}

static void configure(const struct instance *in)
{
	char path[PATH_MAX + 16];
	int r;

	config_init(&server.config, in);
	snprintf(path, sizeof(path), "%s/thoxd.conf", in->config);
	r = config_read(&server.config, path, on_warning, NULL);
	if (r < 0)
		log_warnx("cannot read %s: %s, ignoring", path, strerror(-r));
	set_log_level(server.config.log_level);
	r = config_exec_policy(&server.config, &server.exec);
	if (r < 0)
		fail("section [exec] of %s: %s", path, strerror(-r));
}

static void open_store(const struct instance *in)
{
	const struct config *c = &server.config;
	struct store_options options = {
		.flags = STORE_CREATE,
		.keep = (unsigned)c->keep_versions,
		.file_limit_bytes = c->file_limit_bytes,
		.quota_bytes = c->quota_bytes,
		.builtin_path = instance_data_dir(),
	};
	pid_t holder = 0;
	int r = store_open(in->store, &options, &server.store);

	if (r < 0)
		fail("cannot open the store %s: %s", in->store, strerror(-r));
	r = store_claim(server.store, &holder);
	if (r == -EBUSY)
		fail("the store %s is used by another thoxd (process %d)",
		     in->store, (int)holder);
	/* Nobody else can change it either. */
	if (r == -EROFS)
		log_warnx("the store %s cannot be written: programs run, and "
			  "nothing can be published",
			  in->store);
	else if (r < 0)
		fail("cannot claim the store %s: %s", in->store, strerror(-r));
}

/* Few and small objects: one arena, and what is free goes back early. */
static void limit_memory(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 64 << 10);
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
}

static void handle_signals(void)
{
	fd_ignore_signals();
	signal(SIGHUP, SIG_IGN);
	ev_signal_init(&term, on_signal, SIGTERM);
	ev_signal_init(&interrupt, on_signal, SIGINT);
	ev_signal_start(server.loop, &term);
	ev_signal_start(server.loop, &interrupt);
}

static bool started_by_keeper(void)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	return getsockopt(KEEPER_LINK_FD, SOL_SOCKET, SO_PEERCRED, &who,
			  &size) == 0;
}

int main(int argc, char **argv)
{
	struct instance in;
	bool system = argc > 1 && strcmp(argv[1], "--system") == 0;

	limit_memory();
	log_init("thoxd", LOG_LEVEL_INFO);
	log_set_timestamps(!getenv("JOURNAL_STREAM"));
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		printf("thoxd %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (argc > 2 || (argc > 1 && !system) || !started_by_keeper()) {
		fprintf(stderr, "thoxd is started by thox-keeper, which "
				"thox-exec and thoxctl start; see thoxd(8)\n");
		return 2;
	}
	if (instance_locate(system ? INSTANCE_SYSTEM : INSTANCE_USER, &in) < 0)
		log_fatalx("cannot tell where the instance lives");
	server_init(&server, &in);
	parent_init(&server.parent, &server);
	configure(&in);
	label_init(&server);
	if (services_init(&server.services, &server) < 0)
		log_fatalx("no memory for services");
	open_store(&in);
	handle_signals();
	ev_run(server.loop, 0);
	server_leave(&server);
	return server.exit_code;
}
