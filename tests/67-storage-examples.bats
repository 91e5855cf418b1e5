#!/usr/bin/env bats
# The examples that keep something: counter, jobs, sessions, leader.

load helper
load talk

source_dir=${THOX_SOURCE_DIR:-$BATS_TEST_DIRNAME/..}

setup_file() {
	start_thox '[thoxd]' 'mount = no'
	export mnt thox_sessions
	local name

	for name in counter jobs sessions leader; do
		install_program "$name" <"$source_dir/contrib/examples/$name.lua"
	done
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

kill_storaged() {
	local pid

	pid=$(pgrep -f "^[^ ]*/thox-storaged $THOX_DIR/")
	kill -KILL "$pid"
	wait_until is_gone "$pid"
}

has_lines() {
	[[ $(wc -l <"$1") -ge $2 ]]
}

@test "counter: kill -9 of it, of thox-storaged and of thoxd loses no number" {
	local last round

	[ "$(thox-exec counter 3)" = $'1\n2\n3' ]
	last=3
	for round in runner storaged thoxd; do
		start_client counter
		wait_until has_lines "$out" 20
		case $round in
		runner) kill -KILL "$(running_pid counter)" ;;
		storaged) kill_storaged ;;
		thoxd) kill -KILL "$(thoxctl --json status | gojq .pid)" ;;
		esac
		wait_until is_gone "$client"
		# Each number once and in order; what was counted last may not
		# have been printed any more.
		grep -E '^[0-9]+$' "$out" >"$out.numbers"
		diff "$out.numbers" <(seq $((last + 1)) $((last + $(wc -l <"$out.numbers"))))
		last=$(tail -n 1 "$out.numbers")
		run thox-exec counter 1
		echo "$round: $last, then $output"
		((output > last && output <= last + 2))
		last=$output
	done
}

@test "jobs: one that is not done in time is another's" {
	thox-exec jobs put easy
	start_client jobs work 3600
	wait_until has_line "$out" "has done easy"
	thox-exec jobs put 'hard one'
	wait_until has_line "$out" "works on hard one"
	run thox-exec jobs list
	[[ $output == *"hard one"*"process "* ]]
	# A second worker has nothing to do, until the first one's lease ends.
	local first=$out
	start_client jobs work 3600
	thox-exec jobs put 'easy two'
	wait_until has_line "$out" "has done easy two"
	run ! has_line "$out" "works on hard"
	thoxctl kv set jobs lease/job/000000002 0 --ttl 10ms
	wait_until has_line "$out" "works on hard one"
	run ! has_line "$first" "has done hard"
	has_line "$first" "has done easy"
}

@test "sessions end when nobody asks for them, and outlive the service" {
	local id

	thox-exec -d sessions 1000
	id=$(thoxctl call sessions.open alice)
	[[ $id =~ ^[0-9a-f]{32}$ ]]
	[ "$(thoxctl call sessions.who "$id")" = alice ]
	kill -KILL "$(running_pid sessions)"
	wait_until is_not_running sessions
	thox-exec -d sessions 0.5
	[ "$(thoxctl call sessions.who "$id")" = alice ]
	wait_until nobody "$id"
	id=$(thoxctl call sessions.open bob)
	thoxctl call sessions.close "$id"
	[ "$(thoxctl call sessions.who "$id")" = nil ]
}

# Without asking, which would keep it
nobody() {
	! thoxctl kv get sessions "$1"
}

@test "leader: when it dies the next one leads, and nobody beside it" {
	local first second first_pid

	start_client leader
	first=$out
	wait_until has_line "$first" leads
	first_pid=$(running_pid leader)
	start_client leader
	second=$out
	wait_until has_line "$second" "stands by"
	run ! has_line "$second" leads
	wait_until one_waits
	kill -KILL "$first_pid"
	wait_until has_line "$second" leads
	run ! has_line "$first" "leads no more"
	# thox-storaged forgets who led, and says so; somebody leads again.
	kill_storaged
	wait_until has_line "$second" "leads no more"
	wait_until leads_again "$second" || {
		cat "$second" >&2
		return 1
	}
}

one_waits() {
	[[ $(thoxctl --json locks leader | gojq 'map(select(.held | not)) | length') == 1 ]]
}

leads_again() {
	[[ $(grep -c 'leads$' "$1") -ge 2 ]]
}
