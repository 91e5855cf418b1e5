#!/usr/bin/env bats
# A native process, written in Python from thox-rpc(7) alone.

load helper

source_dir=${THOX_SOURCE_DIR:-$BATS_TEST_DIRNAME/..}

setup() {
	# That one for which Debian packages msgpack.
	python=python3
	[[ ! -x /usr/bin/python3 ]] || python=/usr/bin/python3
	start_thox '[thoxd]' 'mount = no'
	ping_pid=
}

teardown() {
	[[ -z $ping_pid ]] || kill "$ping_pid" 2>/dev/null || true
	stop_thox
}

start_ping() {
	"$python" "$source_dir/contrib/python/thox_ping.py" \
		>"$THOX_DIR/ping" 2>&1 3>&- &
	ping_pid=$!
	wait_until has_line "$THOX_DIR/ping" ready || {
		cat "$THOX_DIR/ping" >&2
		return 1
	}
}

@test "its name is free when it ends" {
	start_ping
	[ "$(thoxctl --json bus | jq -r '.[0].name')" = ping ]
	kill "$ping_pid"
	wait_until is_gone "$ping_pid"
	run -4 thoxctl call ping.greet you
	assert_output_has NOT_FOUND
	start_ping
	run -0 thoxctl call ping.greet you
	[ "${lines[0]}" = "hello you" ]
}

@test "a name that is taken is refused with who has it" {
	start_ping
	run -1 "$python" "$source_dir/contrib/python/thox_ping.py"
	assert_output_has "bind: " "bound already" "thox_ping"
}

@test "it ends with thoxd" {
	start_ping
	thoxctl shutdown
	wait_until is_gone "$ping_pid"
}
