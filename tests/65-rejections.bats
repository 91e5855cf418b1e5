#!/usr/bin/env bats
# A version that fails in its service is taken back: what the store shows may
# come later, and whoever dies in between.

load helper
load services

setup() {
	start_thox
	cd "$THOX_DIR" || return 1
}

teardown() {
	let_go
	cd /
	stop_thox
}

# A program that serves as greeter, and says which one it is; one that is bad
# never does.
serving() {
	printf 'local which = "%s"
' "$1"
	cat <<-'LUA'
		while which == "bad" do os.sleep(60) end
		local daemon = require "daemon"
		function daemon.rpc.greeter.which() return which end
		function daemon.rpc.greeter.check()
			if which == "ill" then error("ill") end
		end
	LUA
}

# A service that goes over to what is published.
greeter() {
	serving one | install_program greeter
	define greeter 'program = greeter' 'ready = bind' 'reload = restart'
	thoxctl start greeter
	[ "$(which_one)" = one ]
}

which_one() {
	thoxctl call greeter.which
}

is_which() {
	[[ $(which_one) == "$1" ]]
}

# A new version is started beside the old one, and does not get ready.
try_bad() {
	serving bad | install_program greeter
	wait_until is_tried
}

is_tried() {
	[[ $(other_pid) -ne 0 ]]
}

other_pid() {
	field greeter 'instances[0].other_pid // 0'
}

# Nobody can write to the store until let_go: a disk that takes its time.
hold_store() {
	mkfifo hold
	python3 - store/.lock held 3>&- <<-'PY' &
		import fcntl, sys
		lock = open(sys.argv[1], "r+b")
		fcntl.lockf(lock, fcntl.LOCK_EX, 1, 0)
		open(sys.argv[2], "w").close()
		open("hold").read()
	PY
	holder=$!
	wait_until test -e held
}

let_go() {
	[[ -n ${holder:-} ]] || return 0
	: >hold
	wait "$holder"
	holder=
}

# The text that failed is live, and the store cannot be written.
fails() {
	try_bad
	hold_store
	kill -KILL "$(other_pid)"
	wait_until ends_with_reason greeter "the new version failed, the old one stays"
	is_which one
	grep -q '"bad"' store/programs/greeter
}

# is_done [N]: N versions were taken back, each once.
is_done() {
	wait_until has_refused "${1:-1}"
	[ "$(thoxctl --json store log greeter | gojq ".[] | select(.live) | .version")" -eq $((2 * ${1:-1} + 1)) ]
	run thoxctl store cat greeter
	assert_output_has '"one"'
	run thoxctl store cat greeter@rejected
	assert_output_has '"bad"'
}

has_refused() {
	[[ $(thoxctl store log greeter | grep -c 'rejected: service greeter did not') -eq $1 ]]
}

thoxd_pid() {
	thoxctl --json status | gojq .pid
}

# restarts_as_one VERSION: another process of the service comes, and it is that.
restarts_as_one() {
	local pid

	pid=$(pid_of_service greeter)
	kill -KILL "$pid"
	wait_until is_gone "$pid"
	wait_until is_which one
	wait_until state_is greeter running
	[ "$(field greeter 'instances[0].version')" -eq "$1" ]
}

@test "thoxd answers while the store cannot be written, and starts the good version" {
	local pid

	greeter
	fails
	thoxctl status >/dev/null
	run thox-exec -e 'print("runs")'
	[ "$output" = runs ]
	restarts_as_one 1
	grep -q '"bad"' store/programs/greeter
	pid=$(pid_of_service greeter)
	let_go
	is_done
	[ "$(pid_of_service greeter)" -eq "$pid" ] # it is what runs already
	state_is greeter running
}

