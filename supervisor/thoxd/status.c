/*
 * At any step: what is asked about what runs.
 */

#include "thoxd/status.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/util.h"
#include "thoxd/field.h"
#include "thoxd/run.h"
#include "thoxd/runner.h"
#include "thoxd/server.h"
#include "thoxd/zygote.h"

#define PROC_BYTES 8192

/* --- /proc ----------------------------------------------------------------
 */

/* A whole file of /proc/PID, ended by a NUL; "" when there is none. */
static void read_proc(pid_t pid, const char *name, char buf[PROC_BYTES])
{
	_cleanup_(fd_closep) int fd = -1;
	char path[64];
	ssize_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = fd_read_full(fd, buf, PROC_BYTES - 1);
	buf[n > 0 ? n : 0] = '\0';
}

/* The value after `\nKEY:`; false when it is not there. */
static bool proc_field(const char *file, const char *key, char *ret,
		       size_t size)
{
	char wanted[64];
	const char *at;

	snprintf(wanted, sizeof(wanted), "\n%s:", key);
	at = strstr(file, wanted);
	if (!at)
		return false;
	at += strlen(wanted);
	at += strspn(at, " \t");
	snprintf(ret, size, "%.*s", (int)strcspn(at, "\n"), at);
	return true;
}

uint64_t status_cpu_us(pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 ||
	    clock_gettime(clock, &used) < 0)
		return 0;
	return (uint64_t)used.tv_sec * 1000000u +
	       (uint64_t)used.tv_nsec / 1000u;
}

bool status_is_stopped(pid_t pid)
{
	char file[PROC_BYTES], state[32];

	read_proc(pid, "status", file);
	return proc_field(file, "State", state, sizeof(state)) &&
	       state[0] == 'T';
}

uint64_t status_memory_bytes(pid_t pid)
{
	char file[PROC_BYTES];
	unsigned long pages = 0;

	if (pid <= 0)
		return 0;
	read_proc(pid, "statm", file);
	if (sscanf(file, "%*u %lu", &pages) != 1)
		return 0;
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* --- a process ------------------------------------------------------------
 */

#define RUN_FIELDS 9

static void run_fields(struct mp_writer *w, const struct run *run)
{
	pid_t pid = run_pid(run);

	field_number(w, "pid", (uint64_t)pid);
	field_text(w, "name", run->name);
	field_number(w, "version", run->version);
	field_text(w, "runtime", run->runtime);
	mp_write_str(w, "service");
	if (run->service[0])
		mp_write_str(w, run->service);
	else
		mp_write_nil(w);
	field_text(w, "state", run_state(run));
	field_number(w, "started_ms", run->started_ms);
	field_number(w, "cpu_us", status_cpu_us(pid));
	field_number(w, "memory_bytes", status_memory_bytes(pid));
}

void status_write_run(struct mp_writer *w, const struct run *run)
{
	mp_write_map(w, RUN_FIELDS);
	run_fields(w, run);
}

static const char *namespace_text(pid_t pid, const char *kind)
{
	char path[64], theirs[64], ours[64];
	ssize_t n_theirs, n_ours;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	n_theirs = readlink(path, theirs, sizeof(theirs));
	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	n_ours = readlink(path, ours, sizeof(ours));
	if (n_theirs <= 0 || n_ours <= 0)
		return "cannot be read";
	if (n_theirs == n_ours && memcmp(theirs, ours, (size_t)n_ours) == 0)
		return "shared with the machine";
	return "own";
}

static void write_limits(struct mp_writer *w, const struct run *run)
{
	static const struct {
		const char *key;
		const char *line; /* of /proc/PID/limits */
	} rows[] = {
		{ "kernel_cpu_s", "Max cpu time" },
		{ "kernel_address_space_bytes", "Max address space" },
		{ "kernel_open_files", "Max open files" },
		{ "kernel_processes", "Max processes" },
		{ "kernel_stack_bytes", "Max stack size" },
		{ "kernel_core_bytes", "Max core file size" },
	};
	char file[PROC_BYTES], value[64];

	read_proc(run_pid(run), "limits", file);
	mp_write_str(w, "limits");
	mp_write_map(w, 6 + ARRAY_SIZE(rows));
	field_number(w, "memory_bytes", run->memory_bytes);
	field_number(w, "cpu_ms", run->cpu_ms);
	field_number(w, "wall_ms", run->wall_ms);
	field_number(w, "tasks", run->tasks);
	field_number(w, "descriptors", run->descriptors);
	field_number(w, "processes", run->processes);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *at = strstr(file, rows[i].line);

		if (at &&
		    sscanf(at + strlen(rows[i].line), " %63s", value) == 1)
			field_text(w, rows[i].key, value);
		else
			field_text(w, rows[i].key, "cannot be read");
	}
}

