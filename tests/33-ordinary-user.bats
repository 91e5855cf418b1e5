#!/usr/bin/env bats
# An instance of an ordinary user: the same sandbox, without root's help.

load helper

teardown() {
	forget_user
	[[ -z ${fuse_mode:-} ]] || chmod "$fuse_mode" /dev/fuse
}

@test "a user's program runs in the sandbox" {
	run -0 as_user thox-exec -e 'print("user")'
	assert_output_has user
	# A pipe that nobody writes to; the program runs when it says so.
	run -0 as_user bash -c 'mkfifo "$THOX_DIR/silent" "$THOX_DIR/out"
		exec 8<>"$THOX_DIR/silent" 9<>"$THOX_DIR/out"
		thox-exec -e "print(1) io.stdout:flush() io.read(1)" <&8 >&9 &
		read -r _ <&9
		p=$(thoxctl --json ps | gojq ".[0].pid")
		thoxctl status "$p"; thoxctl kill "$p"; wait'
	assert_output_has "namespace user:" "own"
	[[ $output =~ no\ new\ privs:\ +1 ]]
	[[ $output =~ seccomp:\ +2 ]]
	[[ $output =~ capabilities:\ +0000000000000000 ]]
}

@test "a user's limits hold" {
	run -124 as_user thox-exec --timeout 0.2 -e 'while true do end'
	run -124 as_user thox-exec --cpu 0.2 -e 'while true do end'
	run -137 as_user thox-exec --memory 20M \
		-e 'local t = {} while true do t[#t + 1] = ("x"):rep(2^16) .. #t end'
}

@test "a user's store is mounted through fusermount3, and unmounted" {
	need_root # to open /dev/fuse to everybody, as Debian's udev has it
	command -v fusermount3
	fuse_mode=$(stat -c %a /dev/fuse)
	chmod 666 /dev/fuse
	as_user thox-exec -e 'print(1)'
	as_user bash -c 'echo "print(7)" >"$THOX_DIR/mnt/programs/seven"'
	run -0 as_user thox-exec seven
	[[ $output == 7 ]]
	as_user thoxctl unmount
	THOX_DIR=$user_dir/thox no_thox_mount
	as_user thoxctl mount
	as_user bash -c 'cat "$THOX_DIR/mnt/programs/seven"'
}

@test "a user's keeper killed: nothing stays behind" {
	as_user thox-exec -e 'print(1)'
	kill -KILL "$(cat "$user_dir/thox/run/lock")"
	THOX_DIR=$user_dir/thox nothing_stays
}

@test "a program runs under an ordinary user as under root" {
	run -0 as_user thox-exec -e 'print(require("string") == string, pcall(io.open or error))'
	assert_output_has "true"
}
