#pragma once

/*
 * The messages between thoxd and its keeper, framed as on every link.
 *
 * The keeper knows nothing of programs: it starts executables by role,
 * reaps every process of the instance, and keeps descriptors by name for a
 * thoxd that is not there yet. thoxd's descriptors: 3 this link, 4 the
 * listening control socket.
 */

#define KEEPER_LINK_FD	    3
#define KEEPER_CONTROL_FD   4
#define KEEPER_ARGS_MAX	    32U
#define KEEPER_KEPT_MAX	    65536U /* names that are kept */
#define KEEPER_RECORD_BYTES 32768U
#define KEEPER_ENV_MAX	    16U
#define KEEPER_NAME_BYTES   128
#define KEEPER_STATE_BYTES  65536U

enum keeper_kind {
	/* --- thoxd to keeper --- */

	/* [64, token, role, [argument…], [number…], {name: value}] + fds:
	 * start the role's executable with these arguments after its name,
	 * each descriptor at its number, and these additions to the
	 * environment. Roles: "zygote" (gets only these additions as its
	 * environment), "thoxfs", "logd", "storaged", "fusermount3". Numbers
	 * are 0 or from 3. */
	KEEPER_SPAWN = 64,
	/* [65, name, record, pid] + fds: keep all of it until it is dropped;
	 * replaces. A child whose PID is kept (0: none) is not killed when
	 * thoxd dies, and its exit is told to every thoxd until it is dropped.
	 * The record is thoxd's own business. */
	KEEPER_KEEP = 65,
	/* [66, name]: its process, if it lives, is no different from others
	 * any more */
	KEEPER_DROP = 66,
	/* [67, bytes]: thoxd's state, given back to the next one */
	KEEPER_STATE = 67,
	/* [68]: end everything, thoxd last, then leave */
	KEEPER_SHUTDOWN = 68,
	/* [69]: clients are served; the keeper tells its starter */
	KEEPER_READY = 69,
	/* [70, message]: cannot serve, for a person; thoxd exits after it.
	 * A keeper whose thoxd was never ready passes it on and leaves. */
	KEEPER_FAILED = 70,
	/* [71]: thoxd exits after this to be started again, perhaps as a new
	 * executable: that is no failure */
	KEEPER_REEXEC = 71,

	/* --- keeper to thoxd --- */

	/* [72, token, pid] + pidfd */
	KEEPER_SPAWNED = 72,
	/* [73, token, errno] */
	KEEPER_SPAWN_FAILED = 73,
	/* [74, pid, wait status, user_us, system_us, memory_bytes]: reaped;
	 * exits come in the order of reaping, so the oldest process known
	 * under this PID is meant */
	KEEPER_EXITED = 74,
	/* [75, name, record, pid] + fds: one for each name, before begin */
	KEEPER_KEPT = 75,
	/* [76, state, restarts]: go; restarts counts thoxd's earlier lives.
	 * Exits of kept processes that are not dropped yet follow. */
	KEEPER_BEGIN = 76,
};
