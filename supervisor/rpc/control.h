#pragma once

/*
 * The messages of the control links: between a client and thoxd, between
 * thoxd and a zygote, between thoxd and a runner.
 *
 * Each is a MessagePack array whose first item is the kind. A field written
 * `name?` may be left out at the end of its array. Maps carry optional
 * fields: a key that is not known is ignored, so that both sides may learn
 * new ones; a value of the wrong type is an error. Unknown kinds are refused
 * (the link is closed), since these links join parts of one release; hello
 * carries the version and is sent first by both sides of a client's link.
 *
 * Times are in the unit that their name ends with. Names of programs are
 * name_parse() references. Who may send what is in the comment; whatever a
 * runner or a zygote sends is hostile until checked.
 */

#define CONTROL_VERSION 1

/* Sizes that a peer can reach. */
#define CONTROL_ARGS_MAX      1024U
#define CONTROL_ENV_MAX	      1024U
#define CONTROL_NAMES_MAX     16384U	 /* of a command */
#define CONTROL_MESSAGE_BYTES (4U << 20) /* args and env together */
#define CONTROL_RUNNER_BYTES  (1U << 20) /* one message from a runner */
#define CONTROL_EVAL_BYTES    (1U << 20)

/* A runner maps this much for each task beside its program's memory. */
#define CONTROL_TASK_STACK_BYTES (512U << 10)

enum control_kind {
	/* [0, version, software] both directions, first; to a client that
	 * only waits for its run's CONTROL_RESULT not before a second or two
	 * have passed, and where that comes sooner, not at all */
	CONTROL_HELLO = 0,

	/* --- client to thoxd --- */

	/*
	 * [16, {…}] + stdin, stdout, stderr, text?: start a program; one run
	 * for a connection. Keys:
	 *   name          reference as typed (`hello`, `cc#worm@3`); with
	 *                 `text`: the name to show, checked for nothing
	 *   text          true: a fourth descriptor holds the text
	 *   file          with `text`: the canonical path that it was read from,
	 *                 when that lies in a FUSE mount. Where that is this
	 *                 instance's own `programs/NAME`, NAME is run instead
	 *   runtime       name; default: `#`, the text's first line, `native`
	 *   args          array of str
	 *   env           map of str to str: the whole environment it gets
	 *   memory_bytes, cpu_ms, wall_ms     limits; default: the instance's
	 *   demand_stdin  true: stdin is a demand socket (below)
	 *   interactive   true: a prompt; CONTROL_EVAL brings the texts
	 *   expression    true: the values that the text returns are printed; a
	 *                 text that is no chunk but an expression returns its
	 *   rows, columns of the terminal, when stdout is one
	 *   allow, deny   maps of kind ("call", "bind", "run", "store") to an
	 *                 array of patterns: narrows the instance's [exec]
	 *                 policy for this run
	 *   background    true: `thox-exec -d`: the run outlives this
	 *                 connection as a transient service; CONTROL_STARTED
	 *                 comes when the program serves (its main function has
	 *                 returned, or it has bound a name) and is then the
	 *                 last message. A program that ends before that is told
	 *                 by CONTROL_RESULT.
	 *   service       with `background`: the name that it gets, `NAME` or
	 *                 `NAME:INSTANCE`; default: the program's
	 */
	CONTROL_RUN = 16,
	/* [17, signal, rows?, columns?]: to this connection's run; signal is
	 * "interrupt", "terminate", "kill", "pause", "resume", "resize" or
	 * "reload" */
	CONTROL_SIGNAL = 17,
	/* [18, id, verb, {…}] + descriptors: a command, see request.c */
	CONTROL_REQUEST = 18,
	/* [19, text]: to an interactive run; answered by CONTROL_EVALUATED */
	CONTROL_EVAL = 19,

	/*
	 * [20, {…}]: this connection speaks for a native process from now on
	 * and gets the kinds from 80 on, in both directions, as a runner does.
	 * Keys: name (what others see as its program). Answered by
	 * CONTROL_REPLY with id 0.
	 */
	CONTROL_ATTACH = 20,

