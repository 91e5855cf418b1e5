#!/usr/bin/env bats
# Services that the clock starts.

load helper
load services

setup() {
	start_thox
	cd "$THOX_DIR" || return 1
	install_program job 'print("worked")'
	install_program stay 'print("stays") while true do os.sleep(60) end'
}

teardown() {
	cd /
	stop_thox
}

# has_worked NAME N: it has run N times or more, and been done each time.
has_worked() {
	[[ $(thoxctl logs "$1" | grep -c worked) -ge $2 ]]
}

next_of() {
	field "$1" 'next_ms'
}

# came_at NAME SECONDS: what a thoxd of before has written of a schedule.
came_at() {
	printf '%s %s\n' "$1" "$2" >>"$THOX_DIR/state/schedules"
}

@test "a service is started by the clock, again and again, while it is enabled" {
	define tick 'program = job' 'schedule = every 1s'
	[ "$(next_of tick)" -eq 0 ]
	run thoxctl status tick
	assert_output_has "every 1s (not followed)"
	thoxctl enable tick
	[ "$(next_of tick)" -gt 0 ]
	wait_until has_worked tick 3
	[ "$(field tick type)" = oneshot ]
	run thoxctl list
	assert_output_has NEXT tick "in "
	thoxctl disable tick
	[ "$(next_of tick)" -eq 0 ]
	run thoxctl list
	[[ $output != *" in "* ]]
}

@test "a service that still runs when its time comes is left alone" {
	local pid

	define slow 'program = stay' 'schedule = every 1s'
	thoxctl enable slow
	wait_until logged slow stays
	pid=$(pid_of_service slow)
	wait_until has_line "$THOX_DIR/state/thoxd.log" "its time has come, and it still runs"
	[ "$(pid_of_service slow)" -eq "$pid" ]
	[ "$(thoxctl logs slow | grep -c stays)" -eq 1 ]
}

@test "one that failed is started again when its time comes" {
	install_program bad 'print("worked") error("no luck")'
	define bad 'program = bad' 'schedule = every 1s'
	thoxctl enable bad
	wait_until has_worked bad 2
	thoxctl disable bad
	wait_until state_is bad failed
}

@test "it starts what it requires" {
	define db 'program = stay'
	define tick 'program = job' 'schedule = every 1s' '[order]' 'requires = db'
	thoxctl enable tick
	wait_until has_worked tick 1
	state_is db running
}

@test "an instance that comes up starts nothing whose time has not come" {
	define yearly 'program = stay' 'schedule = yearly' 'autostart = yes'
	[ "$(next_of yearly)" -gt 0 ]
	thoxctl shutdown
	thoxctl status >/dev/null
	[ "$(next_of yearly)" -gt 0 ]
	state_is yearly inactive
}

@test "missed times are skipped, or made up for once" {
	local long_ago

	define skips 'program = stay' 'schedule = yearly' 'autostart = yes'
	define makes-up 'program = job' 'schedule = yearly' 'catch-up = yes' 'autostart = yes'
	define rhythm 'program = stay' 'schedule = every 366d' 'autostart = yes'
	define new 'program = stay' 'schedule = every 366d' 'autostart = yes'
	wait_until test -s "$THOX_DIR/state/schedules"
	thoxctl shutdown
	long_ago=$(($(date +%s) - 400 * 24 * 3600))
	: >"$THOX_DIR/state/schedules"
	came_at skips "$long_ago"
	came_at makes-up "$long_ago"
	came_at rhythm "$long_ago"
	came_at gone "$long_ago"
	printf 'nonsense\nx 1 2\n:: 3\nworker 99999999999999999999999\n' >>"$THOX_DIR/state/schedules"
	thoxctl status >/dev/null
	wait_until state_is makes-up 'done'
	state_is skips inactive
	# What is counted from the last time is so over a restart.
	[ "$(($(next_of rhythm) / 1000))" -eq "$((long_ago + 2 * 366 * 24 * 3600))" ]
	[ "$(next_of new)" -ne "$(next_of rhythm)" ]
	wait_until logged_times makes-up worked 1
	# That it was made up for is remembered.
	thoxctl shutdown
	[ "$(grep -c . "$THOX_DIR/state/schedules")" -eq 4 ]
	thoxctl status >/dev/null
	state_is makes-up inactive
}

@test "another schedule in a definition is followed from now on, the same goes on" {
	local next

	define job 'program = job' 'schedule = every 100d' 'autostart = yes'
	next=$(next_of job)
	define job 'program = job' 'schedule = every 100d' 'autostart = yes' 'args = x'
	[ "$(next_of job)" -eq "$next" ]
	define job 'program = job' 'schedule = every 200d' 'autostart = yes'
	[ "$(next_of job)" -gt "$next" ]
	define job 'program = job' 'autostart = yes'
	[ "$(next_of job)" -eq 0 ]
	thoxctl store rm services/job
	run thoxctl status job
	assert_status 4
}

@test "instances of a template have their own times" {
	define worker 'program = job' 'args = %i' 'schedule = every 1s'
	thoxctl enable worker:blue
	wait_until has_worked worker:blue 1
	run thoxctl status worker:red
	assert_output_has "not followed"
}
