#!/usr/bin/env bats
# An instance begins, loses any of its processes, and ends.

load helper

setup() { start_thox; }
teardown() { stop_thox; }

keeper() { cat "$THOX_DIR/run/lock"; }

# PIDs of the keeper's children that are called $1.
children_called() {
	local pid

	for pid in $(cat "/proc/$(keeper)/task/$(keeper)/children"); do
		if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$1" ]]; then
			echo "$pid"
		fi
	done
}

thoxd_pid() { thoxctl status --json | grep -o '"pid": *[0-9]*' | head -n 1 | grep -o '[0-9]*$'; }
restarts() { thoxctl status --json | grep -o '"restarts": *[0-9]*' | grep -o '[0-9]*$'; }
restarted() { [[ $(restarts) -ge $1 ]]; }

# A program that waits until it is ended.
start_waiting() {
	install_program waiting 'io.stdout:write("up\n") io.stdout:flush() io.read("a")'
	mkfifo "$THOX_DIR/hold"
	thox-exec waiting <"$THOX_DIR/hold" >"$THOX_DIR/out" 2>&1 3>&- &
	client=$!
	exec 9>"$THOX_DIR/hold"
	wait_until has_line "$THOX_DIR/out" up
}

stop_waiting() { exec 9>&-; }

@test "a program runs, and its exit code comes back" {
	run -7 thox-exec -e 'io.write("out") os.exit(7)'
	[[ $output == out ]]
}

@test "two starts at once end in one instance" {
	thoxctl shutdown
	wait_until no_thox_process
	for i in 1 2 3 4 5 6; do
		thox-exec -e "print($i)" >"$THOX_DIR/out$i" 2>&1 3>&- &
	done
	for i in 1 2 3 4 5 6; do
		wait_until has_line "$THOX_DIR/out$i" "$i"
	done
	[[ $(pgrep -cf "^$THOX_LIBEXEC_DIR/thox-keeper" -s "$(keeper)") -eq 1 ]]
	[[ $(children_called thoxd | wc -l) -eq 1 ]]
}

@test "two keepers at once: the second says ready and leaves" {
	run -0 "$THOX_LIBEXEC_DIR/thox-keeper" </dev/null
	[[ $output == ready ]]
	[[ $(children_called thoxd | wc -l) -eq 1 ]]
}

@test "a second instance on the same store is refused, with the reason" {
	need_root # for the bind mount
	other=$(mktemp -d "$THOX_DIR/other.XXXXXX")
	mkdir -m 700 "$other/store"
	mount --bind "$THOX_DIR/store" "$other/store"
	THOX_DIR=$other run ! thoxctl status
	# Its keeper ends after it has told why.
	wait_until umount --quiet "$other/store"
	assert_output_has "is used by another"
}

@test "thoxd killed: it is started again, and runs of thox-exec end" {
	start_waiting
	runner=$(pid_of waiting)
	kill -KILL "$(thoxd_pid)"
	wait_until is_gone "$client"
	wait_until is_gone "$runner"
	run -0 thox-exec -e 'print("again")'
	[[ $output == again ]]
	wait_until restarted 1
	stop_waiting
}

@test "thoxd killed again and again: the instance comes back" {
	for i in 1 2 3; do
		kill -KILL "$(thoxd_pid)"
		wait_until restarted "$i"
	done
	run -0 thox-exec -e 'print("still")'
	[[ $output == still ]]
}

@test "the keeper killed: nothing stays behind" {
	start_waiting
	kill -KILL "$(keeper)"
	stop_waiting
	wait_until is_gone "$client"
	nothing_stays
}

@test "the keeper terminated: nothing stays behind" {
	start_waiting
	kill -TERM "$(keeper)"
	stop_waiting
	nothing_stays
}

@test "a zygote's death is logged with its PID and its cause" {
	thox-exec -e 'return 1'
	zygote=$(thoxctl status --json | gojq '.zygotes[0].pid')
	kill -KILL "$zygote"
	wait_until has_line "$THOX_DIR/state/thoxd.log" \
		"zygote pid=$zygote of runtime 'native': the zygote of runtime 'native' died of signal 9"
}

