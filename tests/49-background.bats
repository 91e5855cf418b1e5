#!/usr/bin/env bats
# Runs that outlive their client: thox-exec -d.

load helper
load talk

setup_file() {
	start_thox '[thoxd]' 'mount = no' 'grace-time = 3s'
	export mnt thox_sessions
	install_program binds <<-'LUA'
		print("printed", ...)
		os.bind("here" .. (arg[1] or ""))
		while true do
		  local e = os.pull("call")
		  os.answer(e.cid, os.status.OK, e.service or "nobody")
		end
	LUA
	install_program serves <<-'LUA'
		io.stderr:write("to stderr\n")
		os.task(function() os.pull("nothing") end)
		os.listen(0, "x")
		os.ready()
	LUA
	install_program returns 'print("done") os.exit(tonumber(arg[1]))'
	install_program slow 'os.pull("nothing")'
}

teardown_file() {
	stop_thox
}

teardown() {
	local pid

	for pid in $(thoxctl --json ps | gojq '.[].pid'); do
		thoxctl kill "$pid" || true
	done
	end_clients
}

service_of() {
	thoxctl --json ps | gojq -r ".[] | select(.service == \"$1\") | .pid"
}

serves_as() {
	[[ -n $(service_of "$1") ]]
}

has_logged() {
	thoxctl logs "$1" | grep -qF -- "$2"
}

@test "it returns when a name is bound, and leaves a service of that name" {
	run -0 --separate-stderr thox-exec -d binds
	[ "$output" = binds ]
	run -0 thoxctl call here
	run -0 thoxctl ps
	assert_output_has binds
	serves_as binds
	run -0 thoxctl --json bus
	[ "$(gojq -r '.[] | select(.name == "here") | .service' <<<"$output")" = binds ]
	run -0 thoxctl --json tree
	[ "$(gojq -r '.[0].service' <<<"$output")" = binds ]
	run -0 thoxctl status "$(service_of binds)"
	assert_output_has binds
}

@test "thoxctl lists it, looks at it and stops it, as any service" {
	run -0 thox-exec -d --name web:blue binds
	run -0 thox-exec -d serves
	run -0 thoxctl list
	[ "${#lines[@]}" -eq 3 ]
	assert_output_has SERVICE "serves " "web:blue  running"
	run -0 thoxctl --json list 'web:*'
	gojq -e --argjson pid "$(service_of web:blue)" 'length == 1 and .[0].transient and
		.[0].state == "running" and .[0].pid == $pid and .[0].program == "binds" and
		.[0].provides == ["here"] and .[0].enabled == false and .[0].since_ms > 0' <<<"$output"
	run -0 thoxctl status web:blue
	assert_output_has web:blue "by thox-exec -d: gone at its end" \
		"program: binds" "names: here" "$(service_of web:blue)"
	[[ $output != *boot:* ]]
	run -0 thoxctl is-active web:blue serves
	run -1 thoxctl is-enabled web:blue
	run -0 thoxctl stop web:blue
	run -4 thoxctl status web:blue
	assert_output_has "no such service: web:blue"
	run -0 thoxctl --json bus
	[ "$output" = "[]" ]
	run -0 thoxctl stop '*'
	run -0 thoxctl --json ps
	[ "$output" = "[]" ]
	run -0 thoxctl --json list
	[ "$output" = "[]" ]
}

@test "one that does not want to stop is made to, and stop waits for that" {
	install_program stubborn <<-'LUA'
		os.task(function() while true do os.pull("terminate") end end)
		os.ready()
		os.pull("nothing")
	LUA
	run -0 thox-exec -d stubborn
	run -0 thoxctl stop --no-wait stubborn
	run -0 thoxctl stop stubborn
	run -0 thoxctl --json ps
	[ "$output" = "[]" ]
}

@test "services and runs in the background are stopped together" {
	install_program defined 'os.ready() os.pull("nothing")'
	printf '[service]\nprogram = defined\n' | thoxctl store put services/defined - >/dev/null
	run -0 thoxctl start defined
	run -0 thox-exec -d --name other defined
	run -0 thoxctl --json stop defined other
	gojq -e 'map([.name, .ok, .state]) == [["defined", true, "inactive"], ["other", true, "inactive"]]' \
		<<<"$output"
	run -0 thoxctl --json ps
	[ "$output" = "[]" ]
	thoxctl store rm services/defined
}

@test "what needs a definition is refused, and says so" {
	local command

	run -0 thox-exec -d binds
	for command in start restart try-restart reload reset enable disable; do
		run -1 thoxctl "$command" binds
		assert_output_has "binds was started by thox-exec -d and has no definition"
	done
	run ! thoxctl stop --dry-run binds
	assert_output_has "binds was started by thox-exec -d: it stops alone"
	run -4 thoxctl try-restart '*' # which it is not for
	assert_output_has "no service matches"
	serves_as binds
	run -4 thoxctl stop bind
	assert_output_has "did you mean 'binds'?"
}