	/* --- thoxd to client --- */

	/* [24, pid, name, version, runtime, service?]: with `background`: it
	 * serves, and goes on without this connection */
	CONTROL_STARTED = 24,
	/*
	 * [25, {…}]: the run has ended; the last message. Keys:
	 *   code | signal     from the wait status
	 *   reason            "exit", "error" (uncaught Lua error), "signal",
	 *                     "interrupted", "terminated", "killed",
	 *                     "memory-limit", "cpu-limit", "wall-limit",
	 *                     "sandbox"
	 *   detail            a sentence for a person: the limit with its
	 *                     value, the system call's name
	 *   pid, name, version, runtime
	 *   user_us, system_us, wall_us, memory_bytes (peak resident)
	 */
	CONTROL_RESULT = 25,
	/* [26, id, status, value]: value is the message unless status is OK */
	CONTROL_REPLY = 26,
	/* [27, status, message, hint?]: the run could not begin; the last
	 * message. NOT_FOUND: no such program (hint: a near name); DENIED;
	 * INVALID; TOO_LARGE; ERROR */
	CONTROL_REFUSED = 27,
	/* [28, ok]: the interactive text was run, its output is written */
	CONTROL_EVALUATED = 28,
	/* [29, text]: a line for the user's standard error, such as that the
	 * newest text of the program was refused and which version runs */
	CONTROL_NOTICE = 29,

	/* --- thoxd to runner --- */

	/*
	 * [32, {…}] + stdin, stdout, stderr, text: run it. Keys: name, version,
	 * args (str, and contexts of which CONTROL_HOLD came before), env, memory_bytes, cpu_ms, demand_stdin, interactive,
	 * expression, rows, columns, label (this machine's), service (absent:
	 * none), tasks (how many it may have), descriptors (likewise),
	 * messages (calls that may wait in it; absent: as many as may), secrets
	 * (a map of str to str; absent: none).
	 */
	CONTROL_START = 32,
	/* [33, signal, rows?, columns?]: "interrupt", "terminate", "resize",
	 * "reload" (of a service whose definition says reload = event), "wake"
	 * (nothing but that the link is to be read) */
	CONTROL_EVENT = 33,
	/* [34, id, status, name | message] + text when OK: a library */
	CONTROL_LIBRARY = 34,
	/* [35, text] */
	CONTROL_EVALUATE = 35,

	/* --- runner to thoxd --- */

	/* [40, what, detail]: why it is about to end: what is "trap" (detail:
	 * the system call's number), "memory" (the limit in bytes), "error"
	 * (nil), "interrupted" (nil), "terminated" (nil), "crash" (nil).
	 * Believed for messages only: the wait status decides. */
	CONTROL_REPORT = 40,
	/* [41, id, name]: `require` asks for a library */
	CONTROL_WANT_LIBRARY = 41,
	/* [42, ok] */
	CONTROL_EVALUATE_DONE = 42,
	/* [43]: confined and rehearsed: may be handed a start */
	CONTROL_RUNNER_READY = 43,
	/* [47, number]: CONTROL_AGAIN of that number was heard: what is asked
	 * from here on is asked again, and what was asked before is not to be
	 * answered */
	CONTROL_AGAIN_HEARD = 47,
	/* [45, number]: stdin (0), stdout (1) or stderr (2) is closed: thoxd,
	 * which keeps copies for children, closes its own */
	CONTROL_STREAM_CLOSED = 45,

	/* --- thoxd to zygote --- */

	/*
	 * [48, {…}] + text?: the first message. Keys: runtime (name), version,
	 * uid (0: keep), memory_bytes (for loading the runtime). The
	 * descriptor holds the runtime's text; `native` has none.
	 */
	CONTROL_SETUP = 48,
	/* [49, token] + control link end: make a runner */
	CONTROL_FORK = 49,
	/* [50]: the uid and gid maps are written */
	CONTROL_MAPPED = 50,

	/* --- zygote to thoxd --- */

