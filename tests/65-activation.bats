#!/usr/bin/env bats
# Services that the first call of what they provide starts.

load helper
load services

setup() {
	start_thox
	cd "$THOX_DIR" || return 1
	serving one | install_program greeter
}

teardown() {
	cd /
	stop_thox
}

# A program that serves `greeter` and answers with WHICH. It sleeps as long as
# it is asked to.
serving() {
	printf 'local which = "%s"\n' "$1"
	cat <<-'LUA'
		print("begins")
		os.bind("greeter")
		while true do
			local e = os.pull("call")
			os.task(function()
				if e.name == "greeter.sleep" then
					print("sleeps")
					os.sleep(e.args[1])
				end
				os.answer(e.cid, os.status.OK, which)
			end)
		end
	LUA
}

# Has it begun so often, and no oftener, by now?
has_begun() {
	wait_until logged_times greeter begins "$1"
}

has_begun_again() {
	[[ $(thoxctl logs greeter | grep -c begins) -ge 2 ]]
}

@test "the first call starts the service, waits, and is answered" {
	define greeter 'program = greeter' 'activation = call' 'ready = bind'
	state_is greeter inactive
	[ "$(thoxctl call greeter.greet)" = one ]
	state_is greeter running
	[ "$(thoxctl call greeter.greet)" = one ]
	has_begun 1
	# One that was stopped comes back as well.
	thoxctl stop greeter
	[ "$(thoxctl call greeter.greet)" = one ]
	has_begun 2
}

@test "one that is ready at its start is waited for until it has bound the name" {
	define greeter 'program = greeter' 'activation = call'
	[ "$(thoxctl call greeter.greet)" = one ]
}

@test "many first calls at once start it once" {
	local i

	define greeter 'program = greeter' 'activation = call' 'ready = bind'
	for i in {1..8}; do
		thoxctl call greeter.greet >"answer.$i" &
	done
	wait
	[ "$(cat answer.* | grep -c one)" -eq 8 ]
	has_begun 1
}

@test "a program's call starts it, with what it requires" {
	install_program stay 'while true do os.sleep(60) end'
	define db 'program = stay'
	define greeter 'program = greeter' 'activation = call' 'ready = bind' \
		'[order]' 'requires = db'
	run thox-exec -e 'print(os.wait(os.call(0, "greeter.greet")))'
	assert_status 0
	[ "$output" = "0	one" ]
	state_is db running
}

@test "who may not call it does not start it, nor does another name" {
	define greeter 'program = greeter' 'activation = call'
	run thox-exec --deny call='greeter.**' -e 'print(os.wait(os.call(0, "greeter.greet")))'
	assert_output_has "3	"
	run thoxctl call greeters.greet
	assert_status 4
	state_is greeter inactive
}

@test "only the definition makes it so" {
	define greeter 'program = greeter'
	run thoxctl call greeter.greet
	assert_status 4
	state_is greeter inactive
}

@test "one that fails is told to the callers, and stays failed" {
	install_program greeter 'print("begins") error("no luck")'
	define greeter 'program = greeter' 'activation = call' 'ready = bind' \
		'[restart]' 'limit = 2/1min' 'delay = 10ms'
	run thoxctl call greeter.greet
	assert_status 1
	assert_output_has "service greeter, which provides it, is failed"
	state_is greeter failed
	has_begun 3
	run thoxctl call greeter.greet
	assert_status 1
	assert_output_has "is failed"
	has_begun 3
	serving one | install_program greeter
	thoxctl reset greeter
	[ "$(thoxctl call greeter.greet)" = one ]
}

@test "what it requires fails: the callers are told" {
	install_program quick 'os.exit(1)'
	define db 'program = quick' 'type = oneshot'
	define greeter 'program = greeter' 'activation = call' '[order]' 'requires = db'
	run thoxctl call greeter.greet
	assert_status 1
	assert_output_has "db, which it requires, did not start"
	define greeter 'program = greeter' 'activation = call' '[order]' 'requires = nobody'
	run thoxctl call greeter.greet
	assert_status 1
	assert_output_has nobody
}

@test "one that never binds the name is waited for as long as a start may take" {
	install_program greeter 'while true do os.sleep(60) end'
	define greeter 'program = greeter' 'activation = call' 'start-timeout = 200ms'
	run thoxctl call greeter.greet
	assert_status 1
	assert_output_has "did not bind it in time"
}

@test "a caller that goes, and a service that is removed, leave nothing behind" {
	install_program greeter 'print("begins") while true do os.sleep(60) end'
	define greeter 'program = greeter' 'activation = call' 'ready = bind'
	thoxctl call greeter.greet &
	has_begun 1
	kill "$!"
	thoxctl call greeter.greet >answer 2>&1 &
	thoxctl store rm services/greeter
	thoxctl stop greeter
	wait
	run thoxctl status greeter
	assert_status 4
}

@test "a call that waits when the instance ends is over" {
	install_program greeter 'print("begins") while true do os.sleep(60) end'
	define greeter 'program = greeter' 'activation = call' 'ready = bind'
	thoxctl call greeter.greet >answer 2>&1 &
	has_begun 1
	thoxctl shutdown
	wait
}

@test "one that is not called any more is stopped, and started by the next call" {
	define greeter 'program = greeter' 'activation = call' 'ready = bind' \
		'idle-timeout = 100ms'
	[ "$(thoxctl call greeter.greet)" = one ]
	wait_until state_is greeter inactive
	[ "$(field greeter restarts)" -eq 0 ]
	[ "$(thoxctl call greeter.greet)" = one ]
	wait_until has_begun_again
	wait_until state_is greeter inactive
}

# begins_again: has it begun after it had taken the call that sleeps?
begins_again() {
	thoxctl logs greeter | sed '1,/sleeps/d' | grep -q begins
}

@test "one that serves a call is not idle, nor one that somebody started" {
	local pid

	define greeter 'program = greeter' 'activation = call' 'ready = bind' \
		'idle-timeout = 50ms'
	[ "$(thoxctl call greeter.sleep 1)" = one ]
	# It may have begun twice before: a caller that is slow to call finds
	# that it has left, and starts the next one.
	wait_until logged greeter sleeps
	run ! begins_again
	wait_until state_is greeter inactive
	thoxctl start greeter
	pid=$(pid_of_service greeter)
	[ "$(thoxctl call greeter.sleep 1)" = one ]
	[ "$(pid_of_service greeter)" -eq "$pid" ]
	thoxctl is-active greeter
}

@test "one that another service requires is not stopped" {
	install_program stay 'print("stays") while true do os.sleep(60) end'
	define greeter 'program = greeter' 'activation = call' 'ready = bind' \
		'idle-timeout = 50ms'
	[ "$(thoxctl call greeter.greet)" = one ]
	define user 'program = stay' '[order]' 'requires = greeter'
	thoxctl start user
	[ "$(thoxctl call greeter.sleep 1)" = one ]
	state_is user running
	state_is greeter running
}

@test "callers that come and go around the end lose no call" {
	define greeter 'program = greeter' 'activation = call' 'ready = bind' \
		'idle-timeout = 10ms'
	cat >caller.lua <<-'LUA'
		local failed = 0
		for i = 1, 60 do
			local status, who = os.wait(os.call(0, "greeter.greet"))
			if status ~= os.status.OK or who ~= "one" then
				failed = failed + 1
				print("failed", i, status, who)
			end
			os.sleep(i % 4 / 100)
		end
		print("all", failed)
	LUA
	run thox-exec ./caller.lua
	assert_status 0
	[ "$output" = "all	0" ]
	wait_until state_is greeter inactive
	wait_until has_begun_again
}
