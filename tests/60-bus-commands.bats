#!/usr/bin/env bats
# thoxctl on the bus: call, push, listen, bus, trace.

load helper

source_dir=${THOX_SOURCE_DIR:-$BATS_TEST_DIRNAME/..}

setup_file() {
	start_thox '[thoxd]' 'mount = no'
	export mnt thox_sessions
}

teardown_file() {
	stop_thox
}

setup() {
	pids=()
}

teardown() {
	local pid

	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait_until is_gone "$pid"
	done
	wait_until nothing_is_bound
}

nothing_is_bound() {
	[[ $(thoxctl --json bus) == "[]" ]]
}

# A native process that binds `ping` (contrib/python/thox_ping.py): $ping.
start_ping() {
	local python=python3

	[[ ! -x /usr/bin/python3 ]] || python=/usr/bin/python3
	"$python" "$source_dir/contrib/python/thox_ping.py" \
		>"$BATS_TEST_TMPDIR/ping" 2>&1 3>&- &
	ping=$!
	pids+=("$ping")
	wait_until has_line "$BATS_TEST_TMPDIR/ping" ready
}

# In the background, its lines in $out; returns when it has begun.
begin() {
	out=$BATS_TEST_TMPDIR/out.${#pids[@]}
	"$@" >"$out" 2>"$out.err" 3>&- &
	begun=$!
	pids+=("$begun")
	wait_until has_line "$out.err" "Ctrl-C ends it"
}

# How the process that began last has ended.
ended_with() {
	local code=0

	wait "$begun" || code=$?
	[[ $code == "$1" ]] || {
		echo "exit code $code instead of $1" >&2
		return 1
	}
}

# --- call ---------------------------------------------------------------------

@test "call prints the values of the answer, a line each" {
	start_ping
	run -0 thoxctl call ping.greet world
	[ "${lines[0]}" = "hello world" ]
	[[ ${lines[1]} =~ ^[0-9]+$ ]]
	run -0 thoxctl call ping.echo
	[ -z "$output" ]
}

@test "arguments are JSON where they parse, and strings elsewhere" {
	start_ping
	run -0 thoxctl --json call ping.echo 1 1.0 -2 true null '"3"' word \
		'two words' '' '[1,[2]]' '{"a":{"b":2}}' '{broken' --json -- ü
	[ "$output" = '[1,1.0,-2,true,null,"3","word","two words","",[1,[2]],{"a":{"b":2}},"{broken","--json","--","ü"]' ]
	run -0 thoxctl call ping.echo 1 1.0 0.1 true null '"3"' '[1,{"a":"ü"}]'
	[ "$output" = $'1\n1.0\n0.1\ntrue\nnil\n3\n[1,{"a":"\\u00FC"}]' ]
}

@test "bytes and floats that JSON has not go both ways" {
	start_ping
	# shellcheck disable=SC2016 # meant so
	run -0 thoxctl --json call ping.echo '{"$bytes":"AP8="}' \
		'{"$float":"-inf"}' $'raw \xff'
	# shellcheck disable=SC2016
	[ "$output" = '[{"$bytes":"AP8="},{"$float":"-inf"},{"$bytes":"cmF3IP8="}]' ]
	# shellcheck disable=SC2016
	thoxctl call ping.echo '{"$bytes":"AP8="}' >"$BATS_TEST_TMPDIR/raw"
	[ "$(od -An -tx1 "$BATS_TEST_TMPDIR/raw")" = " 00 ff 0a" ]
	# shellcheck disable=SC2016
	run -2 thoxctl call ping.echo '{"$context":1}'
	assert_output_has "cannot be sent"
}

@test "control characters reach a file, and no terminal" {
	start_ping
	run -0 thoxctl call ping.echo $'a\e[31mb'
	[ "$output" = $'a\e[31mb' ]
	run -0 "$helpers/pty" 'expect:a\x1b[31mb' -- \
		thoxctl call ping.echo $'a\e[31mb'
}

@test "every status has its exit code and is said with the name" {
	start_ping
	run -1 thoxctl call ping.fail 'on purpose'
	[ "$output" = "thoxctl: ping.fail: ERROR: on purpose" ]
	run -4 thoxctl call ping.nothing
	[ "$output" = "thoxctl: ping.nothing: NOT_FOUND: there is no ping.nothing" ]
	run -4 thoxctl call nobody.there
	assert_output_has "nobody.there: NOT_FOUND"
	run -2 thoxctl call ping.greet
	assert_output_has "ping.greet: INVALID: a name is wanted"
	kill -STOP "$ping"
	run -6 thoxctl call --timeout 100ms ping.greet you
	assert_output_has "ping.greet: TIMEOUT"
	kill -KILL "$ping"
}

@test "a callee that ends before it answers is said, with 1" {
	local callee

	# It says when it has the call, and answers none.
	thox-exec -e 'os.wait(os.call(0, "bind", "mute"))
		os.pull("call")
		print("taken") io.stdout:flush()
		os.pull("never")' >"$BATS_TEST_TMPDIR/mute" </dev/null 3>&- &
	callee=$!
	pids+=("$callee")
	wait_until is_bound mute
	out=$BATS_TEST_TMPDIR/call
	thoxctl call mute.it >"$out" 2>"$out.err" 3>&- &
	begun=$!
	pids+=("$begun")
	wait_until has_line "$BATS_TEST_TMPDIR/mute" taken
	kill -KILL "$callee" # and its program with it
	ended_with 1
	has_line "$out.err" "mute.it: CLOSED"
}

@test "large values pass, larger ones are refused" {
	start_ping
	head -c 100000 /dev/zero | tr '\0' x >"$BATS_TEST_TMPDIR/x"
	run -0 thoxctl call ping.echo "$(cat "$BATS_TEST_TMPDIR/x")"
	[ "${#output}" -eq 100000 ]
}

@test "wrong use of the commands is exit code 2" {
	local bad

	for bad in call "call a..b" "call -t" "call --timeout x a" "call --foo a" \
		push "push .a" listen "listen a b" "listen --count 0 a" \
		"listen --count x a" "bus x" trace "trace a b"; do
		# shellcheck disable=SC2086 # words
		run -2 thoxctl $bad
		assert_output_has "thoxctl: "
	done
	run -2 thoxctl call ''
}

# --- push and listen ----------------------------------------------------------

@test "push reaches all who listen, and nobody else" {
	begin thoxctl listen -n 2 chat
	first=$begun first_out=$out
	begin thoxctl --json listen -n 1 chat.room
	run -0 thoxctl push chatter x
	run -0 thoxctl push chat 'two words' 1.5
	run -0 thoxctl push chat.room hi '{"a":[1]}'
	ended_with 0
	[ "$(gojq -r .name "$out")" = chat.room ]
	[ "$(gojq -c .args "$out")" = '["hi",{"a":[1]}]' ]
	[ "$(gojq -r .program "$out")" = thoxctl ]
	begun=$first
	ended_with 0
	[ "$(cat "$first_out")" = $'chat "two words" 1.5\nchat.room hi {"a":[1]}' ]
}

@test "a push to nobody is no error" {
	run -0 thoxctl push nobody.there 1 2 3
	[ -z "$output" ]
}

@test "Ctrl-C ends listening cleanly" {
	begin thoxctl listen chat
	thoxctl push chat one
	wait_until has_line "$out" "chat one"
	kill -INT "$begun"
	ended_with 0
}

@test "what a listener misses it is told of" {
	local i

	begin thoxctl --json listen flood
	kill -STOP "$begun"
	big=$(printf '%60000s' x)
	for ((i = 0; i < 40; i++)); do
		thoxctl push flood "$big"
	done
	pushed=40
	kill -CONT "$begun"
	wait_until last_came
	wait_until all_are_told
	[ "$(wc -l <"$out")" -lt "$pushed" ]
}

# One that comes while it still reads what waits for it is lost as well.
last_came() {
	pushed=$((pushed + 1))
	thoxctl push flood last
	has_line "$out" '"last"'
}

all_are_told() {
	[ "$(gojq -s 'map(.lost // 0) | add + length' "$out")" = "$pushed" ]
}

# --- bus and trace ------------------------------------------------------------

@test "bus lists who provides what" {
	run -0 thoxctl bus
	[ "$output" = "NAME  PID  PROGRAM  SERVICE  FALLBACK" ]
	start_ping
	run -0 thoxctl --json bus
	[ "$(gojq -r '.[0].name' <<<"$output")" = ping ]
	[ "$(gojq -r '.[0].pid' <<<"$output")" = "$ping" ]
	[ "$(gojq -r '.[0].program' <<<"$output")" = thox_ping ]
	run -0 thoxctl bus
	assert_output_has ping "$ping" thox_ping
}

# A native process in C that binds `http`.
start_http() {
	[[ -x $build_dir/thox-http ]] || skip "built without thox-http"
	"$build_dir/thox-http" --allow 127.0.0.1:1 \
		>"$BATS_TEST_TMPDIR/http" 2>&1 3>&- &
	http=$!
	pids+=("$http")
	wait_until has_line "$BATS_TEST_TMPDIR/http" ready
}

@test "trace prints calls and answers with names, times and statuses" {
	start_http
	begin thoxctl trace http
	thoxctl call http.get http://127.0.0.1:2/ || true
	wait_until has_line "$out" answer
	run -0 cat "$out"
	[[ ${lines[0]} =~ ^[0-9:]+\.[0-9]{6}\ \<-\ call\ +http.get\ #[0-9]+\.1\ +pid\ [0-9]+\ +[0-9]+ ]]
	[[ ${lines[1]} =~ ^[0-9:.]+\ -\>\ answer\ http.get\ #[0-9]+\.1\ .*DENIED\ .*ms ]]
	kill -INT "$begun"
	ended_with 0
}

@test "trace as JSON, of a PID, ends with the process" {
	start_http
	begin thoxctl --json trace "$http"
	thoxctl call http.get nonsense || true
	wait_until has_line "$out" answer
	[ "$(gojq -r .what "$out" | tr '\n' ' ')" = "call answer " ]
	[ "$(gojq -r .name "$out" | sort -u)" = http.get ]
	[ "$(gojq -r 'select(.what == "answer").status' "$out")" = INVALID ]
	kill "$http"
	ended_with 0
	has_line "$out.err" "the trace has ended"
}

@test "a program of Lua is traced, too, and goes on after it" {
	# Binds by a call, so that it needs no library.
	thox-exec -e 'os.wait(os.call(0, "bind", "lua"))
		while true do
			local event = os.pull "call"
			os.answer(event.cid, os.status.OK, table.unpack(event.args, 1, event.args.n))
		end' </dev/null 3>&- &
	pids+=($!)
	wait_until is_bound lua
	begin thoxctl --json trace lua
	run -0 thoxctl call lua.echo 1
	wait_until has_line "$out" answer
	[ "$(gojq -r .name "$out" | sort -u)" = lua.echo ]
	[ "$(gojq -r 'select(.what == "answer").status' "$out")" = OK ]
	kill -INT "$begun"
	ended_with 0
	run -0 thoxctl call lua.echo again
	[ "$output" = again ]
}

is_bound() {
	thoxctl --json bus | gojq -e --arg name "$1" 'any(.name == $name)'
}

@test "a trace leaves nothing behind in the traced process" {
	local before

	start_http
	before=$(ls "/proc/$http/fd")
	begin thoxctl trace http
	thoxctl call http.get nonsense || true
	wait_until has_line "$out" answer
	kill -KILL "$begun"
	wait_until same_descriptors "$before"
	run -2 thoxctl call http.get nonsense
}

same_descriptors() {
	[[ $(ls "/proc/$http/fd") == "$1" ]]
}

@test "a trace leaves nothing behind in a program of Lua, nor in thoxd" {
	local lua thoxd before of_thoxd links i

	thox-exec -e 'os.wait(os.call(0, "bind", "lua"))
		while true do
			local event = os.pull "call"
			os.answer(event.cid, os.status.OK, os.pid())
		end' </dev/null 3>&- &
	pids+=($!)
	wait_until is_bound lua
	lua=$(thoxctl --json bus | gojq '.[] | select(.name == "lua").pid')
	thoxd=$(thoxctl --json status | gojq .pid)
	wait_until pool_is_full
	before=$(descriptors "$lua")
	of_thoxd=$(descriptors "$thoxd")
	links=$(thoxctl --json status | gojq .links)
	for i in INT KILL INT; do # as it likes, and as it can
		begin thoxctl trace lua
		run -0 thoxctl call lua.pid
		wait_until has_line "$out" answer
		kill -"$i" "$begun"
		wait_until is_gone "$begun"
	done
	wait_until has_descriptors "$lua" "$before"
	wait_until has_descriptors "$thoxd" "$of_thoxd"
	[ "$(thoxctl --json status | gojq .links)" -eq "$links" ]
	run -0 thoxctl call lua.pid
	[ "$output" -eq "$lua" ]
}

descriptors() {
	find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l
}

# No more than that: who asked just before may have been counted.
has_descriptors() {
	(($(descriptors "$1") <= $2))
}

@test "trace of what is not there says so" {
	run -4 thoxctl trace nobody.there
	run -4 thoxctl trace 1
}

@test "without an instance: push, trace and the others say how it is" {
	local none="env THOX_NO_AUTOSTART=1 THOX_DIR=$BATS_TEST_TMPDIR/none"
	local command

	for command in "push a" "trace a" "call a" "listen a" bus; do
		# shellcheck disable=SC2086 # words
		run -3 $none thoxctl $command
		assert_output_has "no instance runs"
	done
}
