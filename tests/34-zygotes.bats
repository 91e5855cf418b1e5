#!/usr/bin/env bats
# Zygotes come with their runtime, are replaced, and fail without a storm.

load helper

setup() { start_thox '[thoxd]' 'mount = no' '[zygote]' 'starts = 5'; }
teardown() { stop_thox; }

install_runtime() { printf '%s\n' "$2" | thoxctl store put "runtimes/$1" - >/dev/null; }
counter() { thoxctl status --json | tr -d ' \n' | grep -o "\"$1\":[0-9][0-9]*" | head -n 1 | grep -o '[0-9]*$'; }

# How many zygotes are not retired.
zygotes() {
	thoxctl status --json | tr -d ' \n' | grep -o '"state":"\(ready\|loading\)"' | wc -l
}
has_zygotes() { [[ $(zygotes) -eq $1 ]]; }

@test "a program runs under its runtime, whichever way that is said" {
	install_runtime greet 'function greet(who) print("hello " .. who) end'
	install_program plain 'greet("plain")'
	install_program shebang $'#!/usr/bin/env -S thox-exec -r greet\ngreet("shebang")'
	run -0 thox-exec -r greet plain
	[[ $output == "hello plain" ]]
	run -0 thox-exec 'greet#plain'
	[[ $output == "hello plain" ]]
	run -0 thox-exec shebang
	[[ $output == "hello shebang" ]]
	run -1 thox-exec plain
}

@test "a changed runtime serves the next start, and its old zygote goes" {
	install_runtime v 'version = 1'
	install_program show 'print(version)'
	run -0 thox-exec -r v show
	[[ $output == 1 ]]
	for n in 2 3 4; do
		install_runtime v "version = $n"
		run -0 thox-exec -r v show
		[[ $output == "$n" ]]
	done
	wait_until has_zygotes 2
}

@test "a removed runtime is not found any more" {
	install_runtime v 'version = 1'
	run -0 thox-exec -r v -e 'print(version)'
	thoxctl store rm runtimes/v
	run ! thox-exec -r v -e 'print(version)'
	assert_output_has "no such runtime"
	wait_until has_zygotes 1
}

@test "a runtime that fails is reported, and not tried again at once" {
	install_runtime bad 'error("bad from the start")'
	run ! thox-exec -r bad -e 'print(1)'
	assert_output_has "bad from the start"
	before=$(counter zygotes)
	for _ in {1..10}; do
		run ! thox-exec -r bad -e 'print(1)'
		assert_output_has "bad from the start"
	done
	# (it is tried again after one second, two more, four more)
	(($(counter zygotes) <= before + 3))
	run -0 thox-exec -e 'print("others run")'
	[[ $output == "others run" ]]
	install_runtime bad 'good = 1'
	run -0 thox-exec -r bad -e 'print(good)'
	[[ $output == 1 ]]
}

@test "a runtime that never ends its loading is given up" {
	stop_thox
	start_thox '[thoxd]' 'mount = no' '[zygote]' 'answer-time = 5s'
	install_runtime slow 'while true do end'
	run ! thox-exec -r slow -e 'print(1)'
	assert_output_has "in time"
	run -0 thox-exec -e 'print("others run")'
	[[ $output == "others run" ]]
}

@test "a runtime that takes all memory is given up" {
	stop_thox
	start_thox '[thoxd]' 'mount = no' '[zygote]' 'memory = 16M'
	install_runtime fat 'local t = {} while true do t[#t + 1] = ("x"):rep(65536) .. #t end'
	run ! thox-exec -r fat -e 'print(1)'
	run -0 thox-exec -e 'print("others run")'
	[[ $output == "others run" ]]
}

@test "after so many starts a zygote is replaced, and no start fails" {
	for n in $(seq 30); do
		run -0 thox-exec -e "print($n)"
		[[ $output == "$n" ]]
	done
	(($(counter zygotes) >= 3))
	wait_until has_zygotes 1
}

@test "the newest text was refused: thox-exec says so and which version runs" {
	install_program prog 'print("one")'
	run ! thoxctl store put programs/prog - <<<'print('
	run -0 --separate-stderr thox-exec prog
	[[ $output == one ]]
	# shellcheck disable=SC2154 # of bats
	[[ $stderr == *"refused"*"version 1"* ]]
}

@test "only refused texts: thox-exec says why there is no such program" {
	run ! thoxctl store put programs/prog - <<<'print('
	run -127 thox-exec prog
	assert_output_has "no such program: 'prog'" "refused: prog:2: unexpected symbol"
	install_program prog 'print("one")'
	run -0 thox-exec prog
	[[ $output == one ]]
}

@test "a program shares its runtime's memory instead of copying it" {
	# 8,100 functions and 16,200 strings, 900 pages: as many strings as
	# Lua's table has room for.
	# shellcheck disable=SC2016 # Lua's
	lua5.4 -e 'print("lib = {}") for i = 1, 8100 do
		print(("function lib.f%d() return %q end"):format(i, "f " .. i)) end' |
		thoxctl store put runtimes/large - >/dev/null
	mkfifo "$THOX_DIR/silent"
	thox-exec -r large -e 'local t = {} for i = 1, 500 do t[i] = "s" .. i end
		print("ready") io.stdout:flush() io.read()' 0<>"$THOX_DIR/silent" \
		>"$THOX_DIR/out" 2>&1 3>&- &
	wait_until has_line "$THOX_DIR/out" ready
	# A sanitizer's memory is not shared.
	if ! ldd "$THOX_LIBEXEC_DIR/thox-zygote" 2>&1 | grep -q asan; then
		pid=$(thoxctl --json ps | gojq '.[0].pid')
		faults=$(awk '{ print $10 }' "/proc/$pid/stat")
		echo "$faults pages were written or mapped"
		[ "$faults" -lt 400 ]
	fi
	thoxctl kill -- "$(thoxctl --json ps | gojq '.[0].pid')"
	wait
}
