#!/usr/bin/env bats
# A system call of thoxd fails, once, while services run: they are as they
# should be afterwards. THOX_TEST_FAULTS=all has each call fail at each of its
# first five turns, which takes a quarter of an hour.

load helper
load services

# Each with an error that the kernel may give.
sample="sendmsg:ENOBUFS:1 sendmsg:ENOMEM:4 recvmsg:ENOMEM:2 epoll_ctl:ENOMEM:1
	accept4:EMFILE:1 openat:EMFILE:1 pipe2:EMFILE:1 socketpair:EMFILE:1
	prlimit64:EPERM:1 recvfrom:ENOMEM:1 getsockopt:ENOMEM:1 pread64:EIO:1"

setup() {
	command -v strace >/dev/null || skip "strace is not installed"
	strace -o /dev/null true 2>/dev/null || skip "ptrace is not allowed here"
	start_thox
	cd "$THOX_DIR" || return 1
	install_program idle 'os.pull("never")'
	install_program greeter 'local daemon = require "daemon"
		function daemon.rpc.greeter.greet() return "hello" end'
	define killed 'program = idle' '[restart]' 'policy = always' \
		'delay = 1ms' 'max-delay = 100ms' 'limit = none'
	define restarted 'program = idle'
	define greeter 'program = greeter' 'ready = bind' '[restart]' \
		'policy = always' 'delay = 1ms' 'max-delay = 100ms' 'limit = none'
	thoxctl start killed restarted greeter
}

teardown() {
	cd /
	stop_thox
}

thoxd_pid() {
	thoxctl --json status | gojq .pid
}

# What fails works when it is tried again: one call failed, once.
twice() {
	timeout 60 "$@" || timeout 60 "$@"
}

another_pid() {
	[[ $(pid_of_service "$1") != 0 && $(pid_of_service "$1") != "$2" ]]
}

# All that thoxd does for services, and for somebody at a terminal.
exercise() {
	local pid

	pid=$(twice thoxctl --json show killed | gojq '.[0].pid // 0')
	[[ $pid == 0 ]] || kill -KILL "$pid"
	twice thoxctl restart restarted
	twice thoxctl call greeter.greet
	twice thox-exec -e 'print("ran")'
	twice thoxctl stop restarted
	twice thoxctl start restarted
	wait_until another_pid killed "$pid"
}

# under_fault CALL:ERROR:TURN COMMAND…: thoxd's call fails at that turn.
under_fault() {
	local call error turn strace code=0

	IFS=: read -r call error turn <<<"$1"
	strace -qq -o trace -e trace="$call" \
		-e inject="$call:error=$error:when=$turn" \
		-p "$(thoxd_pid)" 2>strace.log 3>&- &
	strace=$!
	wait_until is_traced
	"${@:2}" || code=$?
	kill -INT "$strace" 2>/dev/null || true
	wait "$strace" || true
	return $code
}

is_traced() {
	! grep -q '^TracerPid:[[:space:]]*0$' "/proc/$(thoxd_pid_known)/status"
}

# Without asking it, which counts as a turn.
thoxd_pid_known() {
	cat thoxd.pid
}

has_happened() {
	grep -q INJECTED trace
}

all_run() {
	state_is killed running && state_is restarted running &&
		state_is greeter running
}

has_descriptors() {
	[[ $(find "/proc/$1/fd" -mindepth 1 | wc -l) -le $2 ]]
}

# CALL:ERROR:TURN of all that an exercise makes.
all_faults() {
	local n call turn

	strace -qq -c -o count -p "$(thoxd_pid)" 3>&- &
	n=$!
	wait_until is_traced
	exercise >/dev/null
	kill -INT $n
	wait $n || true
	# close would leave what it did not close, and a loop that cannot wait
	# is the next test's
	awk '$4 ~ /^[0-9]+$/ && $NF !~ /^(close|epoll_wait|total)$/ { print $NF, $4 }' count |
		while read -r call n; do
			for ((turn = 1; turn <= n && turn <= 5; turn++)); do
				echo "$call:$(error_of "$call"):$turn"
			done
		done
}

error_of() {
	case $1 in
	accept4 | openat | pipe2 | socketpair | fcntl | epoll_create1) echo EMFILE ;;
	read | pread64 | readlink | newfstatat) echo EIO ;;
	prlimit64 | pidfd_send_signal) echo EPERM ;;
	*) echo ENOMEM ;;
	esac
}

@test "services are as they should be after a system call of thoxd has failed" {
	local fault pid descriptors faults=$sample

	exercise
	pid=$(thoxd_pid)
	echo "$pid" >thoxd.pid
	[[ ${THOX_TEST_FAULTS:-} != all ]] || faults=$(all_faults)
	wait_until all_run
	wait_until pool_is_full
	descriptors=$(find "/proc/$pid/fd" -mindepth 1 | wc -l)
	for fault in $faults; do
		echo "# $fault"
		under_fault "$fault" exercise
		[[ ${THOX_TEST_FAULTS:-} == all ]] || has_happened
		wait_until all_run
		[[ $(thoxctl call greeter.greet) == hello ]]
		[ "$(thoxd_pid)" -eq "$pid" ] # it lives
		wait_until has_descriptors "$pid" "$descriptors"
	done
}

@test "thoxd whose loop cannot wait is started again, and its services go on" {
	local pid services

	pid=$(thoxd_pid)
	echo "$pid" >thoxd.pid
	services=$(thoxctl --json list | gojq -c '[.[] | [.name, .pid]]')
	under_fault epoll_wait:EBADF:2 wait_until is_gone "$pid"
	[ "$(thoxd_pid)" -ne "$pid" ]
	[ "$(thoxctl --json list | gojq -c '[.[] | [.name, .pid]]')" = "$services" ]
	run cat state/thoxd.log
	assert_output_has "thoxd died of signal"
}

@test "a start that fails, and a limit that cannot be set, are in the log" {
	thoxd_pid >thoxd.pid
	run under_fault pipe2:EMFILE:1 thoxctl restart restarted
	assert_output_has "no process could be started: Too many open files"
	wait_until all_run # or its next start has the limit that cannot be set
	run under_fault prlimit64:EPERM:1 thox-exec --cpu 9s -e 'os.sleep(60)'
	[ "$status" -ne 0 ]
	wait_until all_run
	run cat state/thoxd.log
	assert_output_has "service restarted: no process could be started: Too many open files" \
		"a limit cannot be set, so it is ended: Operation not permitted"
}