@test "it returns when the program says that it is ready" {
	run -0 thox-exec -d serves
	[ "$output" = serves ]
	serves_as serves
}

@test "what it prints goes to the logs, both streams" {
	run -0 thox-exec -d --name logs binds a b
	wait_until has_logged logs $'printed\ta\tb'
	run -0 thox-exec -d --name errs serves
	wait_until has_logged errs "to stderr"
}

@test "its input is empty" {
	install_program reads 'print("read", io.read("a")) os.ready() os.pull("nothing")'
	run -0 bash -c 'echo secret | thox-exec -d reads'
	wait_until has_logged reads $'read\t'
	run ! has_logged reads secret
}

@test "names: the program's, with a number where it is taken, or one of one's own" {
	run -0 thox-exec -d binds 1
	[ "$output" = binds ]
	run -0 thox-exec -d binds 2
	[ "$output" = binds-2 ]
	run -0 thox-exec -d --name web:blue binds 3
	[ "$output" = web:blue ]
	serves_as web:blue
	run -125 thox-exec -d --name web:blue binds 4
	assert_output_has "there is a service 'web:blue' already"
	run -126 thox-exec -d --name 'no/name' binds 5
	assert_output_has "NAME or NAME:INSTANCE"
	run -0 thox-exec -d -e 'os.ready() os.pull("nothing")'
	[ "$output" = run ]
	printf 'os.ready() os.pull("nothing")' >"$BATS_TEST_TMPDIR/file.lua"
	run -0 thox-exec -d "$BATS_TEST_TMPDIR/file.lua"
	[ "$output" = file.lua ]
}

@test "a name of a service that is defined cannot be taken" {
	install_program defined 'os.ready() os.pull("nothing")'
	printf '[service]\nprogram = defined\n' | thoxctl store put services/defined - >/dev/null
	run -125 thox-exec -d --name defined defined
	assert_output_has "there is a service 'defined' already"
	run -0 thox-exec -d defined
	[ "$output" = defined-2 ]
	thoxctl store rm services/defined
}

@test "instances of one name may provide the same" {
	run -0 thox-exec -d --name pool:a binds
	run -0 thox-exec -d --name pool:b binds
	run -0 thoxctl --json bus
	[ "$(gojq '[.[] | select(.name == "here")] | length' <<<"$output")" = 2 ]
	# another's is taken
	run ! thox-exec -d binds
	wait_until has_logged binds "bound already"
}

@test "it is gone when it ends, and its name is free" {
	run -0 thox-exec -d binds
	thoxctl terminate "$(service_of binds)"
	wait_until no_process_runs
	run -0 thoxctl --json bus
	[ "$output" = "[]" ]
	run -0 thox-exec -d binds
	[ "$output" = binds ]
}

@test "one that ends before it serves is like any other run" {
	run -0 thox-exec -d returns 0
	[ -z "$output" ]
	run -3 thox-exec -d returns 3
	assert_output_has "it ended before it served" "thoxctl logs returns"
	wait_until has_logged returns "done"
	run -127 thox-exec -d nosuch
	assert_output_has "no such program"
	run -1 thox-exec -d -e 'error("on purpose")'
	wait_until has_logged run "on purpose"
}

@test "until it serves it is its client's" {
	start_client -d slow
	wait_until serves_as slow
	kill -KILL "$client"
	wait_until no_process_runs

	start_client -d slow
	wait_until serves_as slow
	kill -TERM "$client"
	ended_with 143

	start_client -d slow
	wait_until serves_as slow
	kill -INT "$client"
	ended_with 130
}

@test "once it serves it stays when its client's session goes" {
	run -0 bash -c 'setsid --wait thox-exec -d binds'
	run -0 thoxctl call here
}

@test "its children end with it" {
	install_program family 'os.run_code("while true do end", {name = "child"}) os.ready() os.pull("nothing")'
	run -0 thox-exec -d family
	is_running child
	thoxctl kill family
	wait_until no_process_runs
}

@test "the record of one in the background has its name" {
	run -0 --separate-stderr thox-exec -d --json --name rec binds
	[ "$output" = rec ]
	# shellcheck disable=SC2154 # of bats
	gojq -e '.service == "rec" and .reason == "background" and .exit == 0 and .pid > 1' <<<"$stderr"
}

@test "it has no limit of time, but those that it is given" {
	run -0 thox-exec -d --name timed --timeout 2 -e 'os.ready() os.pull("nothing")'
	wait_until no_process_runs
	run -0 thox-exec -d binds
	run -0 thoxctl --json status "$(service_of binds)"
	[ "$(gojq .limits.wall_ms <<<"$output")" = 0 ]
	[ "$(gojq .limits.cpu_ms <<<"$output")" = 0 ]
	[ "$(gojq .limits.memory_bytes <<<"$output")" -gt 0 ]
}

@test "--allow and --deny hold for it" {
	run ! thox-exec -d --deny 'bind=here' binds
	wait_until has_logged binds DENIED
	run -0 thox-exec -d --allow 'bind=here.*' binds .x
	[ "$output" = binds ]
}