	/* [56]: the user namespace is there and wants its maps */
	CONTROL_MAP = 56,
	/* [57, {…}]: ready to fork. Keys: lua (version text), landlock_abi,
	 * mdwe (bool), layers (array of str) */
	CONTROL_ZYGOTE_READY = 57,
	/* [58, token, pid] + pidfd */
	CONTROL_FORKED = 58,
	/* [59, token, errno]: no runner for that token */
	CONTROL_FORK_FAILED = 59,
	/* [60, what, message]: cannot serve: what is "layer" (message names
	 * the sandbox layer and the error) or "runtime" (its text failed);
	 * the last message */
	CONTROL_ZYGOTE_FAILED = 60,

	/* --- contexts: a process (runner or native) to thoxd --- */

	/*
	 * A process numbers the contexts that it owns itself, from 1 on. thoxd
	 * numbers links, machine-wide and never again: a link is one holder's
	 * way to one owner's context, and both ends know its number. A link
	 * whose other end is thoxd itself carries no socket for what is shared
	 * over it: thoxd keeps the right, and makes the link when it hands the
	 * context on (process.run, a push to the bus).
	 *
	 * [80]: a link for context 0, wanted at the first use: answered by
	 * CONTROL_HOLD with the zero key.
	 */
	CONTROL_WANT_ZERO = 80,
	/*
	 * [81, id, context, to, {…}?]: whoever is at the other end of link `to`
	 * shall hold this context of mine; answered by CONTROL_SHARED. Keys:
	 *   joined           true: CONTROL_OPENED of that link may be the answer
	 * and of thox-storaged alone: with the context goes a descriptor of the
	 * stream of whom `to` acts as, which thoxd opens, if it may have one;
	 * else the context goes alone.
	 *   inode            which file that has to be; absent: none is to go
	 *   limit_bytes      it must not grow over it
	 *   write            true: to be written, too
	 */
	CONTROL_SHARE_OWN = 81,
	/* [82, id, link, to]: the same for a context that I hold by `link`; its
	 * grant is passed on, never more */
	CONTROL_SHARE_HELD = 82,
	/* [83, id, context, pid]: that holder of my context loses it, and all
	 * who got it through that holder; answered by CONTROL_REVOKED */
	CONTROL_REVOKE = 83,
	/* [84, link]: this link is closed at this end, or its end was seen;
	 * thoxd forgets it. Its sharers' links stay. */
	CONTROL_LINK_CLOSED = 84,
	/* [85, context]: all of this context's links are closed */
	CONTROL_CONTEXT_CLOSED = 85,
	/* [86, id]: a pipe; answered by CONTROL_PIPE */
	CONTROL_WANT_PIPE = 86,
	/* [87, pipe, end]: this end ("reader" or "writer") is closed here, and
	 * will be handed to nobody */
	CONTROL_PIPE_CLOSED = 87,
	/*
	 * [44, what, text?]: for the supervisor. what is "ready" (os.ready),
	 * "alive" (os.alive), "serving" (the main function has returned, the
	 * process goes on), "left" (after CONTROL_MOVE: nobody calls any more)
	 */
	CONTROL_NOTIFY = 44,

	/* [46, id, calls, waiting, idle_ms]: answers CONTROL_WANT_USE: calls
	 * that it has received in all, those that wait to be answered, and how
	 * long it is since the last one came (it means nothing if none has) */
	CONTROL_USE = 46,

	/* --- contexts: thoxd to a process --- */

