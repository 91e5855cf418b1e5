#!/usr/bin/env bats
# thox-exec and a server that is not as it should be; what it asks for and
# how it puts the end of a run.

load helper

setup() {
	prepare_thox
	mkdir "$THOX_DIR/run"
	log=$THOX_DIR/server.log
	export THOX_NO_AUTOSTART=1
}

teardown() {
	if [[ -n ${server:-} ]]; then
		kill "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
	stop_thox
}

# serve STEP...: see fake-thoxd.c.
serve() {
	: >"$log" # of the server before
	"$helpers/fake-thoxd" "$THOX_DIR/run" "$@" >"$log" 2>&1 3>&- &
	server=$!
	wait_until has_line "$log" listening
}

# A run whose end is what the server says: ended RESULT [thox-exec's words].
ended() {
	local result=$1

	shift
	serve hello receive receive "$result"
	run --separate-stderr thox-exec "${@:-hello}"
	wait "$server" || true
	server=
}

# The request as the server saw it.
request() {
	tail -n 1 "$log"
}

@test "the request has the name, the arguments, the limits and three descriptors" {
	ended result:code=0,reason=exit --memory 64M --cpu 1.5s --timeout 2m \
		-r cc hello@3 a "b c"
	assert_status 0
	run request
	assert_output_has name=hello@3 "args=[a b c]" runtime=cc \
		memory_bytes=67108864 cpu_ms=1500 wall_ms=120000 fds=3
}

@test "a text travels as a fourth descriptor" {
	ended result:code=0,reason=exit -e 'return 1' x
	run request
	assert_output_has name=-e text=true expression=true "args=[x]" fds=4
	echo 'print(1)' >"$THOX_DIR/file.lua"
	ended result:code=0,reason=exit "$THOX_DIR/file.lua"
	run request
	assert_output_has name=file.lua text=true fds=4
}

@test "of the environment only the named variables travel" {
	export LANG=C.UTF-8 TERM=xterm TZ=UTC SECRET=1 GIVEN=2
	unset LC_ALL
	ended result:code=0,reason=exit --env GIVEN --env MORE=3 hello
	run request
	assert_output_has "env={LANG=C.UTF-8 TERM=xterm TZ=UTC GIVEN=2 MORE=3}"
}

@test "a terminal's size is told, a pipe's is not" {
	ended result:code=0,reason=exit
	run request
	[[ $output != *rows=* ]]
	serve hello receive receive result:code=0,reason=exit
	"$helpers/pty" expect:up size:30x99 'send:\n' -- \
		bash -c 'echo up; read -r; exec thox-exec hello'
	run request
	assert_output_has rows=30 columns=99 demand_stdin=true
}

@test "every end has its exit code and its line" {
	ended result:code=0,reason=exit
	assert_status 0
	[ -z "$stderr" ]
	ended result:code=42,reason=exit
	assert_status 42
	[ -z "$stderr" ]
	ended result:code=1,reason=error
	assert_status 1
	[ -z "$stderr" ]
	ended result:signal=9,reason=cpu-limit,detail=CPU
	assert_status 124
	[ "$stderr" = "thox-exec: hello: CPU" ]
	ended result:signal=9,reason=wall-limit
	assert_status 124
	[[ $stderr == *"time limit"* ]]
	ended "result:signal=9,reason=memory-limit,detail=over 64 MiB"
	assert_status 137
	[ "$stderr" = "thox-exec: hello: over 64 MiB" ]
	ended result:signal=9,reason=killed
	assert_status 137
	[ "$stderr" = "thox-exec: hello: killed" ]
	ended "result:signal=31,reason=sandbox,detail=socket"
	assert_status 159
	[ "$stderr" = "thox-exec: hello: socket" ]
	ended result:signal=11,reason=signal
	assert_status 139
	[[ $stderr == *"signal 11"* ]]
	ended result:code=130,reason=interrupted
	assert_status 130
	ended result:signal=15,reason=terminated
	assert_status 143
	[[ $stderr == *terminated* ]]
	ended result:signal=13,reason=signal
	assert_status 141
	[ -z "$stderr" ]
}

@test "a refusal has its exit code, its line and a suggestion" {
	serve hello receive receive "refused:2:no such program 'helo':hello"
	run -127 --separate-stderr thox-exec helo
	[ "$stderr" = "thox-exec: no such program 'helo'; did you mean 'hello'?" ]
	ended "refused:3:not for you"
	assert_status 126
	[ "$stderr" = "thox-exec: not for you" ]
	ended "refused:7:a name is made of letters"
	assert_status 126
	ended "refused:1:no zygote"
	assert_status 125
}

