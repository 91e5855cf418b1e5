/*
 * Steps 7 and 8, from outside: what a run is told while it runs.
 */

#include <errno.h>
#include <signal.h>

#include "rpc/control.h"
#include "rpc/status.h"
#include "thoxd/run.h"
#include "thoxd/run_limit.h"
#include "thoxd/runner.h"

static int send_event(struct run *run, enum run_signal signal, uint64_t rows,
		      uint64_t columns)
{
	bool resize = signal == RUN_RESIZE;
	uint8_t buf[64];
	struct mp_writer w;

	if (!run->runner)
		return -ESRCH;
	mp_writer_init(&w, buf, sizeof(buf));
	mp_write_array(&w, resize ? 4 : 2);
	mp_write_uint(&w, CONTROL_EVENT);
	mp_write_str(&w, run_signal_name[signal]);
	if (resize) {
		mp_write_uint(&w, rows);
		mp_write_uint(&w, columns);
	}
	return peer_send(&run->runner->peer, &w, NULL, 0);
}

static int pause_or_resume(struct run *run, bool pause)
{
	int r;

	if (!run->runner || !run->born)
		return -ESRCH;
	r = process_signal(&run->runner->process, pause ? SIGSTOP : SIGCONT);
	if (r == 0)
		run->paused = pause;
	return r;
}

static int terminate(struct run *run)
{
	int r = send_event(run, RUN_TERMINATE, 0, 0);

	if (r < 0)
		return r;
	run->terminating = true;
	if (run->paused)
		(void)pause_or_resume(run, false);
	run_limits_grace(run);
	return 0;
}

int run_signal(struct run *run, enum run_signal signal, uint64_t rows,
	       uint64_t columns)
{
	if (!run->runner && (signal == RUN_RESIZE || signal == RUN_RELOAD))
		return 0;
	if (!run->runner && (signal == RUN_PAUSE || signal == RUN_RESUME))
		return -ESRCH;
	if (!run->runner) {
		run_refuse(run, STATUS_ERROR, "it was ended before it began",
			   NULL);
		return 0;
	}
	switch (signal) {
	case RUN_INTERRUPT:
	case RUN_RESIZE:
	case RUN_RELOAD:
		return send_event(run, signal, rows, columns);
	case RUN_TERMINATE:
		return terminate(run);
	case RUN_PAUSE:
	case RUN_RESUME:
		return pause_or_resume(run, signal == RUN_PAUSE);
	case RUN_KILL:
		run_kill(run, CAUSE_KILLED);
		return 0;
	case RUN_SIGNAL_COUNT:
		break;
	}
	return -EINVAL;
}

int run_eval(struct run *run, struct mp_bytes text)
{
	struct mp_writer w;
	int r;

	if (!run->interactive || !run->runner)
		return -EPROTO;
	mp_writer_init_heap(&w);
	mp_write_array(&w, 2);
	mp_write_uint(&w, CONTROL_EVALUATE);
	mp_write_strn(&w, text.p, text.size);
	r = peer_send(&run->runner->peer, &w, NULL, 0);
	mp_writer_deinit(&w);
	return r;
}
