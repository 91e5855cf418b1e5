#!/usr/bin/env bats
# What services print goes to systemd's journal as well: the instance is in a
# mount namespace of its own, where somebody else has the journal's socket.

load helper
load services

setup() {
	unshare -m true 2>/dev/null || skip "no right to make a mount namespace here"
	[[ -d /run ]] || skip "there is no /run here"
	prepare_thox '[log]' 'journal = yes' '[thoxd]' 'mount = no'
	cd "$THOX_DIR" || return 1
	mkdir run-dir
	listener=
}

teardown() {
	cd /
	stop_thox
	[[ -z ${listener:-} ]] || kill "$listener" 2>/dev/null || true
}

# Each datagram's fields in a line of its own.
listen() {
	mkdir -p run-dir/systemd/journal
	python3 - run-dir/systemd/journal/socket 3>&- <<-'PY' >journal &
		import os, socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.bind(sys.argv[1] + ".new")
		os.rename(sys.argv[1] + ".new", sys.argv[1])
		while True:
		    print(" | ".join(s.recv(65536).decode().splitlines()), flush=True)
	PY
	listener=$!
	wait_until test -S run-dir/systemd/journal/socket
}

# The instance starts where /run is ours; it is reached from outside as ever.
start_inside() {
	unshare -m bash -c 'mount --bind run-dir /run && thoxctl list' >/dev/null
}

in_journal() {
	grep -qF -- "$1" journal
}

@test "lines are in the journal as well, with what it wants to know of them" {
	listen
	start_inside
	install_program speaks 'print("plain") print("<3>bad") os.sleep(60)'
	define speaks 'program = speaks' 'instances = 2'
	thoxctl start speaks
	wait_until in_journal 'MESSAGE=bad'
	wait_until logged speaks plain
	run cat journal
	assert_output_has 'MESSAGE=plain' 'PRIORITY=6' 'PRIORITY=3' speaks
}

@test "no journal, or one that has ended, keeps no service from its log" {
	start_inside
	install_program speaks 'print("plain", ...) os.sleep(60)'
	define speaks 'program = speaks' 'args = first'
	thoxctl start speaks
	wait_until logged speaks first
	listen
	thoxctl daemon-reexec
	define speaks 'program = speaks' 'args = second'
	thoxctl restart speaks
	wait_until logged speaks second
	wait_until in_journal "MESSAGE=plain	second"
	kill "$listener"
	wait "$listener" || true
	define speaks 'program = speaks' 'args = third'
	thoxctl restart speaks
	wait_until logged speaks third
}