@test "a notice is a line on stderr, controls made visible" {
	serve hello receive receive $'notice:ver\033sion 3 runs' result:code=0,reason=exit
	run --separate-stderr thox-exec hello
	assert_status 0
	# shellcheck disable=SC2154 # of bats
	[ "$stderr" = 'thox-exec: ver\x1bsion 3 runs' ]
}

@test "--json puts the record on the last line of stderr" {
	ended "result:signal=9,reason=memory-limit,detail=x,name=hello,version=3,memory_bytes=99,user_us=7" --json hello
	assert_status 137
	[ "${stderr_lines[0]}" = "thox-exec: hello: x" ]
	[ "$(gojq -r .exit <<<"${stderr_lines[1]}")" = 137 ]
	[ "$(gojq -r .signal <<<"${stderr_lines[1]}")" = 9 ]
	[ "$(gojq -r .limit <<<"${stderr_lines[1]}")" = memory ]
	[ "$(gojq -r .version <<<"${stderr_lines[1]}")" = 3 ]
	[ "$(gojq -r .memory_bytes <<<"${stderr_lines[1]}")" = 99 ]
	serve hello receive receive $'refused:2:no "such"\n:x'
	run -127 --separate-stderr thox-exec --json hello
	[ "$(gojq -r .reason <<<"${stderr_lines[-1]}")" = refused ]
	[ "$(gojq -r .exit <<<"${stderr_lines[-1]}")" = 127 ]
}

@test "a server that goes away is named, with 125" {
	serve hello receive receive
	run thox-exec hello
	assert_status 125
	assert_output_has "thoxd ended, and the program with it"
	# Before it took the request, or after that.
	serve
	run thox-exec hello
	assert_status 125
	[[ $output == *"thoxd closed the connection"* ||
		$output == *"thoxd ended"* ]]
}

@test "a server of another version is named, with 125" {
	serve hello:99 drain
	run thox-exec hello
	assert_status 125
	assert_output_has "of another version"
}

@test "garbage from the server is an error, not a crash" {
	local garbage

	for garbage in ff 00 00c1 0091 00921899 0092196f 02ffff 01000000 0100ffffff00 \
		009219de00ff; do
		serve hello receive receive "raw:$garbage"
		run thox-exec hello
		assert_status 125
		assert_output_has "thox-exec: thoxd"
	done
}

@test "a server of another user gets nothing" {
	need_root
	chmod 711 "$THOX_DIR"
	prepare_user
	chmod 1777 "$THOX_DIR/run"
	cp "$helpers/fake-thoxd" "$user_dir/tree/"
	as_user fake-thoxd "$THOX_DIR/run" hello drain >"$log" 2>&1 3>&- &
	server=$!
	wait_until has_line "$log" listening
	run thox-exec hello
	assert_status 125
	assert_output_has "not this user's" "nothing was sent"
	wait "$server" || true
	run cat "$log"
	[[ $output != *hello* ]]
	rm -rf "$user_dir"
}

@test "a very long THOX_DIR works" {
	local long

	long=$THOX_DIR/$(printf 'x%.0s' {1..200})
	mkdir -p "$long/run"
	"$helpers/fake-thoxd" "$long/run" hello receive receive \
		result:code=5,reason=exit >"$log" 2>&1 3>&- &
	server=$!
	wait_until has_line "$log" listening
	THOX_DIR=$long run thox-exec hello
	assert_status 5
}

@test "a closed standard descriptor is said, whichever it is" {
	serve drain
	run bash -c 'thox-exec hello 2>&1 <&-'
	assert_status 125
	assert_output_has "standard input, output and error must be open"
	run bash -c 'thox-exec -e "return 1" 2>&1 <&-'
	assert_status 125
	run bash -c 'thox-exec hello >&-'
	assert_status 125
	run bash -c 'thox-exec hello 2>&-'
	assert_status 125
}

@test "too many arguments are refused" {
	serve hello drain
	# shellcheck disable=SC2046 # many words
	run thox-exec hello $(seq 1500)
	assert_status 125
	assert_output_has "too many or too long arguments"
}

@test "the usual way takes few system calls" {
	command -v strace >/dev/null || skip "no strace"
	serve hello receive receive result:code=0,reason=exit
	# A sanitizer looks for leaks by ptrace, and makes calls of its own.
	run env ASAN_OPTIONS=detect_leaks=0 \
		strace -f -o "$THOX_DIR/trace" thox-exec hello </dev/null
	assert_status 0
	! ldd "$build_dir/thox-exec" 2>&1 | grep -q libasan || return 0
	[ "$(grep -c -v '^.*+++' "$THOX_DIR/trace")" -le 24 ] || {
		cat "$THOX_DIR/trace"
		return 1
	}
}