@test "thoxd is killed before the store knows: the version is taken back, once" {
	local pid

	greeter
	fails
	restarts_as_one 1
	pid=$(thoxd_pid)
	kill -KILL "$pid"
	let_go # or nobody can open it
	[ "$(thoxd_pid)" -ne "$pid" ]
	is_which one
	is_done
	kill -KILL "$(thoxd_pid)"
	is_done
	is_which one
}

@test "thoxd is executed anew before the store knows: the version is taken back, once" {
	local pid

	greeter
	fails
	pid=$(thoxd_pid)
	thoxctl daemon-reexec &
	wait_until is_gone "$pid"
	let_go
	wait $!
	is_which one
	is_done
	restarts_as_one 3
}

# Each of its threads: the worker is one.
is_traced() {
	! cat "/proc/$1/task"/*/status | grep -q '^TracerPid:[[:space:]]*0$'
}

# killed_at CALL:TURN: thoxd is killed when it comes to that call.
killed_at() {
	local call turn pid other strace

	IFS=: read -r call turn <<<"$1"
	other=$(other_pid)
	pid=$(thoxd_pid)
	strace -f -qq -o trace -e trace="$call" \
		-e inject="$call:signal=KILL:when=$turn" -p "$pid" 3>&- &
	strace=$!
	wait_until is_traced "$pid"
	kill -KILL "$other"
	wait_until is_gone "$pid"
	wait "$strace" || true
}

# killed_at_each CALL:TURN...: of the calls that the worker makes for it.
killed_at_each() {
	local step n=0

	command -v strace >/dev/null || skip "strace is not installed"
	strace -o /dev/null true 2>/dev/null || skip "ptrace is not allowed here"
	greeter
	for step in "$@"; do
		echo "# $step"
		try_bad
		killed_at "$step"
		n=$((n + 1))
		is_done "$n"
		is_which one
		wait_until state_is greeter running
	done
	restarts_as_one $((2 * n + 1))
}

@test "thoxd is killed while the texts are copied: it happens, once" {
	killed_at_each pwrite64:1 copy_file_range:1 copy_file_range:3
}

@test "thoxd is killed while the journal is written: it happens, once" {
	killed_at_each pwrite64:2 fdatasync:1 renameat2:1
}

@test "thoxd is killed while the files change places: it happens, once" {
	killed_at_each pwrite64:3 renameat:1 renameat:2
}

@test "versions that fail go on being taken back, however many there were" {
	local i

	greeter
	for i in {1..9}; do
		try_bad
		kill -KILL "$(other_pid)"
		is_done "$i"
	done
	[ "$(field greeter 'instances[0].version')" -eq 19 ]
	[ "$(field greeter restarts)" -eq 0 ]
}

@test "a version that is not healthy on trial is taken back, whoever leaves last" {
	serving one | install_program greeter
	define greeter 'program = greeter' 'ready = bind' 'reload = restart' \
		'[health]' 'check = greeter.check' 'interval = 500ms' 'failures = 2'
	thoxctl start greeter
	serving ill | install_program greeter
	wait_until is_taken_back greeter greeter
	wait_until is_which one
	wait_until state_is greeter running
	run thoxctl store cat greeter@rejected
	assert_output_has '"ill"'
}

@test "a program that a changed definition names is not taken back to another one's version" {
	greeter
	serving two | install_program other
	serving bad | install_program other
	define greeter 'program = other' 'ready = bind' 'reload = restart'
	thoxctl reload --timeout 100ms greeter || true
	wait_until is_tried
	kill -KILL "$(other_pid)"
	wait_until ends_with_reason greeter "the new version failed, the old one stays"
	is_which one
	thoxctl shutdown # which waits for what is to be taken back
	[ "$(thoxctl --json store log other | gojq length)" -eq 2 ]
	grep -q '"bad"' store/programs/other
}

@test "a shutdown waits for what is to be taken back" {
	greeter
	fails
	thoxctl shutdown &
	wait_until grep -q "shutting down" state/thoxd.log
	let_go
	wait $!
	grep -q '"one"' store/programs/greeter
	is_done
}
