# What the Bats tests share: an instance of the test's own, and nothing of it
# left behind.
#
#     load helper
#     setup()    { start_thox; }
#     teardown() { stop_thox; }
#
# THOX_DIR is a directory under mktemp, so tests run side by side. The
# executables are those of the build tree (make check runs in it, or
# THOX_BUILD_DIR names it), or of an installed prefix that THOX_PREFIX names.
#
# In the tests: $THOX_DIR, $mnt (the mount point), thox-exec and thoxctl in
# PATH, $helpers (the tests' own executables).

bats_require_minimum_version 1.5.0

# How long wait_until waits before it calls it a failure, in seconds. Only a
# broken test or program ever waits that long.
: "${WAIT_SECONDS:=30}"

build_dir=${THOX_BUILD_DIR:-$PWD}
# shellcheck disable=SC2034 # for the tests
helpers=$build_dir/tests

if [[ -n ${THOX_PREFIX:-} ]]; then
	PATH=$THOX_PREFIX/bin:$PATH
	unset THOX_LIBEXEC_DIR THOX_DATA_DIR
else
	PATH=$build_dir/bin:$PATH
	export THOX_LIBEXEC_DIR=$build_dir/libexec
	export THOX_DATA_DIR=$build_dir/data
fi
export PATH

thox_sessions=" "

# Nothing of the caller's instance may be reached by mistake.
unset XDG_RUNTIME_DIR XDG_DATA_HOME XDG_STATE_HOME XDG_CONFIG_HOME
unset THOX_NO_AUTOSTART NO_COLOR
export LC_ALL=C.UTF-8

# --- an instance -------------------------------------------------------------

