#!/usr/bin/env bats
# An instance that does not run is started by its clients; its end.

load helper

setup() {
	prepare_thox '[thoxd]' 'mount = no'
}

teardown() {
	stop_thox
}

environment_of() {
	tr '\0' '\n' <"/proc/$1/environ"
}

keeper() {
	thoxctl --json status | gojq .keeper_pid
}

@test "thox-exec starts it, and says nothing about it" {
	run --separate-stderr thox-exec -e 'return 1'
	assert_status 0
	[ "$output" = 1 ]
	# shellcheck disable=SC2154 # of bats
	[ -z "$stderr" ]
}

@test "thoxctl starts it" {
	run thoxctl ps
	assert_status 0
	run env THOX_NO_AUTOSTART=1 thoxctl ps
	assert_status 0
}

@test "THOX_NO_AUTOSTART=1 forbids it, 0 does not" {
	run env THOX_NO_AUTOSTART=1 thox-exec -e 'return 1'
	assert_status 125
	assert_output_has THOX_NO_AUTOSTART
	run env THOX_NO_AUTOSTART=0 thox-exec -e 'return 1'
	assert_status 0
}

@test "twenty starts at once end in one thoxd" {
	local i

	for i in {1..20}; do
		thox-exec -e 'return 1' >"$THOX_DIR/out.$i" 2>&1 3>&- &
	done
	wait
	for i in {1..20}; do
		[ "$(cat "$THOX_DIR/out.$i")" = 1 ] || {
			cat "$THOX_DIR/out.$i"
			return 1
		}
	done
	run grep -c ' serves ' "$THOX_DIR/state/thoxd.log"
	[ "$output" -eq 1 ]
	[ "$(grep -lzxF "THOX_DIR=$THOX_DIR" /proc/[0-9]*/environ 2>/dev/null |
		xargs -n 1 dirname | xargs -I {} cat {}/comm |
		grep -cx thox-keeper)" -eq 1 ]
}

@test "it has a session of its own, a clean environment, and no descriptor of the caller's" {
	local pid

	exec {extra}<"$THOX_DIR/thoxd.conf"
	SECRET_OF_MINE=1 thox-exec -e 'return 1'
	exec {extra}<&-
	pid=$(keeper)
	[ "$(ps -o sid= -p "$pid" | tr -d ' ')" = "$pid" ]
	[ "$(readlink "/proc/$pid/cwd")" = / ]
	run environment_of "$pid"
	[[ $output != *SECRET_OF_MINE* ]]
	assert_output_has "THOX_DIR=$THOX_DIR" PATH=
	run ls -l "/proc/$pid/fd"
	[[ $output != *thoxd.conf* ]]
	[ "$(readlink "/proc/$pid/fd/0")" = /dev/null ]
}

@test "it goes on when the terminal of its starter goes" {
	"$helpers/pty" expect:42 -- bash -c 'thox-exec -e "return 42"'
	run env THOX_NO_AUTOSTART=1 thox-exec -e 'return 1'
	assert_status 0
}

@test "a start that fails says why, with 125 and 3" {
	run env THOX_LIBEXEC_DIR="$THOX_DIR" thox-exec -e 'return 1'
	assert_status 125
	assert_output_has "$THOX_DIR/thox-keeper"
	run env THOX_LIBEXEC_DIR="$THOX_DIR" thoxctl ps
	assert_status 3
	printf '#!/bin/sh\necho the reason\nexit 1\n' >"$THOX_DIR/thox-keeper"
	chmod +x "$THOX_DIR/thox-keeper"
	run env THOX_LIBEXEC_DIR="$THOX_DIR" thox-exec -e 'return 1'
	assert_status 125
	assert_output_has "did not start" "the reason"
	printf '#!/bin/sh\n' >"$THOX_DIR/thox-keeper"
	run env THOX_LIBEXEC_DIR="$THOX_DIR" thox-exec -e 'return 1'
	assert_status 125
	assert_output_has "did not start" "log"
}

