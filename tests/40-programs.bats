#!/usr/bin/env bats
# What a program finds: arguments, streams, libraries, exit codes.

load helper

setup() { start_thox; }
teardown() { stop_thox; }

@test "a program gets its arguments, its name, and its starter's standard streams" {
	install_program args <<-'LUA'
		print(arg[0], select("#", ...), ...)
		io.stderr:write("to stderr\n")
		for line in io.lines() do print("<" .. line .. ">") end
	LUA
	run -0 --separate-stderr thox-exec args one "" 'two words' <<<$'a\nb'
	[[ $output == $'args\t3\tone\t\ttwo words\n<a>\n<b>' ]]
	# shellcheck disable=SC2154 # of bats
	[[ $stderr == "to stderr" ]]
}

@test "a program's exit code is thox-exec's" {
	for code in 0 1 7 255; do
		run "-$code" thox-exec -e "os.exit($code)"
	done
	run -0 thox-exec -e 'os.exit(true)'
	run -1 thox-exec -e 'os.exit(false)'
	run -5 thox-exec -e 'pcall(os.exit, 5)'
}

@test "an uncaught error names the program and the line, and no path" {
	install_program fails <<-'LUA'
		local function inner()
			error("boom")
		end
		inner()
		print("not reached")
	LUA
	run -1 thox-exec fails
	[[ ${lines[0]} == "fails:2: boom" ]]
	assert_output_has "stack traceback:" "fails:2: in" "fails:4: in main chunk"
	[[ $output != */* ]]
}

@test "what a program wrote before it failed comes first, also on one descriptor" {
	run -1 bash -c 'thox-exec -e "print(1) io.stderr:write(\"2\\n\") print(3) error(\"four\", 0)" 2>&1'
	[[ ${lines[*]:0:4} == "1 2 3 four" ]]
}

@test "require loads a library of the store once, and its errors name it" {
	printf 'count = (count or 0) + 1\nreturn {name = ...}\n' |
		thoxctl store put libraries/my.lib - >/dev/null
	printf '\nerror("inside")\n' |
		thoxctl store put libraries/broken - >/dev/null
	run -0 thox-exec -e 'print(require("my.lib").name, require("my.lib") == require("my.lib"), count)'
	[[ $output == $'my.lib\ttrue\t1' ]]
	run -1 thox-exec -e 'require "broken"'
	[[ ${lines[0]} == "broken:2: inside" ]]
	run -1 thox-exec -e 'require "nowhere"'
	assert_output_has "module 'nowhere' not found" "no library 'nowhere'"
}

@test "the environment of a program is what its starter passed" {
	run -0 env SECRET=1 thox-exec --env A=b -e 'print(os.getenv "A", os.getenv "SECRET")'
	[[ $output == $'b\tnil' ]]
}

@test "a program that reads waits, and goes on where the input goes on" {
	mkfifo "$THOX_DIR/fifo"
	thox-exec -e 'io.write(io.read("n") + io.read("n"), "\n") print(io.read("a"))' \
		<"$THOX_DIR/fifo" >"$THOX_DIR/out" &
	local pid=$!
	exec 7>"$THOX_DIR/fifo"
	printf '20 2' >&7
	wait_until is_running -e
	printf '2 rest' >&7
	exec 7>&-
	wait "$pid"
	[[ $(<"$THOX_DIR/out") == $'42\n rest' ]]
}

@test "a closed pipe ends a program that prints without end, by SIGPIPE" {
	# shellcheck disable=SC2016 # for the inner shell
	run -0 bash -c 'thox-exec -e "while true do print(1) end" 2>/dev/null | head -n 1; echo "${PIPESTATUS[0]}"'
	[[ $output == $'1\n141' ]]
}

@test "a runtime's globals are there, and its function runs in each process" {
	thoxctl store put runtimes/greet - >/dev/null <<-'LUA'
		loads = (loads or 0) + 1
		function greet(name) return "hello " .. name end
		return function(program, ...) started = program .. " " .. select("#", ...) end
	LUA
	install_program uses 'print(greet(...), started, loads)'
	run -0 thox-exec -r greet uses one
	[[ $output == $'hello one\tuses 1\t1' ]]
	run -0 thox-exec 'greet#uses' two
	[[ $output == $'hello two\tuses 1\t1' ]]
	run -1 thox-exec uses one
	thoxctl store put runtimes/greet - >/dev/null <<<'error("not today")'
	run -125 thox-exec -r greet uses one
	assert_output_has "greet:1: not today"
}
