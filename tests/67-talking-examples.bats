#!/usr/bin/env bats
# The examples that talk: services, their clients, and who stands between.

load helper

source_dir=${THOX_SOURCE_DIR:-$BATS_TEST_DIRNAME/..}

setup_file() {
	start_thox '[thoxd]' 'mount = no' '[exec]' 'allow-run = **'
	export mnt thox_sessions
	local name

	for name in ping ping-client kv chat-room chat workers log-calls \
		rate-limit; do
		install_program "$name" <"$source_dir/contrib/examples/$name.lua"
	done
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
	for pid in $(thoxctl --json ps | gojq '.[].pid'); do
		thoxctl kill "$pid" || true
	done
	wait_until nothing_runs
}

nothing_runs() {
	[[ $(thoxctl --json ps) == "[]" && $(thoxctl --json bus) == "[]" ]]
}

# serve PROGRAM NAME: in the background, until the name is bound.
serve() {
	run -0 thox-exec -d "$1"
	wait_until is_bound "$2"
}

is_bound() {
	thoxctl --json bus | gojq -e --arg name "$1" 'any(.name == $name)'
}

@test "ping and its client" {
	serve ping ping
	run -0 thoxctl call ping.greet world
	[[ $output =~ ^hello\ world,\ from\ process\ [0-9]+\ to\ process\ [0-9]+$ ]]
	run -0 thox-exec ping-client 50 1000
	assert_output_has "hello ping-client, from process" \
		"50 calls of 1000 bytes: " "microseconds each"
}

@test "kv keeps values, counts, and refuses what was changed meanwhile" {
	serve kv kv
	run -0 thoxctl call kv.get colour
	[ "$output" = "" ]
	run -0 thoxctl call kv.set colour '{"name":"red","rgb":[255,0,0]}'
	[ "$output" = 1 ]
	run -0 thoxctl --json call kv.get colour
	[ "$(gojq -c . <<<"$output")" = '[{"name":"red","rgb":[255,0,0]},1]' ] ||
		[ "$(gojq -cS . <<<"$output")" = '[{"name":"red","rgb":[255,0,0]},1]' ]
	run -1 thoxctl call kv.set colour blue 7
	assert_output_has "colour has version 1, not 7"
	run -0 thoxctl call kv.set colour blue 1
	run -0 thoxctl call kv.increment count
	run -0 thoxctl call kv.increment count 2.5
	[ "$output" = 3.5 ]
	run -2 thoxctl call kv.increment colour
	run -2 thoxctl call kv.set '' x
	run -0 thoxctl --json call kv.list co
	[ "$output" = '[["colour","count"]]' ]
	run -0 thoxctl call kv.delete count
	[ "$output" = true ]
	run -0 thoxctl call kv.delete count
	[ "$output" = false ]
	run -4 thoxctl call kv.nothing
}

@test "kv pushes each change to who listens" {
	serve kv kv
	thoxctl listen -n 2 kv >"$BATS_TEST_TMPDIR/heard" \
		2>"$BATS_TEST_TMPDIR/err" 3>&- &
	pids+=($!)
	wait_until has_line "$BATS_TEST_TMPDIR/err" listening
	thoxctl call kv.set a 1
	thoxctl call kv.delete a
	wait_until has_line "$BATS_TEST_TMPDIR/heard" "kv.changed a 2"
	[ "$(cat "$BATS_TEST_TMPDIR/heard")" = $'kv.changed a 1\nkv.changed a 2' ]
}

# enter NICK: a member whose words come through a fifo, its screen in a file.
enter() {
	mkfifo "$BATS_TEST_TMPDIR/$1.in"
	thox-exec chat "$1" 0<>"$BATS_TEST_TMPDIR/$1.in" \
		>"$BATS_TEST_TMPDIR/$1" 2>&1 3>&- &
	pids+=($!)
	wait_until has_line "$BATS_TEST_TMPDIR/$1" "here are:"
}

@test "in the chat room everybody hears what is said, and who comes and goes" {
	serve chat-room chat
	enter Ada
	enter Grace
	has_line "$BATS_TEST_TMPDIR/Grace" "here are: Ada, Grace"
	wait_until has_line "$BATS_TEST_TMPDIR/Ada" "Grace is here"
	echo "good morning" >"$BATS_TEST_TMPDIR/Ada.in"
	wait_until has_line "$BATS_TEST_TMPDIR/Grace" "Ada: good morning"
	wait_until has_line "$BATS_TEST_TMPDIR/Ada" "Ada: good morning"
	run -1 thox-exec chat Ada </dev/null
	assert_output_has "Ada is here already"
	# A member that is killed has left.
	kill -KILL "${pids[0]}"
	wait_until has_line "$BATS_TEST_TMPDIR/Grace" "Ada has left"
	run -0 thoxctl --json call chat.members
	[ "$output" = '[["Grace"]]' ]
	run -2 thoxctl call chat.join 'a b'
}

@test "log-calls shows what a program asks for, and changes nothing" {
	serve ping ping
	[ "$(wc -l <"$source_dir/contrib/examples/log-calls.lua")" -le 20 ]
	run -0 --separate-stderr thox-exec log-calls ping-client 2
	[[ ${lines[0]} == "hello ping-client, from process "* ]]
	# shellcheck disable=SC2154 # of bats
	[ "$(sort <<<"$stderr" | uniq -c | tr -s ' ')" = \
		$' 2 asks for clock\n 2 asks for ping.echo\n 1 asks for ping.greet' ]
	install_program fails 'os.exit(7)'
	run -7 thox-exec log-calls fails
}

@test "rate-limit slows a program down that knows nothing of it" {
	local before after

	serve ping ping
	before=$(date +%s%N)
	run -0 thox-exec rate-limit 20 ping-client 10
	after=$(date +%s%N)
	# 13 calls at 20 a second: 0.6 s at least.
	((after - before > 550000000))
	run -2 thox-exec rate-limit x ping-client
	assert_output_has "usage: rate-limit"
}

@test "workers share the work, whatever their number" {
	run -0 thox-exec workers 1 1000
	[ "$output" = "168 primes up to 1000" ]
	run -0 thox-exec workers 3 30000
	[ "$output" = "3245 primes up to 30000" ]
}

kill_worker() {
	thoxctl kill "$(running_pid worker)"
}

@test "a worker that is killed loses nothing but its time" {
	thox-exec workers 2 1000000 >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	pids+=($!)
	wait_until kill_worker
	WAIT_SECONDS=120 wait_until has_line "$BATS_TEST_TMPDIR/out" \
		"78498 primes up to 1000000"
}