	/*
	 * [88, link, {…}] + fd: somebody holds a context of yours. Keys:
	 *   context          which; absent: they call a name that is bound
	 *   name             the bound name, when there is no context
	 *   pid, program, service     who; the latter two may be absent
	 *   answers          the id of the CONTROL_SHARE_OWN (with `joined`)
	 *                    that asked for it: it was done, the receiver was
	 *                    sent its end before, and no CONTROL_SHARED comes
	 *   storage          to thox-storaged, of who calls by its name: the
	 *                    program whose storage it has; absent: none
	 *   storage_bytes    how many may be there; absent: not said
	 *   storage_since    when another program of that name gave way to this
	 *                    one, in nanoseconds; absent: none did
	 *   grants           array of [allow, deny], each an array of patterns:
	 *                    a name is admitted when every pair admits it: an
	 *                    allow pattern does and no deny pattern does. Other
	 *                    names are answered DENIED. Absent: all are
	 *                    admitted.
	 */
	CONTROL_OPENED = 88,
	/*
	 * [89, link, {…}] + fd, file?: you hold a context. A process that calls a name
	 * of its own is at both ends of that link, and is told OPENED, too. One
	 * that asked for context 0 and cannot have it gets a closed end. Keys:
	 *   zero             true: it is context 0
	 *   resolves         true: its other end is thoxd: ask WIRE_RESOLVE
	 *                    before the first call of a name
	 *   pid              its owner, when thoxd is not
	 *   over             the link over which a message will name it; absent:
	 *                    the start message has named it, behind which this
	 *                    comes. In one
	 *                    that comes over another link it means nothing: or
	 *                    whoever guesses numbers could have a process use
	 *                    contexts of its own in their stead
	 *   file             true: a second descriptor is there, of what the
	 *                    context stands for. To a runner alone
	 */
	CONTROL_HOLD = 89,
	/* [90, id, status, link | message]: link is what the message to the
	 * receiver carries; the receiver was sent its end before */
	CONTROL_SHARED = 90,
	/* [91, id, status, [link…] | message]: close these ends; id 0: nobody
	 * has asked, such as when he is gone in whose name they are held */
	CONTROL_REVOKED = 91,
	/* [92, prefix]: what was resolved for names at or below it, or above
	 * it, may be wrong now: resolve again; pending calls go on */
	CONTROL_FORGET = 92,
	/* [93, pid, code?, signal?]: a child has ended; the other is nil */
	CONTROL_CHILD_ENDED = 93,
	/* [94, id, status, number | message] + reader, writer when OK */
	CONTROL_PIPE = 94,
	/* [95, on, name?] + socket when on: write a record for each message
	 * that comes or goes (of this name and below it), until off or the
	 * socket's end; see TRACE_… below */
	CONTROL_TRACE = 95,
	/* [96, name]: another instance has taken the name over: send `moved`
	 * on each link of it; when all have answered and no call is pending,
	 * say CONTROL_NOTIFY "left" */
	CONTROL_MOVE = 96,
	/* [97, id]: to a runner: how was it called? Answered by CONTROL_USE */
	CONTROL_WANT_USE = 97,
	/*
	 * [98, number]: to a service's process: this is another thoxd. What
	 * was asked over this link and is not answered is to be asked again,
	 * behind CONTROL_AGAIN_HEARD; all children have ended. On a link to
	 * thoxd (context 0) a WIRE_HELLO with the key `again` (a number) among
	 * its limits says the same: it is answered by a hello with that key,
	 * and what was called and not answered is called again behind it.
	 */
	CONTROL_AGAIN = 98,
};

/*
 * What is written to a trace's socket, a record each: [time, what, …], time of
 * CLOCK_REALTIME in microseconds. Dropped, not waited for, when it is full.
 *   "call"    link, cid, out (bool), pid of the other end or nil, name, bytes
 *   "answer"  link, cid, out, status, microseconds since the call, bytes
 *   "push"    link, out, pid or nil, name, bytes
 *   "cancel"  link, cid, out
 *   "lost"    how many records were dropped before this one
 */

/*
 * A pattern of names: dotted like a name, where `*` stands for one part and
 * `**`, at the end only, for any number of parts, none included. `fs.read`
 * admits that name alone.
 */

