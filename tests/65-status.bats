#!/usr/bin/env bats
# What thoxctl says of services: what they use, print, and died of.

load helper
load services

setup() {
	start_thox
	cd "$THOX_DIR" || return 1
}

teardown() {
	cd /
	stop_thox
}

# It serves `until`: `quit` ends it, `fail` raises an error in a function.
until_asked() {
	install_program until <<-'LUA'
		print("begins")
		os.bind("until")
		local function deep(why) error("no luck with " .. why) end
		while true do
			local e = os.pull("call")
			os.answer(e.cid, os.status.OK)
			if e.name == "until.quit" then os.exit(0) end
			if e.name == "until.fail" then deep("this") end
		end
	LUA
}

shows() {
	thoxctl status "$1" >"$THOX_DIR/shown" || true
	has_line "$THOX_DIR/shown" "$2"
}

@test "status shows the last lines of the log, and what is enforced with its use" {
	install_program talks 'for i = 1, 30 do print("line " .. i) end
		print("\27[31mred") while true do os.sleep(60) end'
	define talks 'program = talks' '[limits]' 'memory = 32M' 'cpu-time = 20s'
	thoxctl start talks
	wait_until shows talks 'line 30'
	wait_until shows talks '\x1b[31mred'
	run cat shown
	assert_output_has "(limit 32M)" "(limit 20.0 s)" "kernel: files" "seccomp 2" "network own"
	[[ $output != *"line 15"* ]]
	[ "$(field talks 'instances[0].process.limits.kernel_open_files')" -gt 0 ]
	thoxctl stop talks
	shows talks "line 30"
}

@test "status shows the last crash with its traceback, also when it runs again" {
	until_asked
	define until 'program = until' 'ready = bind'
	thoxctl start until
	thoxctl call until.fail
	wait_until shows until "last crash"
	wait_until shows until "until:3: no luck with this"
	run cat shown
	assert_output_has "stack traceback" "in local 'deep'" "restarts: 1"
	wait_until state_is until running
	# An end in good order is no crash.
	thoxctl call until.quit
	wait_until state_is until 'done'
	run thoxctl status until
	[[ $output != *"last crash"* ]]
}

@test "status shows calls, names and contexts of an instance" {
	until_asked
	define until 'program = until' 'ready = bind'
	thoxctl start until
	thoxctl call until.a
	thoxctl call until.b
	wait_until shows until "calls: 2"
	[ "$(field until 'instances[0].names[0]')" = until ]
	[ "$(field until 'instances[0].contexts')" -gt 0 ]
}

@test "start --wait returns when the service has ended" {
	until_asked
	define until 'program = until' 'ready = bind'
	thoxctl start --wait until >waited 2>&1 && echo ended >>waited &
	wait_until state_is until running
	[ ! -s waited ]
	thoxctl call until.quit
	wait_until has_line waited ended
	wait
	state_is until 'done'
	# Stopped is ended.
	thoxctl start --wait until >waited 2>&1 && echo ended >>waited &
	wait_until state_is until running
	thoxctl stop until
	wait_until has_line waited ended
	wait
}

@test "start --wait of one that fails for good is a failure" {
	until_asked
	define until 'program = until' 'ready = bind' '[restart]' 'policy = never'
	thoxctl start --wait until >waited 2>&1 || echo failed >>waited &
	wait_until state_is until running
	thoxctl call until.fail
	wait_until has_line waited failed
	wait
	run cat waited
	assert_output_has "until: failed"
}

@test "logs -u NAME is logs NAME" {
	local name

	for name in a b c; do
		install_program "$name" "print('this is $name')"
		define "$name" "program = $name" 'type = oneshot'
	done
	thoxctl start a b c
	for name in a b c; do
		wait_until logged "$name" "this is $name"
	done
	run thoxctl logs -u a
	assert_status 0
	assert_output_has "this is a"
	[[ $output != *"this is b"* ]]
	run thoxctl logs -u a b
	assert_output_has "this is a" "this is b"
	[[ $output != *"this is c"* ]]
	run thoxctl logs -u nobody
	assert_status 4
}