@test "a zygote killed: its programs go on, and the next start has another" {
	start_waiting
	for pid in $(children_called thox-zygote); do
		[[ $(readlink "/proc/$pid/exe") == *thox-zygote ]]
	done
	zygote=$(thoxctl status --json | tr -d ' \n' |
		grep -o '"zygotes":\[{"pid":[0-9]*' | grep -o '[0-9]*$')
	kill -KILL "$zygote"
	run -0 thox-exec -e 'print("from another")'
	[[ $output == "from another" ]]
	is_running waiting
	stop_waiting
	wait_until is_gone "$client"
}

@test "a runner killed from outside: its client is told" {
	start_waiting
	kill -KILL "$(pid_of waiting)"
	wait_until is_gone "$client"
	run -137 wait "$client"
	has_line "$THOX_DIR/out" killed
	stop_waiting
}

@test "a client killed: its program ends" {
	start_waiting
	runner=$(pid_of waiting)
	kill -KILL "$client"
	wait_until is_gone "$runner"
	stop_waiting
}

@test "a stopped runner can be killed" {
	start_waiting
	runner=$(pid_of waiting)
	kill -STOP "$runner"
	thoxctl kill "$runner"
	wait_until is_gone "$runner"
	stop_waiting
}

@test "pause stops a process, resume lets it go on" {
	start_waiting
	runner=$(pid_of waiting)
	thoxctl pause "$runner"
	wait_until process_state "$runner" T
	thoxctl resume "$runner"
	wait_until process_state "$runner" S R
	stop_waiting
	wait_until is_gone "$client"
}

@test "shutdown leaves no process, mount or socket" {
	start_waiting
	thoxctl shutdown
	stop_waiting
	nothing_stays
	[[ ! -e $THOX_DIR/run/control ]]
}

# Runners that wait are the zygote's copies: but for it all of them.
waiting_runners() {
	local pid zygote

	zygote=$(thoxctl status --json | tr -d ' \n' |
		grep -o '"zygotes":\[{"pid":[0-9]*' | grep -o '[0-9]*$')
	for pid in $(children_called thox-zygote); do
		[[ $pid -eq $zygote ]] || echo "$pid"
	done
}

# At least one, and each as described; one that is being made has more.
wait_with_their_link_alone() {
	local pid files

	[[ -n $(waiting_runners) ]] || return 1
	for pid in $(waiting_runners); do
		files=$(find "/proc/$pid/fd" -type l -printf '%f %l\n' | sort)
		# The epoll's number is kept free for it by a second name.
		[[ $files =~ ^3\ (socket:\[[0-9]+\])$'\n'4\ (.*)$ ]] || return 1
		[[ ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" ]] || return 1
	done
}

@test "a runner that waits has its control link and nothing else" {
	need_root # to look
	thox-exec -e 'print(1)'
	wait_until wait_with_their_link_alone
}

@test "SIGTERM of thoxd is a shutdown" {
	kill -TERM "$(thoxd_pid)"
	nothing_stays
}

@test "of processes that end in one moment each is told" {
	are_running() { [[ $(thoxctl ps | grep -c running) -eq $1 ]]; }
	local i pids=() status

	mkfifo "$THOX_DIR/all"
	for i in {1..20}; do
		thox-exec -e "io.read() os.exit($i)" <"$THOX_DIR/all" 3>&- &
		pids+=($!)
	done
	exec 9>"$THOX_DIR/all"
	wait_until are_running 20
	exec 9>&-
	for i in {1..20}; do
		status=0
		wait "${pids[i - 1]}" || status=$?
		[[ $status -eq $i ]]
	done
	are_running 0
}

@test "an instance whose directory is removed ends" {
	rm -r "$THOX_DIR/run"
	nothing_stays
}

@test "at a shutdown thox-storaged ends by itself, without the grace time" {
	stop_thox
	start_thox '[thoxd]' 'mount = no' 'grace-time = 10m'
	thoxctl kv set hello key 5
	timeout 60 thoxctl shutdown
	thoxctl status
	[ "$(thoxctl kv get hello key)" = 5 ]
	kill -KILL "$(thoxd_pid)"
	wait_until restarted 1
	[ "$(thoxctl kv get hello key)" = 5 ]
	timeout 60 thoxctl shutdown
}