/*
 * The commands of CONTROL_REQUEST, their arguments and the value of an OK
 * reply. thoxctl shows a value as it comes, key by key, so a new key needs no
 * change there; a key that ends in _bytes, _us or _ms is shown for people as
 * a size or a time.
 *   ps         {} -> [{pid, name, version, runtime, service (or nil), state,
 *              started_ms (time of day), cpu_us, memory_bytes}, …]; state: "running",
 *              "paused", "starting", "ending"
 *   status     {} -> {software, pid, keeper_pid, uptime_ms, restarts, mount,
 *              store, lua, kernel, processes, sandbox: {layer: text}, …}
 *   status     {pid} -> what ps tells of it, limits: {…}, sandbox: {…} as
 *              the kernel tells it
 *   top        {} -> {time_us (of no clock that is known, never set), rows: [
 *              {name, kind, state, why, template, restarts, wanted, running,
 *              processes: [{pid, cpu_us, memory_bytes, calls, waiting,
 *              counted_us}, …]}, …]}: services, and what else runs; kind:
 *              "service", "background" (thox-exec -d) or "process", of which
 *              each is a row. calls and waiting are what the process said at
 *              counted_us of that clock; 0: it has said nothing yet. It is
 *              asked by this command, and the next one has the answer.
 *   kill, terminate, pause, resume     {pid | name} -> {pids: […]}; a name
 *              means every process of that program or service; NOT_FOUND: none
 *   mount      {dir?} -> {dir}      dir is absolute
 *   unmount    {dir?} -> {dir}
 *   logs.sync  {} -> nil: when what services have printed is in their logs;
 *              late, or never, if thox-logd is
 *   label      {name?} -> {label}     with a name: that is it from now on
 *   bus        {} -> [{name, pid, program, service, fallback, calls?}, …]
 *   tree       {} -> [{pid, parent (0: nobody), name, program, service,
 *              runtime, state, binds: [name, …],
 *              callers: [{name, holders: [pid, …]}, …], contexts: [{context,
 *              holders: [pid, …]}, …]}, …]; program, service and runtime
 *              may be absent
 *   trace      {pid | name} -> {} + socket: the records above come there
 *   events     {} -> {} + socket: a record for each event comes there, a map
 *              with type and time_ms: service {service, from, state, why, pid,
 *              restarts}, started {pid, name, version, runtime, service},
 *              ended {pid, name, service, code | signal, reason, detail},
 *              published, rejected, removed {directory, name, version}, lost
 *              {count}: that many had no room before this one
 *   service.start, service.stop, service.restart, service.try-restart,
 *   service.reload, service.reset
 *              {names, dry_run?, no_wait?, until_end?} -> [{name, ok, state, message}, …]
 *              when each is as was asked, or cannot be; without waiting for
 *              that when no_wait; with until_end, once started, not before
 *              they have ended. A name may be a pattern with *, ? and […].
 *              With dry_run -> [{name, action ("stop", "start"), wave}, …]:
 *              what would be done, in order; equal waves side by side. Runs
 *              in the background (`transient` in what list tells) have no
 *              definition: of the orders, they know service.stop alone
 *   service.enable, service.disable     {names} -> [{name, enabled}, …]
 *   service.list   {names?} -> [{name, description, state, …}, …]
 *   service.status {names} -> the same, with the instances of each and what is
 *              known of their last ends
 *   reexec     {} -> {pid, ends}: thoxd ends, to be started again as what is
 *              installed now; ends: how many processes that are no services'
 *              end with it. The link's end follows.
 *   shutdown   {} -> nil, sent at once; the link's end means that all is gone
 */

/*
 * Starting an instance: a client that finds nobody at the control socket
 * makes the run directory, takes flock on `run/start.lock`, tries once more,
 * and executes `thox-keeper [--system]` in a new session with a clean
 * environment: stdin is /dev/null, stderr `run/keeper.log`, stdout a pipe.
 * The keeper writes `ready` and a line feed there when thoxd serves, or lines
 * that say why it cannot be, and gives the pipe up; thoxd must not inherit
 * it beyond that.
 */
#define CONTROL_START_LOCK "start.lock"
#define CONTROL_KEEPER_LOG "keeper.log"
#define CONTROL_READY	   "ready\n"

/*
 * A demand socket: what a runner gets for stdin when the user's stdin is a
 * terminal. SOCK_SEQPACKET; the runner sends one byte `r` and then receives
 * one record: `d` and the bytes of a line, or `e` alone at end of file. So
 * the terminal is read only while the program waits for it, and by
 * thox-exec, which obeys job control.
 */
#define DEMAND_READ 'r'
#define DEMAND_DATA 'd'
#define DEMAND_END  'e'
