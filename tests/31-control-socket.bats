#!/usr/bin/env bats
# Whatever comes to the control socket, the instance goes on.

load helper

setup() { start_thox '[thoxd]' 'mount = no'; }
teardown() {
	exec 9>&- 8>&-
	stop_thox
}

serves() {
	[[ $(thox-exec -e 'print("serves")') == serves ]]
}

same_thoxd() {
	serves && thoxctl status | grep -q '^restarts: *0$'
}

@test "garbage instead of hello closes the connection" {
	for record in 00 0000 ff 00c1 00920063 0092ff01 01ffffffff41 0241 \
		0093000100 00de000000; do
		run -0 timeout 20 "$helpers/poke" raw "$record"
		[[ $output == closed ]]
	done
	same_thoxd
}

@test "garbage after hello closes the connection" {
	for record in 00 00c1 009210 00921080 0091ff 009218 0093112a01 \
		00921081a46e616d65 00920001 009128; do
		run -0 timeout 20 "$helpers/poke" hello "$record"
		[[ $output == closed ]]
	done
	same_thoxd
}

@test "half a message makes nobody wait" {
	"$helpers/poke" hello 0100010000414243 >/dev/null 3>&- &
	poke=$!
	same_thoxd
	kill "$poke"
}

@test "a total over the limit closes the connection before its bytes come" {
	run -0 timeout 20 "$helpers/poke" hello 01ffffffff41
	[[ $output == closed ]]
	run -0 timeout 20 "$helpers/poke" raw 010000200041
	[[ $output == closed ]]
	same_thoxd
}

@test "a thousand descriptors close the connection and none of them stays" {
	before=$(find "/proc/$(thoxd_pid)/fd" | wc -l)
	run -0 timeout 20 "$helpers/poke" fds 1000
	[[ $output == closed ]]
	same_thoxd
	wait_until fewer_than_more "$before"
}

thoxd_pid() {
	thoxctl status --json | grep -o '"pid": *[0-9]*' | head -n 1 |
		grep -o '[0-9]*$'
}

# The waiting runners come and go: as many descriptors as before, about.
fewer_than_more() {
	(($(find "/proc/$(thoxd_pid)/fd" | wc -l) < $1 + 40))
}

@test "a connection that says nothing is closed after a while" {
	run -0 timeout 30 "$helpers/poke" raw 020000
	[[ $output == closed ]]
	same_thoxd
}

@test "ten thousand connections neither end it nor keep anybody out" {
	mkfifo "$THOX_DIR/flood"
	"$helpers/poke" flood 10000 <"$THOX_DIR/flood" \
		>"$THOX_DIR/out" 3>&- &
	exec 9>"$THOX_DIR/flood"
	wait_until has_line "$THOX_DIR/out" open
	serves
	exec 9>&-
	wait
	same_thoxd
}

@test "too many processes are refused with the limit's name" {
	exec 9>&-
	stop_thox
	start_thox '[thoxd]' 'mount = no' 'max-processes = 2'
	mkfifo "$THOX_DIR/hold"
	for i in 1 2; do
		thox-exec -e 'print("up") io.stdout:flush() io.read("a")' \
			<"$THOX_DIR/hold" >"$THOX_DIR/out$i" 3>&- &
	done
	exec 9>"$THOX_DIR/hold"
	wait_until has_line "$THOX_DIR/out1" up
	wait_until has_line "$THOX_DIR/out2" up
	run ! thox-exec -e 'print(1)'
	assert_output_has max-processes
	exec 9>&-
	wait
	serves
}

@test "an unknown key of thoxd.conf is warned of, with its line" {
	thoxctl shutdown
	wait_until no_thox_process
	printf '[thoxd]\nmount = no\nmisspelt = 1\n' >"$THOX_DIR/thoxd.conf"
	serves
	has_line "$THOX_DIR/state/thoxd.log" "thoxd.conf:3: no such key: 'misspelt'"
}

@test "the limits of thoxd.conf are a program's, unless it asks for others" {
	thoxctl shutdown
	wait_until no_thox_process
	printf '[thoxd]\nmount = no\n[limits]\nwall = 200ms\n' >"$THOX_DIR/thoxd.conf"
	run -124 thox-exec -e 'while true do end'
	assert_output_has "200 ms"
	run -124 thox-exec --cpu 0.1 --timeout 20 -e 'while true do end'
	assert_output_has "CPU"
}

@test "another user who reaches the socket is not served" {
	need_root
	prepare_user
	cp "$helpers/poke" "$user_dir/"
	chmod 711 "$THOX_DIR" "$THOX_DIR/run"
	chmod 666 "$THOX_DIR/run/control"
	run as_user env THOX_DIR="$THOX_DIR" timeout 20 "$user_dir/poke" greet
	chmod 700 "$THOX_DIR" "$THOX_DIR/run"
	rm -rf "$user_dir"
	assert_status 0
	[[ $output == closed ]]
	same_thoxd
}

@test "a near name is suggested" {
	install_program greeting 'print("hi")'
	run -127 thox-exec greetnig
	assert_output_has "'greeting'"
}

@test "a process cannot be told by a zygote that is none" {
	run -0 timeout 20 "$helpers/poke" hello 00933a0501
	[[ $output == closed ]]
	same_thoxd
}

@test "a result needs no hello before it, and none comes behind it" {
	echo 'print("ran")' >"$THOX_DIR/quick.lua"
	for _ in 1 2 3; do
		run -0 timeout 60 "$helpers/poke" run "$THOX_DIR/quick.lua"
		assert_output_has ran
		[[ ${lines[-1]} == 25 ]]
	done
	# with a runner that waits already it is all that is said
	is_alone() {
		run timeout 60 "$helpers/poke" run "$THOX_DIR/quick.lua"
		[[ $output == $'ran\n25' ]]
	}
	wait_until is_alone
}

@test "who waits for a program that goes on is greeted" {
	echo 'io.read() print("ran")' >"$THOX_DIR/slow.lua"
	mkfifo "$THOX_DIR/fifo"
	"$helpers/poke" run "$THOX_DIR/slow.lua" <"$THOX_DIR/fifo" \
		>"$THOX_DIR/out" 3>&- &
	poke=$!
	exec 9>"$THOX_DIR/fifo"
	wait_until has_line "$THOX_DIR/out" 0
	exec 9>&-
	wait "$poke"
	[[ $(<"$THOX_DIR/out") == $'0\nran\n25' ]]
}
