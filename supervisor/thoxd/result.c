/*
 * Step 9: a wait status becomes a reason and a sentence.
 */

#include "thoxd/result.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/exit.h"
#include "base/util.h"
#include "thoxd/syscall_name.h"

void result_bytes_text(uint64_t bytes, char ret[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB" };
	double value = (double)bytes;
	size_t i = 0;

	while (value >= 1024 && i + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		i++;
	}
	snprintf(ret, 32, "%.4g %s", value, units[i]);
}

void result_ms_text(uint64_t ms, char ret[32])
{
	if (ms < 1000)
		snprintf(ret, 32, "%u ms", (unsigned)ms);
	else
		snprintf(ret, 32, "%.6g s", (double)ms / 1000);
}

static void memory_limit(const struct result_facts *f, struct result *r)
{
	char limit[32];

	result_bytes_text(f->memory_bytes, limit);
	r->reason = "memory-limit";
	snprintf(r->detail, sizeof(r->detail),
		 "the memory limit of %s was reached", limit);
}

static void cpu_limit(const struct result_facts *f, struct result *r)
{
	char limit[32];

	result_ms_text(f->cpu_ms, limit);
	r->reason = "cpu-limit";
	snprintf(r->detail, sizeof(r->detail),
		 "the CPU time limit of %s was reached", limit);
}

static void wall_limit(const struct result_facts *f, struct result *r)
{
	char limit[32];

	result_ms_text(f->wall_ms, limit);
	r->reason = "wall-limit";
	snprintf(r->detail, sizeof(r->detail),
		 "the time limit of %s was reached", limit);
}

static void sandbox(const struct result_facts *f, struct result *r)
{
	const char *name = NULL;

	r->reason = "sandbox";
	if (f->report == REPORT_TRAP)
		name = syscall_name(f->report_detail);
	if (name)
		snprintf(r->detail, sizeof(r->detail),
			 "the system call %s is not allowed", name);
	else if (f->report == REPORT_TRAP)
		snprintf(r->detail, sizeof(r->detail),
			 "system call number %llu is not allowed",
			 (unsigned long long)f->report_detail);
	else
		snprintf(
			r->detail, sizeof(r->detail),
			"a forbidden system call; the kernel ended it at once");
}

static void say(struct result *r, const char *reason, const char *detail)
{
	r->reason = reason;
	snprintf(r->detail, sizeof(r->detail), "%s", detail);
}

static void by_cause(const struct result_facts *f, struct result *r)
{
	switch (f->cause) {
	case CAUSE_KILLED:
		say(r, "killed", "it was killed");
		break;
	case CAUSE_TERMINATED:
		say(r, "terminated",
		    "it was asked to end, did not, and was killed");
		break;
	case CAUSE_WALL:
		wall_limit(f, r);
		break;
	case CAUSE_CPU:
		cpu_limit(f, r);
		break;
	case CAUSE_TRAP:
		sandbox(f, r);
		break;
	case CAUSE_PROTOCOL:
		say(r, "sandbox", "it sent thoxd what is not a message");
		break;
	case CAUSE_SHUTDOWN:
		say(r, "killed", "thox is shutting down");
		break;
	case CAUSE_NONE:
		if (f->report == REPORT_MEMORY)
			memory_limit(f, r);
		else
			say(r, "killed",
			    "killed from outside of thox, perhaps because "
			    "the machine was out of memory");
	}
}

static bool is_crash(int signal)
{
	return signal == SIGSEGV || signal == SIGBUS || signal == SIGABRT ||
	       signal == SIGILL || signal == SIGFPE || signal == SIGTRAP;
}

static void by_signal(const struct result_facts *f, struct result *r)
{
	if (r->code == SIGKILL) {
		by_cause(f, r);
	} else if (r->code == SIGSYS) {
		sandbox(f, r);
	} else if (r->code == SIGXCPU) {
		cpu_limit(f, r);
	} else if (f->report == REPORT_MEMORY) {
		memory_limit(f, r);
	} else {
		r->reason = "signal";
		snprintf(r->detail, sizeof(r->detail), "%s SIG%s (%s)",
			 is_crash(r->code) ? "the Lua interpreter crashed:"
					   : "died of",
			 sigabbrev_np(r->code) ? sigabbrev_np(r->code) : "?",
			 strsignal(r->code));
	}
}

static void by_code(const struct result_facts *f, struct result *r)
{
	r->reason = "exit";
	if (r->code == EXIT_LUA_ERROR && f->report == REPORT_ERROR)
		r->reason = "error";
	else if (r->code == EXIT_INTERRUPTED && f->report == REPORT_INTERRUPTED)
		say(r, "interrupted", "it was interrupted");
	else if (r->code == EXIT_TERMINATED && f->report == REPORT_TERMINATED)
		say(r, "terminated", "it was asked to end");
	else if ((r->code == EXIT_MEMORY || r->code == EXIT_LUA_ERROR) &&
		 f->report == REPORT_MEMORY)
		memory_limit(f, r);
	else if (r->code == EXIT_LIMIT && f->cause == CAUSE_CPU)
		cpu_limit(f, r);
	else if (r->code == EXIT_SANDBOX && f->report == REPORT_TRAP)
		sandbox(f, r);
}

void result_classify(const struct result_facts *f, struct result *ret)
{
	*ret = (struct result){ .signalled = WIFSIGNALED(f->status) };
	ret->code =
		ret->signalled ? WTERMSIG(f->status) : WEXITSTATUS(f->status);
	if (ret->signalled)
		by_signal(f, ret);
	else
		by_code(f, ret);
}
