#!/usr/bin/env bats
# thoxctl and a running instance.

load helper

setup_file() {
	start_thox '[thoxd]' 'mount = no' 'grace-time = 500ms'
	export mnt thox_sessions
	install_program spin 'print("ready", os.pid()) io.stdout:flush() while true do end'
	install_program wait 'print("ready", os.pid()) io.stdout:flush() io.read()'
}

teardown_file() {
	stop_thox
}

setup() {
	clients=()
}

teardown() {
	local client

	for client in "${clients[@]}"; do
		kill -KILL "$client" 2>/dev/null || true
		wait "$client" || true
	done
	wait_until no_process_runs
}

no_process_runs() {
	[[ $(thoxctl --json ps) == "[]" ]]
}

# spawn NAME: in the background; $client is its thox-exec, $pid its process.
spawn() {
	local out

	out=$(mktemp "$THOX_DIR/out.XXXXXX")
	# A pipe that nobody writes to, and no process that would outlive this.
	[ -p "$THOX_DIR/silent" ] || mkfifo "$THOX_DIR/silent"
	thox-exec "$1" 0<>"$THOX_DIR/silent" >"$out" 2>&1 3>&- &
	client=$!
	clients+=("$client")
	wait_until has_line "$out" ready
	pid=$(sed -n 's/^ready\t//p' "$out")
}

# The exit code of the last client.
ended_with() {
	local code=0

	wait "$client" || code=$?
	[ "$code" -eq "$1" ] || {
		echo "exit code $code instead of $1" >&2
		return 1
	}
}

@test "ps lists what runs, for people and as JSON" {
	spawn spin
	run thoxctl ps
	assert_status 0
	assert_output_has PID NAME "$pid" spin native running
	run thoxctl --json ps
	[ "$(gojq -r '.[0].name' <<<"$output")" = spin ]
	[ "$(gojq -r '.[0].version' <<<"$output")" = 1 ]
	gojq -e '.[0] | .pid > 1 and .memory_bytes > 0 and .started_ms > 0 and has("cpu_us")' <<<"$output"
}

@test "status of the instance tells where it is and what protects it" {
	run thoxctl status
	assert_status 0
	assert_output_has "$THOX_DIR/store" "Lua 5.4" sandbox seccomp
	run thoxctl --json status
	gojq -e '.pid > 1 and .keeper_pid > 1 and (.sandbox | length) > 3' <<<"$output"
}

@test "status of a process shows its limits and what the kernel says" {
	spawn spin
	run thoxctl status "$pid"
	assert_status 0
	assert_output_has spin memory seccomp "$pid"
	run thoxctl --json status "$pid"
	gojq -e '.limits and .sandbox' <<<"$output"
}

@test "kill ends a process at once" {
	spawn spin
	run thoxctl kill "$pid"
	assert_status 0
	ended_with 137
}

@test "kill by name ends every process of the program, and no other" {
	spawn spin
	local first=$client
	spawn spin
	local second=$client
	spawn wait
	run thoxctl --json kill spin
	assert_status 0
	[ "$(gojq '.pids | length' <<<"$output")" -eq 2 ]
	client=$first ended_with 137
	client=$second ended_with 137
	[ "$(thoxctl --json ps | gojq -r '.[].name')" = wait ]
}

@test "terminate ends a process with 143" {
	spawn wait
	run thoxctl terminate "$pid"
	assert_status 0
	ended_with 143
	spawn spin
	thoxctl terminate spin
	ended_with 143
}

@test "pause stops a process, resume lets it go on" {
	spawn spin
	run thoxctl pause "$pid"
	assert_status 0
	wait_until process_state "$pid" T
	[ "$(thoxctl --json ps | gojq -r '.[0].state')" = paused ]
	run thoxctl resume spin
	assert_status 0
	wait_until process_state "$pid" R S
	[ "$(thoxctl --json ps | gojq -r '.[0].state')" = running ]
}

@test "a paused process can be killed and terminated" {
	spawn spin
	thoxctl pause "$pid"
	wait_until process_state "$pid" T
	thoxctl kill "$pid"
	ended_with 137
	spawn spin
	thoxctl pause "$pid"
	wait_until process_state "$pid" T
	thoxctl terminate "$pid"
	ended_with 143
}

@test "a process that is none of the instance's is answered with 4" {
	local command

	for command in kill terminate pause resume; do
		run thoxctl "$command" $$
		assert_status 4
		run thoxctl "$command" 999999999
		assert_status 4
		run thoxctl "$command" nothing
		assert_status 4
		[[ $output == thoxctl:* ]]
	done
	run thoxctl status $$
	assert_status 4
	kill -0 $$
}

@test "what is no PID and no name is wrong use" {
	local word

	for word in -1 0 'a b' 'x/y' $'\n' '#' 99999999999999999999; do
		run thoxctl kill -- "$word"
		[ "$status" -eq 2 ] || [ "$status" -eq 4 ]
		[[ $output == thoxctl:* ]]
	done
}

@test "another user's processes are not for an ordinary user" {
	need_root
	chmod 711 "$THOX_DIR"
	prepare_user
	run as_user env THOX_DIR="$THOX_DIR" thoxctl ps
	chmod 700 "$THOX_DIR"
	rm -rf "$user_dir"
	assert_status 5
	assert_output_has "another user"
}

@test "mount and unmount by hand" {
	need_mount
	run thoxctl mount
	assert_status 0
	assert_output_has "mounted at $mnt"
	mountpoint -q "$mnt"
	[ -f "$mnt/programs/spin" ]
	run thoxctl unmount
	assert_status 0
	run ! mountpoint -q "$mnt"
	mkdir "$THOX_DIR/elsewhere"
	cd "$THOX_DIR"
	run thoxctl mount elsewhere
	assert_status 0
	[ -f "$THOX_DIR/elsewhere/programs/spin" ]
	run thoxctl unmount "$THOX_DIR/elsewhere"
	assert_status 0
	run thoxctl unmount
	[ "$status" -ne 0 ]
	[[ $output == thoxctl:* ]]
}

@test "a place that cannot be a mount point is refused with the reason" {
	local place

	touch "$THOX_DIR/file"
	for place in /proc "$THOX_DIR/file" "$(printf '/x%.0s' {1..3000})"; do
		run thoxctl mount "$place"
		[ "$status" -ne 0 ]
		[[ $output == thoxctl:* ]]
	done
}

@test "the label is the host's name until one is set, which is kept" {
	run thoxctl label
	assert_status 0
	[ "$output" = "$(uname -n)" ]
	run thoxctl label Turtle.7
	assert_status 0
	[ "$output" = Turtle.7 ]
	kill -KILL "$(thoxctl --json status | gojq .pid)"
	wait_until thoxctl label
	run thoxctl --json label
	[ "$(gojq -r .label <<<"$output")" = Turtle.7 ]
	run thoxctl label 'no label'
	assert_status 2
	assert_output_has "A-Za-z0-9._+-"
	run thoxctl label
	[ "$output" = Turtle.7 ]
	[ "$(<"$THOX_DIR/state/label")" = Turtle.7 ]
}