# A directory for an instance, without starting it. Lines given are its
# thoxd.conf.
prepare_thox() {
	THOX_DIR=$(mktemp -d "${TMPDIR:-/tmp}/thox.XXXXXX")
	export THOX_DIR
	# shellcheck disable=SC2034 # for the tests
	mnt=$THOX_DIR/mnt
	[[ $# -eq 0 ]] || printf '%s\n' "$@" >"$THOX_DIR/thoxd.conf"
}

# The same, and started. Returns when it serves.
start_thox() {
	prepare_thox "$@"
	thoxctl status >/dev/null || {
		cat "$THOX_DIR/run/keeper.log" >&2
		return 1
	}
	thox_processes >/dev/null # remembers the session
}

# Shut down, and fail when anything of the instance is left.
stop_thox() {
	local left=0

	[[ -n ${THOX_DIR:-} && -d $THOX_DIR ]] || return 0
	THOX_NO_AUTOSTART=1 timeout 30 thoxctl shutdown >/dev/null 2>&1 || true
	nothing_stays || left=1
	if ((left)) || [[ -z ${BATS_TEST_COMPLETED:-} ]]; then
		show_log
	fi
	sweep
	rm -rf --one-file-system "$THOX_DIR"
	return $left
}

# The instance's own words, for a test that failed.
show_log() {
	local log

	for log in run/keeper.log state/thoxd.log; do
		if [[ -s $THOX_DIR/$log ]]; then
			echo "--- $log"
			tail -n 40 "$THOX_DIR/$log"
		fi
	done >&2
}

# untraced COMMAND...: Bats notes where it is before each command, in some 0.4 ms:
# nearly all of the time of a loop. Who fails in it is said to have failed where
# it was called. Without errexit.
untraced() {
	local ended=0 # not `status`, which `run` sets

	: "${bats_tracing:=$(trap -p DEBUG)}"
	trap - DEBUG
	"$@" || ended=$?
	# not after a failure, when Bats does not either: its line would be lost
	[[ ${BATS_ERROR_STATUS:-0} != 0 ]] || eval "$bats_tracing"
	return "$ended"
}

# PIDs of all processes of this THOX_DIR's instance: those that have it in
# their environment, and all of their sessions (a runner may have none).
thox_processes() {
	untraced find_thox_processes
}

find_thox_processes() {
	local file pid session own

	own=$(session_of $$)
	for file in $(grep -lzxF "THOX_DIR=$THOX_DIR" /proc/[0-9]*/environ 2>/dev/null); do
		pid=${file//[!0-9]/}
		[[ $(<"/proc/$pid/comm") == thox* ]] || continue
		echo "$pid"
		session=$(session_of "$pid")
		if [[ $session -gt 0 && $session != "$own" &&
			$thox_sessions != *" $session "* ]]; then
			thox_sessions+=" $session "
		fi
	done 2>/dev/null
	# of all processes, some of which end meanwhile: the names, which stand
	# in parentheses, left out
	{ cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v sessions="$thox_sessions" '
		{ pid = $1; sub(/.*\) /, "") }
		index(sessions, " " $4 " ") { print pid }'
}

session_of() {
	local stat

	stat=$(<"/proc/$1/stat") || return
	# after the name: state, parent, group, session
	read -r _ _ _ stat _ <<<"${stat##*) }"
	echo "$stat"
}

thox_mounts() {
	awk -v dir="$THOX_DIR/" 'index($5, dir) == 1 { print $5 }' \
		/proc/self/mountinfo
}

no_thox_process() {
	[[ -z $(thox_processes) ]]
}

no_thox_mount() {
	[[ -z $(thox_mounts) ]]
}

# Fail, naming them, when processes or mounts of this instance stay.
nothing_stays() {
	local pid

	wait_until no_thox_process || {
		for pid in $(thox_processes); do
			echo "stays: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
		done
		return 1
	} >&2
	no_thox_mount || {
		echo "stays mounted: $(thox_mounts)" >&2
		return 1
	}
}

# After a failure: whatever is left goes, by PID.
sweep() {
	local mount pids

	pids=$(thox_processes)
	# shellcheck disable=SC2086 # a list
	[[ -z $pids ]] || kill -KILL $pids 2>/dev/null || true
	for mount in $(thox_mounts); do
		umount -l "$mount" 2>/dev/null ||
			fusermount3 -uz "$mount" 2>/dev/null || true
	done
}

# --- programs ----------------------------------------------------------------

# install_program NAME [TEXT]: into the store, from stdin without TEXT. Needs
# neither a mount nor a running instance.
install_program() {
	if [[ $# -gt 1 ]]; then
		printf '%s\n' "$2" | thoxctl store put "programs/$1" - >/dev/null
	else
		thoxctl store put "programs/$1" - >/dev/null
	fi
}

# PID of the running process of program $1; waits for it.
pid_of() {
	wait_until is_running "$1" || return 1
	running_pid "$1"
}

running_pid() {
	thoxctl ps --json | grep -o '{[^}]*}' | grep "\"name\": *\"$1\"" |
		grep -o '"pid": *[0-9]*' | grep -o '[0-9]*$' | head -n 1
}

is_running() {
	[[ -n $(running_pid "$1") ]]
}

is_not_running() {
	! is_running "$1"
}

# --- conditions --------------------------------------------------------------

# wait_until COMMAND...: poll it, with a deadline; more rarely the longer it
# takes.
wait_until() {
	untraced poll_until "$@"
}

poll_until() {
	local deadline=$((SECONDS + WAIT_SECONDS)) pauses=(0.02 0.02 0.03 0.04 0.06)

	until "$@" >/dev/null 2>&1; do
		if ((SECONDS >= deadline)); then
			echo "waited in vain for: $*" >&2
			return 1
		fi
		sleep "${pauses[0]:-0.1}"
		pauses=("${pauses[@]:1}")
	done
}

is_gone() {
	[[ ! -d /proc/$1 ]] || grep -q '^State:.[ZX]' "/proc/$1/status"
}

# The runners that thoxd keeps ready, with a descriptor or two each, are there
# again after those that were taken.
pool_is_full() {
	[[ $(thoxctl --json status | gojq -c '[.zygotes[].pool] | unique') == "[4]" ]]
}

# process_state PID LETTER...: is it in one of these states (ps's letters)?
process_state() {
	local pid=$1 state

	shift
	state=$(awk '/^State:/ { print $2 }' "/proc/$pid/status")
	[[ " $* " == *" $state "* ]]
}

# has_line FILE TEXT: does a line of it hold the text?
has_line() {
	grep -qF -- "$2" "$1"
}

# assert_output_has TEXT...: of the last `run`.
assert_output_has() {
	local text

	for text; do
		# shellcheck disable=SC2154 # of bats
		[[ $output == *"$text"* ]] || {
			printf 'no "%s" in:\n%s\n' "$text" "$output" >&2
			return 1
		}
	done
}

# assert_status N
assert_status() {
	# shellcheck disable=SC2154 # of bats
	[[ $status -eq $1 ]] || {
		printf 'exit code %s instead of %s; output:\n%s\n' "$status" \
			"$1" "$output" >&2
		return 1
	}
}

# fails CODE TEXT COMMAND...: with that exit code, and the text on stderr.
fails() {
	local code=$1 text=$2

	shift 2
	run --separate-stderr "$@"
	echo "$stderr"
	[ "$status" -eq "$code" ]
	[[ $stderr == *"$text"* ]]
}

# --- who and where -----------------------------------------------------------

need_root() {
	[[ $(id -u) -eq 0 ]] || skip "needs root"
}

# May a store be mounted here by this user?
need_mount() {
	if [[ ! -w /dev/fuse ]] ||
		[[ $(id -u) -ne 0 && ! -u $(command -v fusermount3) ]]; then
		skip "this user may not mount here (/dev/fuse)"
	fi
}

# as_user COMMAND...: as an ordinary user with a home and an instance of its
# own (in $user_dir): another user where this one is root.
as_user() {
	local change=()

	prepare_user
	[[ $(id -u) -ne 0 ]] || change=(runuser -u "$user_name" --)
	"${change[@]}" env HOME="$user_dir/home" \
		USER="$user_name" THOX_DIR="$user_dir/thox" \
		THOX_LIBEXEC_DIR="${THOX_LIBEXEC_DIR:+$user_dir/tree/libexec}" \
		THOX_DATA_DIR="${THOX_DATA_DIR:+$user_dir/tree/data}" \
		PATH="$user_dir/tree:$PATH" "$@"
}

# What a subshell (`run as_user …`) made is known to the test by a file.
find_user() {
	if [[ -z ${user_dir:-} && -s $BATS_TEST_TMPDIR/user ]]; then
		user_dir=$(<"$BATS_TEST_TMPDIR/user")
	fi
}

# A copy of the executables, since a build tree under /root is not for all.
prepare_user() {
	user_name=${THOX_TEST_USER:-nobody}
	find_user
	[[ -z ${user_dir:-} ]] || return 0
	user_dir=$(mktemp -d "${TMPDIR:-/tmp}/thox-user.XXXXXX")
	echo "$user_dir" >"$BATS_TEST_TMPDIR/user"
	mkdir "$user_dir/home" "$user_dir/thox" "$user_dir/tree"
	if [[ -z ${THOX_PREFIX:-} ]]; then
		cp "$build_dir"/{thox-exec,thoxctl} "$user_dir/tree/"
		cp -rL "$build_dir/libexec" "$user_dir/tree/"
		cp -rL "$build_dir/data" "$user_dir/tree/"
	fi
	[[ $(id -u) -ne 0 ]] || chown -R "$user_name" "$user_dir"
}

# Shut the user's instance down and remove what as_user made.
forget_user() {
	local THOX_DIR left=0

	find_user
	[[ -n ${user_dir:-} ]] || return 0
	THOX_DIR=$user_dir/thox
	as_user env THOX_NO_AUTOSTART=1 timeout 30 thoxctl shutdown \
		>/dev/null 2>&1 || true
	nothing_stays || left=1
	sweep
	rm -rf --one-file-system "$user_dir"
	rm -f "$BATS_TEST_TMPDIR/user"
	unset user_dir
	return $left
}
