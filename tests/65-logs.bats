#!/usr/bin/env bats
# thoxctl logs: files in the form of thox-log(5), whoever wrote them.

load helper
load services

setup() {
	prepare_thox
	export TZ=UTC
	logs=$THOX_DIR/state/logs
	mkdir -p "$logs/ping" "$logs/worker"
	cat >"$logs/ping/2026-11-27T06:00:02.000000Z.log" <<-'END'
		2026-11-27T06:00:00.000000Z info out 100 - ping starts
		2026-11-27T06:00:01.500000Z err err 100 - ping is broken
	END
	cat >"$logs/ping/current" <<-'END'
		2026-11-27T06:00:03.000000Z info out 101 - ping again
	END
	cat >"$logs/worker/current" <<-'END'
		2026-11-27T06:00:01.000000Z info out 200 blue blue works
		2026-11-27T06:00:02.000000Z debug out 201 red red looks
	END
}

teardown() {
	[ -z "${follower:-}" ] || kill "$follower" 2>/dev/null || true
	[ -z "${logd:-}" ] || kill -CONT "$logd" 2>/dev/null || true
	stop_thox
}

# A service that prints and ends, and with its first run a thox-logd: $logd.
define_once() {
	install_program once 'print("said", ...)'
	define once 'type = oneshot' 'program = once'
	thoxctl start once
	logd=$(pgrep -f "^[^ ]*/thox-logd $THOX_DIR/")
}

# connected N: so many are, to thoxd.
connected() {
	[ "$(grep -c "00010000 .* $THOX_DIR/run/control$" /proc/net/unix)" -eq 1 ] &&
		[ "$(grep -c " $THOX_DIR/run/control$" /proc/net/unix)" -eq $((1 + $1)) ]
}

@test "the lines of several services come as one, by time" {
	run thoxctl logs
	assert_status 0
	[ "${#lines[@]}" -eq 5 ]
	[ "${lines[0]}" = "Nov 27 06:00:00 ping[100]: ping starts" ]
	[ "${lines[1]}" = "Nov 27 06:00:01 worker:blue[200]: blue works" ]
	[ "${lines[2]}" = "Nov 27 06:00:01 ping[100]: ping is broken" ]
	[ "${lines[4]}" = "Nov 27 06:00:03 ping[101]: ping again" ]
}

@test "a name, an instance and a pattern choose" {
	run thoxctl logs -o cat ping
	[ "$output" = $'ping starts\nping is broken\nping again' ]
	run thoxctl logs -o cat worker:red
	[ "$output" = "red looks" ]
	run thoxctl logs -o cat 'w*'
	[ "$output" = $'blue works\nred looks' ]
}

@test "-n counts over all services, and over rotated files" {
	run thoxctl logs -o cat -n 2
	[ "$output" = $'red looks\nping again' ]
	run thoxctl logs -o cat -n 2 ping
	[ "$output" = $'ping is broken\nping again' ]
	run thoxctl logs -o cat --lines all ping
	[ "${#lines[@]}" -eq 3 ]
	run thoxctl logs -o cat -n 0
	[ "$output" = "" ]
}

@test "--since, --until, --grep and --priority filter before -n counts" {
	run thoxctl logs -o cat --since 2026-11-27T06:00:01Z --until 2026-11-27T06:00:02Z
	[ "$output" = $'blue works\nping is broken\nred looks' ]
	run thoxctl logs -o cat --grep '^ping (is|again)' -n 1
	[ "$output" = "ping again" ]
	run thoxctl logs -o cat -p err
	[ "$output" = "ping is broken" ]
	run thoxctl logs -o cat -p info worker
	[ "$output" = "blue works" ]
}

@test "JSON has every field" {
	run thoxctl logs -o json worker:blue
	[ "$(gojq -c . <<<"$output")" = '{"instance":"blue","level":"info","message":"blue works","pid":200,"service":"worker","stream":"out","time":"2026-11-27T06:00:01.000000Z"}' ]
	run thoxctl --json logs -n 1
	gojq -e '.message == "ping again"' <<<"$output"
}

@test "what a program printed cannot move the cursor" {
	printf '2026-11-27T06:00:09.000000Z info out 1 - a\e[2Jb\n' >>"$logs/ping/current"
	run thoxctl logs -n 1 ping
	[ "$output" = 'Nov 27 06:00:09 ping[1]: a\x1b[2Jb' ]
}

@test "lines that are none are passed over and counted" {
	printf 'nonsense\n\n' >>"$logs/ping/current"
	head -c 300000 /dev/zero | tr '\0' x >>"$logs/ping/current"
	printf '\n2026-11-27T06:00:09.000000Z info out 1 - end\n' >>"$logs/ping/current"
	run thoxctl logs -o cat ping
	assert_status 0
	assert_output_has "3 lines are none of a log" "end"
}

@test "wrong uses are told, and a name without a log" {
	run thoxctl logs --since soon
	assert_status 2
	assert_output_has "'soon' is not a time"
	run thoxctl logs -n -1
	assert_status 2
	run thoxctl logs --grep '('
	assert_status 2
	run thoxctl logs -o xml
	assert_status 2
	run thoxctl logs -p loud
	assert_status 2
	run thoxctl logs nobody
	assert_status 4
	assert_output_has "there is no log of 'nobody'"
}

@test "-f goes on through rotations and takes up new services" {
	thoxctl logs -f -o cat >"$THOX_DIR/out" 2>&1 3>&- &
	follower=$!
	wait_until has_line "$THOX_DIR/out" "ping again"
	echo '2026-11-27T06:01:00.000000Z info out 101 - more' >>"$logs/ping/current"
	wait_until has_line "$THOX_DIR/out" more
	echo '2026-11-27T06:01:01.000000Z info out 101 - the last' >>"$logs/ping/current"
	mv "$logs/ping/current" "$logs/ping/2026-11-27T06:01:02.000000Z.log"
	echo '2026-11-27T06:01:03.000000Z info out 101 - rotated' >"$logs/ping/current"
	wait_until has_line "$THOX_DIR/out" rotated
	mkdir "$logs/later"
	echo '2026-11-27T06:01:04.000000Z info out 102 - later' >"$logs/later/current"
	wait_until has_line "$THOX_DIR/out" later
	[ "$(grep -c . "$THOX_DIR/out")" -eq 9 ]
	[ "$(grep -c 'the last' "$THOX_DIR/out")" -eq 1 ]
}

@test "what a process printed before its end was known is shown" {
	define_once
	[ "$(thoxctl logs -o cat once)" = said ]
	kill -STOP "$logd"
	thoxctl start once
	wait_until connected 0
	thoxctl logs -o cat once >"$THOX_DIR/out" 3>&- &
	follower=$!
	wait_until connected 1
	kill -CONT "$logd"
	wait "$follower"
	[ "$(cat "$THOX_DIR/out")" = $'said\nsaid' ]
}

@test "where thox-logd or thoxd hangs, logs are shown as far as they are written" {
	local thoxd

	define_once
	[ "$(thoxctl logs -o cat once)" = said ]
	kill -STOP "$logd"
	thoxctl start once
	[ "$(thoxctl logs -o cat once)" = said ]
	thoxd=$(thoxctl --json status | gojq .pid)
	kill -STOP "$thoxd"
	[ "$(thoxctl logs -o cat once)" = said ]
	kill -CONT "$thoxd" "$logd"
	thoxctl shutdown
	[ "$(thoxctl logs -o cat once)" = $'said\nsaid' ]
}
