#!/usr/bin/env bats
# What happens, and who calls whom.

load helper
load services

setup() {
	start_thox
	cd "$THOX_DIR" || return 1
	install_program stay 'while true do os.sleep(60) end'
}

teardown() {
	cd /
	[[ -z ${events:-} ]] || kill "$events" 2>/dev/null || true
	stop_thox
}

# Follow events into the file `events`; returns when they are followed.
follow() {
	thoxctl "$@" events >events 2>&1 &
	events=$!
	wait_until test -s events
}

# has_event JQ: is there one for which this holds?
has_event() {
	gojq -se "any(.[]; $1)" events
}

@test "events tell what services do, after a snapshot" {
	define greeter 'program = stay'
	follow --json
	[ "$(head -n 1 events | gojq -r '.type')" = snapshot ]
	[ "$(head -n 1 events | gojq -r '.services[0].name')" = greeter ]
	thoxctl start greeter
	wait_until has_event '.type == "service" and .from == "starting" and .state == "running"'
	wait_until has_event '.type == "started" and .service == "greeter" and .pid > 0 and .time_ms > 0'
	kill -KILL "$(pid_of_service greeter)"
	wait_until has_event '.type == "ended" and .signal == 9 and .service == "greeter"'
	wait_until has_event '.type == "service" and .restarts == 1'
	thoxctl stop greeter
	wait_until has_event '.type == "service" and .state == "inactive" and .why == "stopped"'
	# Each line is one object; no more may come while they are counted.
	kill "$events"
	wait "$events" || true
	[ "$(wc -l <events)" -eq "$(gojq -s length events)" ]
	while read -r line; do
		[ "$(gojq -s length <<<"$line")" -eq 1 ]
	done <events
}

@test "events tell of programs and of the store" {
	follow --json
	install_program hello 'print(1)'
	wait_until has_event '.type == "published" and .directory == "programs" and .name == "hello"'
	thox-exec hello
	wait_until has_event '.type == "ended" and .name == "hello" and .code == 0'
	echo 'print(' | thoxctl store put hello - || true
	wait_until has_event '.type == "rejected" and .name == "hello"'
	thoxctl store rm hello
	wait_until has_event '.type == "removed" and .name == "hello"'
}

@test "events for people" {
	define greeter 'program = stay'
	follow
	has_line events "service greeter is inactive"
	thoxctl start greeter
	wait_until has_line events "service greeter: starting -> running"
	wait_until has_line events "started pid="
	install_program hello 'print(1)'
	wait_until has_line events "published directory=programs name=hello version=1"
}

@test "events end with the instance, and who has gone is forgotten" {
	local i

	for i in {1..70}; do
		follow --json
		kill "$events"
		wait "$events" || true
		rm events
	done
	follow --json
	thoxctl shutdown
	wait_until is_gone "$events"
}

@test "a follower that does not read holds up nobody, and learns what it lost" {
	local i

	mkfifo pipe
	thoxctl --json events >pipe &
	events=$!
	exec 4<pipe
	read -r -u 4 line
	kill -STOP "$events"
	# Each makes two events.
	run thox-exec -e 'for i = 1, 300 do
		local pid = os.run_code("os.exit(0)", {name = ("n"):rep(100)}) os.wait_exit(pid) end print("through")'
	assert_status 0
	[ "$output" = through ]
	kill -CONT "$events"
	cat <&4 >events &
	exec 4<&-
	wait_until is_told_of_loss
}

# With the first event that has room again.
is_told_of_loss() {
	thox-exec -e 'print(1)'
	has_line events '"type":"lost"'
}

@test "graph shows who may call whom, and who does" {
	install_program greeter 'os.bind("greeter") while true do local e = os.pull("call") os.answer(e.cid, 0) end'
	install_program asks 'print("asked", os.wait(os.call(0, "greeter.a"))) while true do os.sleep(60) end'
	define greeter 'program = greeter' 'ready = bind'
	define asks 'program = asks' '[order]' 'requires = greeter' \
		'[allow]' 'call = greeter.*'
	define may 'program = asks' '[allow]' 'call = greeter.** !greeter.b'
	define denied 'program = asks' '[allow]' 'call = ** !greeter.**'
	thoxctl start greeter asks
	wait_until logged asks 'asked	0'
	run thoxctl graph
	assert_status 0
	[ "${lines[0]}" = "digraph thox {" ]
	[ "${lines[-1]}" = "}" ]
	assert_output_has '"asks" -> "greeter" [label="greeter"];' \
		'"may" -> "greeter" [label="greeter", style=dashed];'
	[[ $output != *'"asks" -> "greeter" [label="greeter", style=dashed]'* ]]
	[[ $output != *'"denied" -> "greeter"'* ]]
	run thoxctl --json graph
	[ "$(gojq -r '.does[0].from' <<<"$output")" = asks ]
	[ "$(gojq -r '.may[] | select(.from == "may").rule' <<<"$output")" = "greeter.**" ]
}
