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
	: >"$THOX_DIR/ping" # an earlier one said it was ready, too
	"$python" "$source_dir/contrib/python/thox_ping.py" \
		>"$THOX_DIR/ping" 2>&1 3>&- &
	ping_pid=$!
	wait_until has_line "$THOX_DIR/ping" ready || {
		cat "$THOX_DIR/ping" >&2
		return 1
	}
}

@test "it binds a name, and Lua calls it" {
	start_ping
	run -0 thox-exec -e 'local status, text, pid = os.wait(os.call(0, "ping.greet", "from Lua"))
		print(status == os.status.OK, text, math.type(pid))'
	[ "$output" = "true	hello from Lua	integer" ]
}

@test "values of every kind come back as they were, large ones in parts" {
	start_ping
	run -0 thox-exec -e 'local big = ("\255\0x"):rep(100000)
		local status, a, b, c, d, e, f, g = os.wait(os.call(0, "ping.echo",
			1, 2.5, big, { a = { 1, 2 } }, "ü", math.mininteger, 1 / 0))
		print(math.type(a), math.type(b), c == big, d.a[2], e, f == math.mininteger, g)'
	[ "$output" = "integer	float	true	2	ü	true	inf" ]
}

@test "its errors are told to Lua, with status and message" {
	start_ping
	run -0 thox-exec -e 'local status, message = os.wait(os.call(0, "ping.fail", "on purpose"))
		print(status == os.status.ERROR, message)
		print(os.wait(os.call(0, "ping.nothing")) == os.status.NOT_FOUND)'
	[ "${lines[0]}" = "true	on purpose" ]
	[ "${lines[1]}" = true ]
}

@test "its name is free when it ends" {
	start_ping
	[ "$(thoxctl --json bus | gojq -r '.[0].name')" = ping ]
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