static void write_sandbox(struct mp_writer *w, pid_t pid)
{
	static const char *const kinds[] = { "user", "net", "mnt", "ipc",
					     "uts" };
	static const struct {
		const char *key;
		const char *field; /* of /proc/PID/status */
	} rows[] = {
		{ "uid", "Uid" },
		{ "no_new_privs", "NoNewPrivs" },
		{ "seccomp", "Seccomp" },
		{ "seccomp_filters", "Seccomp_filters" },
		{ "capabilities", "CapEff" },
		{ "capabilities_bounding", "CapBnd" },
	};
	char file[PROC_BYTES], value[128], key[32];

	read_proc(pid, "status", file);
	mp_write_str(w, "sandbox");
	mp_write_map(w, ARRAY_SIZE(kinds) + ARRAY_SIZE(rows));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(key, sizeof(key), "namespace_%s", kinds[i]);
		field_text(w, key, namespace_text(pid, kinds[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool there =
			proc_field(file, rows[i].field, value, sizeof(value));

		for (char *p = value; there && *p; p++)
			if (*p == '\t')
				*p = ' ';
		field_text(w, rows[i].key, there ? value : "cannot be read");
	}
}

void status_write_process(struct mp_writer *w, const struct run *run)
{
	mp_write_map(w, RUN_FIELDS + 2);
	run_fields(w, run);
	write_limits(w, run);
	write_sandbox(w, run_pid(run));
}

/* --- the instance ---------------------------------------------------------
 */

static void write_sandbox_offer(struct mp_writer *w, const struct zygote *z)
{
	struct mp_reader r;
	uint32_t n = 0;
	char name[64], abi[64];

	mp_write_str(w, "sandbox");
	if (z && z->layers_size > 0) {
		mp_reader_init(&r, z->layers, z->layers_size);
		n = mp_read_array(&r);
	}
	mp_write_map(w, n + (z && z->lua ? 2 : 0));
	for (uint32_t i = 0; i < n; i++) {
		if (mp_bytes_copy(mp_read_str(&r), name, sizeof(name)) < 0)
			strcpy(name, "?");
		field_text(w, name, "in force");
	}
	if (!z || !z->lua)
		return;
	snprintf(abi, sizeof(abi), "version %u of the kernel's interface",
		 (unsigned)z->landlock_abi);
	field_text(w, "landlock_abi", abi);
	field_text(w, "memory_deny_write_execute",
		   z->mdwe ? "in force" : "not offered by this kernel");
}

static void write_zygotes(struct mp_writer *w, struct server *s)
{
	static const char *const states[] = { "loading", "ready", "retired" };
	struct zygote *z, *after;
	uint32_t n = 0;

	list_each(z, after, &s->zygotes, list) n++;
	mp_write_str(w, "zygotes");
	mp_write_array(w, n);
	list_each(z, after, &s->zygotes, list)
	{
		mp_write_map(w, 8);
		field_number(w, "pid", (uint64_t)z->process.pid);
		field_text(w, "runtime", z->runtime);
		field_number(w, "version", z->version);
		field_text(w, "state", states[z->state]);
		field_number(w, "uid", z->uid ? z->uid : geteuid());
		field_number(w, "starts", z->starts);
		field_number(w, "pool", z->n_pool);
		field_number(w, "processes", z->n_runners);
	}
}

static void write_failures(struct mp_writer *w, struct server *s)
{
	mp_write_str(w, "failed_runtimes");
	zygote_write_failures(w, s);
}

static void write_counters(struct mp_writer *w, const struct counters *c)
{
	mp_write_str(w, "counters");
	mp_write_map(w, 6);
	field_number(w, "starts", c->starts);
	field_number(w, "from_pool", c->pooled);
	field_number(w, "not_started", c->failed);
	field_number(w, "zygotes", c->zygotes);
	field_number(w, "connections", c->connections);
	field_number(w, "refused_connections", c->refused_connections);
}

static void write_mount(struct mp_writer *w, struct server *s)
{
	const struct mount *m = &s->mount;

	mp_write_str(w, "mount");
	if (m->state == MOUNT_SERVED)
		mp_write_str(w, m->point);
	else
		mp_write_nil(w);
	field_text(w, "mount_state",
		   m->error[0]		      ? m->error
		   : m->state == MOUNT_SERVED ? "mounted"
		   : m->state == MOUNT_NONE   ? "not mounted"
					      : "under way");
}

static void write_store(struct mp_writer *w, struct server *s)
{
	struct store_usage usage = { 0 };

	field_text(w, "store", s->instance->store);
	(void)store_usage(s->store, &usage);
	field_flag(w, "store_writable", store_writable(s->store) == 0);
	field_number(w, "store_used_bytes", usage.used_bytes);
	field_number(w, "store_names", usage.names);
	field_number(w, "store_versions", usage.versions);
}

void status_write_server(struct mp_writer *w, struct server *s)
{
	struct zygote *z = zygote_native(s);
	struct utsname kernel = { 0 };

	uname(&kernel);
	mp_write_map(w, 26);
	field_text(w, "software", "thox " PACKAGE_VERSION);
	field_text(w, "label", s->label);
	field_number(w, "pid", (uint64_t)getpid());
	field_number(w, "keeper_pid", (uint64_t)s->keeper_pid);
	field_number(w, "uptime_ms", (clock_ns() - s->started_ns) / 1000000);
	field_number(w, "restarts", s->restarts);
	write_mount(w, s);
	write_store(w, s);
	field_text(w, "run_dir", s->instance->run);
	field_text(w, "log_dir", s->instance->state);
	mp_write_str(w, "log_problem");
	if (s->logs.problem[0])
		mp_write_str(w, s->logs.problem);
	else
		mp_write_nil(w);
	field_text(w, "lua", z && z->lua ? z->lua : "not known yet");
	field_text(w, "kernel", kernel.release);
	field_number(w, "processes", s->n_runs);
	field_number(w, "connections", s->n_clients);
	field_number(w, "names", s->bus.n_providers);
	field_number(w, "links", s->holdings.by_number.count);
	write_sandbox_offer(w, z);
	write_zygotes(w, s);
	write_failures(w, s);
	write_counters(w, &s->counters);
}
