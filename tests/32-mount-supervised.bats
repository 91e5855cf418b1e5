#!/usr/bin/env bats
# The mount as thoxd keeps it: made at the start, outliving thoxfs and thoxd,
# replaced when stale, gone at the end.

load helper

setup() { need_mount; }
teardown() {
	forget_user
	stop_thox
}

mounted() { [[ $(thox_mounts) == "$mnt" ]]; }
keeper() { cat "$THOX_DIR/run/lock"; }

# PID of the keeper's child called $1.
child_called() {
	local pid

	for pid in $(cat "/proc/$(keeper)/task/$(keeper)/children"); do
		if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$1" ]]; then
			echo "$pid"
		fi
	done
}

other_child() {
	local now

	now=$(child_called "$1")
	[[ -n $now && $now != "$2" ]]
}

verifiers_run() { [[ -n $(verifiers) ]]; }

shows() { [[ $(timeout 20 cat "$mnt/programs/$1") == "$2" ]]; }

@test "the store is mounted at the start, and a copied program runs" {
	start_thox
	mounted
	printf 'print("copied", ...)\n' >"$THOX_DIR/hello.lua"
	timeout 20 cp "$THOX_DIR/hello.lua" "$mnt/programs/hello"
	run -0 thox-exec hello world
	[[ $output == $'copied\tworld' ]]
}

@test "thoxfs killed: the mount goes on, open files too" {
	start_thox
	install_program hello 'print(1)'
	exec 8<"$mnt/programs/hello"
	thoxfs=$(child_called thoxfs)
	kill -KILL "$thoxfs"
	wait_until other_child thoxfs "$thoxfs"
	shows hello 'print(1)'
	[[ $(timeout 20 cat <&8) == 'print(1)' ]]
	exec 8<&-
	printf 'print(2)\n' | timeout 20 tee "$mnt/programs/hello" >/dev/null
	run -0 thox-exec hello
	[[ $output == 2 ]]
}

@test "thoxfs asked to end by somebody: the mount goes on" {
	start_thox
	install_program hello 'print(1)'
	thoxfs=$(child_called thoxfs)
	kill -TERM "$thoxfs"
	wait_until other_child thoxfs "$thoxfs"
	shows hello 'print(1)'
}

# Of this instance, PIDs.
verifiers() {
	local pid

	for pid in $(thox_processes | sort -u); do
		[[ $(cat "/proc/$pid/comm" 2>/dev/null) != thox-verifier ]] ||
			echo "$pid"
	done
}

@test "verifiers killed: the next texts are verified by others" {
	local round

	start_thox
	printf 'print(1)\n' >"$THOX_DIR/good"
	printf 'print(\n' >"$THOX_DIR/bad"
	for round in 1 2 3; do
		wait_until verifiers_run
		# shellcheck disable=SC2046 # a list
		kill -KILL $(verifiers)
		run -1 timeout 20 cp "$THOX_DIR/bad" "$mnt/programs/hello$round"
		assert_output_has "Invalid argument"
		timeout 20 cp "$THOX_DIR/good" "$mnt/programs/hello$round"
		shows "hello$round" 'print(1)'
	done
	[[ $(thox_mounts) == "$mnt" ]]
}

@test "thoxd killed: the mount goes on, open files too" {
	start_thox
	install_program hello 'print(1)'
	exec 8<"$mnt/programs/hello"
	thoxd=$(child_called thoxd)
	kill -KILL "$thoxd"
	wait_until other_child thoxd "$thoxd"
	shows hello 'print(1)'
	[[ $(timeout 20 cat <&8) == 'print(1)' ]]
	exec 8<&-
	[[ $(thox_mounts | wc -l) -eq 1 ]]
}

