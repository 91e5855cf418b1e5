#!/usr/bin/env bats
# Services that say when they are ready, and that they are well.

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

# A program that answers each call of `patient` with a word: well, ill or
# silent, and obeys `patient.be`.
patient() {
	install_program patient <<-'LUA'
		local how = ...
		print("begins")
		os.bind("patient")
		while true do
			local e = os.pull("call")
			if e.name == "patient.be" then
				how = e.args[1]
				os.answer(e.cid, os.status.OK)
			elseif how == "well" then
				print("checked")
				os.answer(e.cid, os.status.OK)
			elseif how == "ill" then
				os.answer(e.cid, os.status.ERROR, "ill")
			else
				print("silent")
			end
		end
	LUA
}

has_said() {
	[[ $(thoxctl logs "$1" | grep -c "$2") -ge $3 ]]
}

restarts_are() {
	[[ $(field "$1" restarts) -ge $2 ]]
}

thoxd_says() {
	has_line "$THOX_DIR/state/thoxd.log" "$1"
}

@test "ready = notify waits until the program says so" {
	install_program late 'os.bind("late") print("waits")
		local e = os.pull("call") os.ready("now") os.answer(e.cid, 0)
		while true do os.sleep(60) end'
	define late 'program = late' 'ready = notify'
	install_program stay 'while true do os.sleep(60) end'
	define after 'program = stay' '[order]' 'requires = late'
	thoxctl start --no-wait after
	wait_until logged late waits
	state_is late starting
	state_is after inactive
	thoxctl call late.go
	wait_until state_is after running
	state_is late running
}

@test "one that never says it has failed when its time is over" {
	install_program never 'while true do os.sleep(60) end'
	define never 'program = never' 'ready = notify' 'start-timeout = 200ms' '[restart]' 'policy = never'
	run thoxctl start never
	assert_status 1
	assert_output_has "it was not ready in time"
}

@test "os.ready means nothing to those that are ready otherwise" {
	install_program eager 'os.ready() os.alive() print("went on") while true do os.sleep(60) end'
	define eager 'program = eager' 'ready = bind' 'start-timeout = none'
	thoxctl start --no-wait eager
	wait_until logged eager "went on"
	state_is eager starting
	thoxctl stop eager
}

@test "the watchdog ends a service that gives no sign of life, and it starts again" {
	install_program dog 'print("begins") os.ready() os.alive() while true do os.sleep(60) end'
	define dog 'program = dog' 'ready = notify' '[health]' 'watchdog = 200ms' \
		'[restart]' 'delay = 10ms'
	thoxctl start dog
	wait_until has_said dog begins 3
	wait_until ended_unwell dog
	run thoxctl logs dog
	assert_output_has begins
	thoxd_says "service dog: no sign of life in time"
}

ended_unwell() {
	[[ $(field "$1" 'instances[0].last_end.reason') == killed ]]
}

@test "the watchdog leaves one alone that says that it lives" {
	install_program dog 'os.ready() for i = 1, 20 do os.alive() os.sleep(0.1) end
		print("lives") while true do os.alive() os.sleep(0.1) end'
	define dog 'program = dog' 'ready = notify' '[health]' 'watchdog = 20s'
	thoxctl start dog
	wait_until logged dog lives
	[ "$(field dog restarts)" -eq 0 ]
}

@test "a check is called again and again while the service runs" {
	patient
	define patient 'program = patient' 'args = well' 'ready = bind' \
		'[health]' 'check = patient.ping' 'interval = 300ms' 'failures = 20'
	thoxctl start patient
	wait_until has_said patient checked 3
	[ "$(field patient restarts)" -eq 0 ]
	thoxctl stop patient
	wait_until no_process
}

no_process() {
	[[ $(thoxctl --json ps) == "[]" ]]
}

@test "bad answers in a row end the service, and it starts again" {
	patient
	define patient 'program = patient' 'args = well' 'ready = bind' \
		'[health]' 'check = patient.ping' 'interval = 300ms' 'failures = 2' \
		'[restart]' 'limit = none' 'delay = 10ms'
	thoxctl start patient
	wait_until logged patient checked
	thoxctl call patient.be ill
	wait_until thoxd_says "service patient: its check patient.ping: ERROR ("
	wait_until thoxd_says " (2 of 2)" # which may be no answer in time
	wait_until has_said patient begins 2
	wait_until restarts_are patient 1
	wait_until state_is patient running
}

@test "no answer in time is a bad one, and so is one that nobody gives" {
	patient
	define patient 'program = patient' 'args = silent' 'ready = bind' \
		'[health]' 'check = patient.ping' 'interval = 200ms' 'failures = 1' \
		'[restart]' 'policy = never'
	thoxctl start patient
	wait_until state_is patient failed
	thoxd_says "its check patient.ping: TIMEOUT (1 of 1)"
	run thoxctl status patient
	assert_output_has "it gave no sign of health"
	define alone 'program = patient' 'ready = start' 'provides = patient' \
		'[health]' 'check = nobody.ping' 'interval = 200ms' 'failures = 1' \
		'[restart]' 'policy = never'
	thoxctl start alone
	wait_until state_is alone failed
	thoxd_says "its check nobody.ping: NOT_FOUND (1 of 1)"
}

@test "a service may start children, which end with it" {
	install_program family 'local pid = os.run_code("print(\"child\") io.stdout:flush() os.sleep(60)", {name = "kid"})
		print("kid", pid) while true do os.sleep(60) end'
	define family 'program = family' '[allow]' 'run = **' 'call = process.run'
	thoxctl start family
	wait_until logged family child
	[ "$(thoxctl --json ps | gojq length)" -eq 2 ]
	thoxctl stop family
	wait_until no_process
}

# keeps_its_part BEGAN: it has gone on, and has used a tenth of the time.
keeps_its_part() {
	local used took

	used=$(cpu_of busy)
	took=$((($(date +%s%N) - $1) / 1000))
	((used > 300000 && used < took / 10 + 50000))
}

@test "cpu-percent holds a service that takes more, and lets it end" {
	local began

	install_program busy 'print("begins") while true do end'
	define busy 'program = busy' '[limits]' 'cpu-percent = 10'
	began=$(date +%s%N)
	thoxctl start busy
	wait_until is_held busy
	wait_until keeps_its_part "$began"
	run thoxctl stop busy
	assert_status 0
	state_is busy inactive
}
