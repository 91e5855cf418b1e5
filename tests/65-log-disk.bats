#!/usr/bin/env bats
# A disk of logs that is full, and then is not.

load helper
load services

setup() {
	prepare_thox
	cd "$THOX_DIR" || return 1
	mkdir -p state/logs
	small=
	if [[ $(id -u) == 0 ]] && mount -t tmpfs -o size=256k none state/logs; then
		small=$THOX_DIR/state/logs
	fi
	install_program chatty <<-'LUA'
		require("daemon").rpc.chatty.say = function(_, text) print(text) end
	LUA
	define chatty 'program = chatty' 'ready = bind'
	install_program other 'print("here") os.sleep(60)'
	define other 'program = other'
	thoxctl start chatty
	thoxctl call chatty.say first
	wait_until logged chatty first
}

teardown() {
	cd /
	[[ -z $small ]] || {
		thoxctl shutdown
		wait_until umount "$small"
	}
	stop_thox
}

# No more page fits in. Without the right to mount a small disk thox-logd meets
# a limit as it would a full one.
fill() {
	if [[ -n $small ]]; then
		head -c 1M /dev/zero >"$small/filler" 2>/dev/null || true
	else
		prlimit --pid "$(logd_pid)" --fsize=4000:
	fi
}

make_room() {
	if [[ -n $small ]]; then
		rm "$small/filler"
	else
		prlimit --pid "$(logd_pid)" --fsize=unlimited:
	fi
}

logd_pid() {
	thox_processes | sort -u | while read -r pid; do
		[[ $(<"/proc/$pid/comm") != thox-logd ]] || echo "$pid"
	done
}

problem() {
	thoxctl --json status | gojq -r '.log_problem // ""'
}

# A page of text, so that what has room on the disk still is used up.
say_much() {
	thoxctl call chatty.say "$(printf '%5000s' "$1")"
}

is_told() {
	say_much lost
	[[ $(problem) == "the log of 'chatty' cannot be written: "* ]]
}

is_over() {
	[[ -z $(problem) ]]
}

@test "a full disk is told, harms no service, and its lines are counted" {
	local pid

	pid=$(pid_of_service chatty)
	fill
	wait_until is_told
	run thoxctl status
	assert_output_has "the log of 'chatty' cannot be written: "
	run cat state/thoxd.log
	assert_output_has "log of 'chatty' cannot be written: " "its lines are lost"
	state_is chatty running
	say_much lost
	make_room
	thoxctl call chatty.say again
	wait_until logged chatty again
	wait_until is_over
	run thoxctl logs chatty -o cat
	assert_output_has first "lines were lost: "
	[ "$(pid_of_service chatty)" -eq "$pid" ]
	[ "$(field chatty restarts)" -eq 0 ]
}

@test "a service whose log has no room is started and stopped as any other" {
	fill
	wait_until is_told
	thoxctl start other
	state_is other running
	thoxctl stop other
	thoxctl restart chatty
	state_is chatty running
	thoxctl stop chatty
	state_is chatty inactive
}