@test "a directory that others may write is not used" {
	mkdir -p "$THOX_DIR/run"
	chmod 777 "$THOX_DIR/run"
	run thox-exec -e 'return 1'
	assert_status 125
	assert_output_has "$THOX_DIR/run" "others may write it"
}

@test "a directory that is a file is said" {
	touch "$THOX_DIR/run"
	run thox-exec -e 'return 1'
	assert_status 125
	assert_output_has "$THOX_DIR/run" "Not a directory"
	rm "$THOX_DIR/run"
}

@test "a socket that nobody serves any more is no obstacle" {
	thox-exec -e 'return 1'
	kill -KILL "$(keeper)"
	wait_until no_thox_process
	[ -S "$THOX_DIR/run/control" ]
	run thox-exec -e 'return 2'
	assert_status 0
	[ "$output" = 2 ]
}

@test "shutdown ends all, and returns when nothing is left" {
	thox-exec -e 'print("ready") io.stdout:flush() while true do end' >"$THOX_DIR/out" 2>&1 3>&- &
	client=$!
	wait_until has_line "$THOX_DIR/out" ready
	run thoxctl shutdown
	assert_status 0
	[ -z "$(THOX_NO_AUTOSTART=1 thox_processes | grep -vx "$client")" ]
	wait "$client" || code=$?
	[ "$code" -ne 0 ]
	run thoxctl shutdown
	assert_status 3
}

@test "a thoxd that is stopped is said not to answer" {
	thox-exec -e 'return 1'
	pid=$(thoxctl --json status | gojq .pid)
	kill -STOP "$pid"
	# Into a file: the descriptors sent wait in the stopped thoxd's queue,
	# so that a pipe would not end before it goes on.
	run bash -c 'thox-exec -e "return 1" >"$1" 2>&1 3>&-' - "$THOX_DIR/out"
	kill -CONT "$pid"
	assert_status 125
	has_line "$THOX_DIR/out" "does not answer"
}

@test "systemd is told when clients are served, and when no more" {
	local listener

	"$helpers/poke" listen "$THOX_DIR/notify" 2 >"$THOX_DIR/told" 3>&- &
	listener=$!
	wait_until has_line "$THOX_DIR/told" listening
	NOTIFY_SOCKET=$THOX_DIR/notify "$THOX_LIBEXEC_DIR/thox-keeper" \
		</dev/null >/dev/null 2>&1 3>&- &
	keeper=$!
	# Clients are served before that.
	wait_until has_line "$THOX_DIR/told" READY=1
	thoxctl shutdown
	wait "$listener"
	wait "$keeper"
	[[ $(<"$THOX_DIR/told") == $'listening\nREADY=1\nSTOPPING=1' ]]
}

@test "as process 1 of a container the keeper reaps strangers, and ends when it is told" {
	local container keeper stranger

	need_root
	unshare --pid --fork --mount-proc "$THOX_LIBEXEC_DIR/thox-keeper" --foreground \
		</dev/null >"$THOX_DIR/said" 2>&1 3>&- &
	container=$!
	THOX_NO_AUTOSTART=1 wait_until thoxctl status
	keeper=$(pgrep -P "$container")
	[[ $(thoxctl --json status | gojq .keeper_pid) -eq 1 ]]
	[[ $(thox-exec -e 'return 6 * 7') == 42 ]]
	# Its own parent ends first, so that process 1 inherits it.
	nsenter -t "$keeper" -p -m bash -c 'sleep 600 </dev/null >/dev/null 2>&1 3>&- &'
	wait_until pgrep -P "$keeper" -x sleep # it may not be executed yet
	stranger=$(pgrep -P "$keeper" -x sleep)
	kill "$stranger"
	wait_until eval "[[ ! -d /proc/$stranger ]]" # not a zombie either
	thox-exec -e 'return 1'
	kill -TERM "$keeper"
	wait "$container"
	nothing_stays
}