@test "a mount that everybody left is replaced at the next start" {
	need_root
	start_thox
	install_program hello 'print(1)'
	pids="$(keeper) $(child_called thoxd) $(child_called thoxfs)"
	# thoxd would unmount: it must not come to that
	kill -STOP "$(child_called thoxd)"
	# shellcheck disable=SC2086 # a list
	kill -KILL $pids
	wait_until no_thox_process
	mounted
	run -0 thox-exec hello
	[[ $output == 1 ]]
	shows hello 'print(1)'
	[[ $(thox_mounts | wc -l) -eq 1 ]]
	has_line "$THOX_DIR/state/thoxd.log" stale
}

@test "unmount and mount by command, also elsewhere" {
	start_thox
	thoxctl unmount
	no_thox_mount
	run ! thoxctl unmount
	thoxctl mount
	mounted
	run ! thoxctl mount "$THOX_DIR/elsewhere"
	thoxctl unmount
	thoxctl mount "$THOX_DIR/elsewhere"
	[[ -d $THOX_DIR/elsewhere/programs ]]
	thoxctl unmount "$THOX_DIR/elsewhere"
	no_thox_mount
}

@test "unmounted by hand: thoxd notices, and mounts when asked" {
	need_root
	start_thox
	umount "$mnt"
	wait_until has_line "$THOX_DIR/state/thoxd.log" "was unmounted"
	thoxctl mount
	mounted
}

@test "a mount point with files in it is left alone, with the reason" {
	prepare_thox
	mkdir "$mnt"
	touch "$mnt/precious"
	run -0 thox-exec -e 'print("without a mount")'
	[[ $output == "without a mount" ]]
	no_thox_mount
	[[ -e $mnt/precious ]]
	run ! thoxctl mount
	assert_output_has "not empty"
}

@test "something else on the mount point is left alone, with the reason" {
	need_root
	prepare_thox
	mkdir "$mnt"
	mount -t tmpfs tmpfs "$mnt"
	run -0 thox-exec -e 'print(1)'
	run ! thoxctl mount
	umount "$mnt"
	assert_output_has "something else is mounted"
}

@test "mount = no: nothing is mounted, programs run" {
	start_thox '[thoxd]' 'mount = no'
	no_thox_mount
	install_program hello 'print("no mount")'
	run -0 thox-exec hello
	[[ $output == "no mount" ]]
}

@test "thoxfs that cannot live: no mount, programs run, status says why" {
	need_root
	start_thox '[mount]' 'options = nonsense'
	# it is started several times first
	wait_until has_line "$THOX_DIR/state/thoxd.log" "no mount until"
	wait_until no_thox_mount
	run -0 thox-exec -e 'print(1)'
	run -0 thoxctl status
	assert_output_has "thoxfs"
	no_thox_mount
}

@test "a store that cannot be written: programs run, nothing is published, it is said" {
	need_root
	prepare_thox
	mkdir "$THOX_DIR/store"
	mount -t tmpfs -o size=4m,mode=700 thox-test "$THOX_DIR/store" ||
		skip "mounting is not allowed here"
	install_program hello 'print("hello")'
	THOX_NO_AUTOSTART=1 thoxctl shutdown || true
	mount -o remount,ro "$THOX_DIR/store"
	run -0 thox-exec hello
	[[ $output == hello ]]
	has_line "$THOX_DIR/state/thoxd.log" "cannot be written"
	run thoxctl store put hello - <<<'print(2)'
	assert_status 5
	assert_output_has "Read-only file system"
	thox_mounts | grep -qx "$mnt"
	shows hello 'print("hello")'
	run -1 timeout 20 cp "$mnt/programs/hello" "$mnt/programs/other"
	assert_output_has "Read-only file system"
	run -0 thoxctl status --json
	[[ $(gojq .store_writable <<<"$output") == false ]]
	thoxctl shutdown
	wait_until umount --quiet "$THOX_DIR/store"
}

@test "shutdown unmounts" {
	start_thox
	mounted
	thoxctl shutdown
	nothing_stays
}

@test "the keeper killed: the mount goes with it" {
	start_thox
	kill -KILL "$(keeper)"
	nothing_stays
}
