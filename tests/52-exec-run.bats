#!/usr/bin/env bats
# thox-exec and a real instance: texts, limits, streams, exit codes.

load helper

# One instance for all of them: that it goes on is part of each test.
setup_file() {
	start_thox '[thoxd]' 'mount = no'
	export mnt thox_sessions
}

teardown_file() {
	stop_thox
}

setup() {
	# What the last test's programs said is not what this one waits for.
	: >"$THOX_DIR/out"
}

teardown() {
	[[ -n ${BATS_TEST_COMPLETED:-} ]] || show_log
}

# A thox-exec in the background whose SIGINT is not ignored, as `&` in a
# script would have it; its output goes to $THOX_DIR/out.
in_background() {
	: >"$THOX_DIR/out"
	env --default-signal=INT,QUIT thox-exec "$@" \
		>"$THOX_DIR/out" 2>&1 </dev/null 3>&- &
	client=$!
}

ended_with() {
	local code=0

	wait "$client" || code=$?
	[ "$code" -eq "$1" ] || {
		echo "exit code $code instead of $1:"
		cat "$THOX_DIR/out"
		return 1
	}
}

@test "a program gets its arguments and gives its exit code" {
	install_program hello 'print("hello", ...) print(arg[0], #arg) os.exit(3)'
	run thox-exec hello world "two words"
	assert_status 3
	[ "${lines[0]}" = $'hello\tworld\ttwo words' ]
	[ "${lines[1]}" = $'hello\t2' ]
}

@test "every exit code from 0 to 255 comes through" {
	local code

	for code in 0 1 2 77 124 125 126 127 128 255; do
		run "-$code" thox-exec -e "os.exit($code)"
		[ -z "$output" ]
	done
}

@test "a version, a runtime's name and the other spelling are understood" {
	install_program versions 'print(1)'
	install_program versions 'print(2)'
	install_program file.lua 'print(3)'
	run thox-exec versions@1
	[ "$output" = 1 ]
	run thox-exec native#versions
	[ "$output" = 2 ]
	run thox-exec -r native versions.lua
	[ "$output" = 2 ]
	run thox-exec file
	[ "$output" = 3 ]
}

@test "-e prints the values of an expression and of return" {
	run thox-exec -e 'return 1 + 1'
	[ "$output" = 2 ]
	run thox-exec -e '1 + 1'
	[ "$output" = 2 ]
	run thox-exec -e 'return 1, "x", nil'
	[ "$output" = $'1\tx\tnil' ]
	run thox-exec -e 'local x = 1'
	[ -z "$output" ]
	run thox-exec -e 'io.write("x")'
	[ "$output" = x ]
	run thox-exec -e 'print(...)' a b
	[ "$output" = $'a\tb' ]
}

@test "a text comes on stdin, and is read to its end first" {
	run bash -c "echo 'print((\"x\"):rep(3))' | thox-exec -"
	assert_status 0
	[ "$output" = xxx ]
	run bash -c "(sleep 0.1; echo 'print(...)') | thox-exec - a"
	[ "$output" = a ]
}

@test "a file outside of the mount runs under its base name" {
	mkdir "$THOX_DIR/files"
	echo 'print(arg[0], ...) error("x")' >"$THOX_DIR/files/some.lua"
	run thox-exec "$THOX_DIR/files/some.lua" a
	assert_status 1
	assert_output_has $'some.lua\ta' "some.lua:1: x"
	[[ $output != *"$THOX_DIR"* ]]
	cd "$THOX_DIR/files"
	run thox-exec ./some.lua
	assert_output_has some.lua
	run bash -c 'thox-exec <(echo "print(5)")'
	[ "$output" = 5 ]
	run bash -c 'thox-exec /dev/stdin <<<"print(5)"'
	[ "$output" = 5 ]
}

@test "a shebang line works" {
	printf '#!%s\nprint("shebang", ...)\n' "$(command -v thox-exec)" \
		>"$THOX_DIR/script"
	chmod +x "$THOX_DIR/script"
	run "$THOX_DIR/script" a
	assert_status 0
	[ "$output" = $'shebang\ta' ]
	printf '#!/usr/bin/env -S thox-exec -r native\nprint("env")\n' \
		>"$THOX_DIR/script"
	run "$THOX_DIR/script"
	[ "$output" = env ]
}

@test "a file in the mount is the program of that name" {
	need_mount
	thoxctl mount
	printf '#!%s\nprint(arg[0], ...)\n' "$(command -v thox-exec)" \
		>"$mnt/programs/mounted"
	run "$mnt/programs/mounted" a
	assert_status 0
	[ "$output" = $'mounted\ta' ]
	cd "$mnt/programs"
	run --separate-stderr thox-exec --json ./mounted
	# shellcheck disable=SC2154 # of bats
	[ "$(gojq -r .version <<<"$stderr")" = 1 ]
	printf 'return {}\n' >"$mnt/libraries/lib"
	run --separate-stderr thox-exec --json ../libraries/lib
	[ "$(gojq -r .version <<<"$stderr")" = 0 ]
}

@test "stdin, stdout and stderr are the program's own" {
	run bash -c "echo line | thox-exec -e 'io.write(io.read(), \"!\")'"
	[ "$output" = 'line!' ]
	run --separate-stderr thox-exec -e 'io.stdout:write("out") io.stderr:write("err")'
	[ "$output" = out ]
	[ "$stderr" = err ]
	thox-exec -e 'io.write("to a file")' >"$THOX_DIR/out"
	[ "$(cat "$THOX_DIR/out")" = "to a file" ]
	run bash -c "head -c 1M /dev/zero | thox-exec -e 'io.write(#io.read(\"a\"))'"
	[ "$output" = 1048576 ]
	run bash -c "thox-exec -e 'io.write((\"x\"):rep(1 << 20))' | wc -c"
	[ "$output" -eq 1048576 ]
}

@test "a closed pipe ends the program as SIGPIPE does, without a word" {
	run --separate-stderr bash -c \
		"thox-exec -e 'while true do print(1) end' | head -n 1; echo \${PIPESTATUS[0]}"
	[ "${lines[0]}" = 1 ]
	[ "${lines[1]}" = 141 ]
	[ -z "$stderr" ]
}

@test "a Lua error is 1, with a traceback that names program and line" {
	install_program wrong $'local function f()\n error("oh no")\nend\nf()'
	run thox-exec wrong
	assert_status 1
	assert_output_has "wrong:2: oh no" "stack traceback" "wrong:4: in main chunk"
	[[ $output != *"$THOX_DIR"* && $output != *.versions* ]]
	run thox-exec -e 'x ='
	assert_status 1
	assert_output_has "-e:1:"
}

@test "no such program is 127, with a near name" {
	install_program hello 'print(1)'
	run -127 thox-exec helo
	assert_output_has "no such program" "did you mean 'hello'?"
	run -127 thox-exec entirely-different
	[[ $output != *"did you mean"* ]]
	run -127 thox-exec hello@700
	assert_output_has "hello"
	run -127 thox-exec -r nothing hello
	assert_output_has nothing
}

@test "a name that is not allowed is 126 and says the rule" {
	local name

	for name in 'a b' 'a:b' .hidden 'hello@' 'hello@x' '#' 'a#' $'a\nb' 'a*' \
		"$(printf 'x%.0s' {1..200})"; do
		run thox-exec "$name"
		assert_status 126
		[[ $output == thox-exec:* ]]
	done
}

@test "the wall and the CPU time limit are 124 and named" {
	run thox-exec --timeout 100ms -e 'while true do end'
	assert_status 124
	assert_output_has "thox-exec: -e:" "100 ms"
	run thox-exec --timeout 100ms -e 'io.read()' < <(sleep 5)
	assert_status 124
	run thox-exec --cpu 100ms -e 'while true do end'
	assert_status 124
	assert_output_has CPU "100 ms"
	run thox-exec --cpu 100ms -e '("x"):rep(1e9):find((".-"):rep(50) .. "y")'
	[ "$status" -eq 124 ] || [ "$status" -eq 137 ]
}

@test "the memory limit is 137 and named" {
	run thox-exec --memory 8M -e 'local t = {} while true do t[#t + 1] = ("x"):rep(1000) .. #t end'
	assert_status 137
	assert_output_has "thox-exec: -e:" "8 MiB"
}

@test "a program may catch that memory is out" {
	run thox-exec --memory 8M -e 'print(pcall(string.rep, "x", 1 << 26))'
	assert_status 0
	assert_output_has "not enough memory"
}

@test "the variables are those that --env names, and the harmless ones" {
	export SECRET=1 GIVEN=2 TERM=term-of-mine
	run thox-exec --env GIVEN --env MORE=3 --env EMPTY= -e \
		'return os.getenv("SECRET"), os.getenv("GIVEN"), os.getenv("MORE"), os.getenv("EMPTY"), os.getenv("TERM"), os.getenv("HOME")'
	[ "$output" = $'nil\t2\t3\t\tterm-of-mine\tnil' ]
}

@test "--json writes the record" {
	install_program record 'print(1)'
	run --separate-stderr thox-exec --json record
	assert_status 0
	[ "$output" = 1 ]
	[ "$(gojq -c '[.name, .version, .runtime, .exit, .signal, .reason, .limit]' <<<"$stderr")" = \
		'["record",1,"native",0,null,"exit",null]' ]
	gojq -e '.pid > 1 and .wall_us > 0 and .memory_bytes > 0 and .user_us >= 0' <<<"$stderr"
	run --separate-stderr thox-exec --json --timeout 50ms -e 'while true do end'
	[ "$(gojq -r .limit <<<"${stderr_lines[-1]}")" = wall ]
	[ "$(gojq -r .exit <<<"${stderr_lines[-1]}")" = 124 ]
	run -127 --separate-stderr thox-exec --json recor
	[ "$(gojq -r .hint <<<"${stderr_lines[-1]}")" = record ]
}

@test "when the newest text was refused, it is said, and which version runs" {
	install_program refusal 'print(1)'
	install_program refusal 'print(' || true
	run --separate-stderr thox-exec refusal
	assert_status 0
	[ "$output" = 1 ]
	[[ $stderr == thox-exec:*refused* ]]
}

@test "SIGINT interrupts with a traceback, and the code is 130" {
	in_background -e 'print("ready") io.stdout:flush() while true do end'
	wait_until has_line "$THOX_DIR/out" ready
	kill -INT "$client"
	ended_with 130
	has_line "$THOX_DIR/out" traceback
}

@test "a second SIGINT kills a program that does not end" {
	in_background -e 'print("ready") io.stdout:flush() while true do pcall(function() print("again") io.stdout:flush() while true do end end) end'
	wait_until has_line "$THOX_DIR/out" again
	kill -INT "$client"
	wait_until has_gone_on
	is_gone "$client" || kill -INT "$client"
	wait_until is_gone "$client"
	code=0
	wait "$client" || code=$?
	[ "$code" -eq 137 ] || [ "$code" -eq 130 ]
	wait_until is_not_running -e
}

# The first one is through: the program has caught it, or was not in pcall.
has_gone_on() {
	is_gone "$client" || (($(grep -c again "$THOX_DIR/out") > 1))
}

@test "SIGINT reaches a program that waits for input" {
	mkfifo "$THOX_DIR/fifo"
	exec {hold}<>"$THOX_DIR/fifo"
	env --default-signal=INT thox-exec -e 'print("ready") io.stdout:flush() io.read()' \
		<"$THOX_DIR/fifo" >"$THOX_DIR/out" 2>&1 3>&- &
	client=$!
	wait_until has_line "$THOX_DIR/out" ready
	kill -INT "$client"
	ended_with 130
	exec {hold}>&-
}

@test "SIGTERM and SIGHUP terminate with 143" {
	local signal

	for signal in TERM HUP; do
		in_background -e 'print("ready") io.stdout:flush() while true do end'
		wait_until has_line "$THOX_DIR/out" ready
		kill -"$signal" "$client"
		ended_with 143
	done
}

@test "an ignored SIGHUP stays ignored" {
	nohup thox-exec -e 'print("ready") io.stdout:flush() io.read("a") print("end")' \
		< <(wait_until test -e "$THOX_DIR/go") >"$THOX_DIR/out" 2>/dev/null 3>&- &
	client=$!
	wait_until has_line "$THOX_DIR/out" ready
	kill -HUP "$client"
	touch "$THOX_DIR/go"
	ended_with 0
	has_line "$THOX_DIR/out" end
}

@test "when thox-exec is killed, its program is" {
	in_background -e 'print("ready") io.stdout:flush() while true do end'
	wait_until has_line "$THOX_DIR/out" ready
	pid=$(pid_of -e)
	kill -KILL "$client"
	wait_until is_gone "$pid"
	wait_until is_not_running -e # for the next one, which asks who runs
}

@test "SIGTSTP pauses the program with thox-exec, SIGCONT resumes both" {
	# in a process group that has a parent in its session: else it is
	# orphaned and cannot be stopped
	set -m
	in_background -e 'print("ready") io.stdout:flush() while true do end'
	set +m
	wait_until has_line "$THOX_DIR/out" ready
	pid=$(pid_of -e)
	kill -TSTP "$client"
	wait_until process_state "$client" T
	wait_until process_state "$pid" T
	kill -CONT "$client"
	wait_until process_state "$pid" R S
	kill -TERM "$client"
	ended_with 143
}

@test "thoxd dying in the middle of a run is said, with 125" {
	in_background -e 'print("ready") io.stdout:flush() while true do end'
	wait_until has_line "$THOX_DIR/out" ready
	pid=$(pid_of -e)
	kill -KILL "$(thoxctl --json status | gojq .pid)"
	ended_with 125
	has_line "$THOX_DIR/out" "thoxd ended, and the program with it"
	wait_until is_gone "$pid"
	run thox-exec -e 'return 1'
	[ "$output" = 1 ]
}

@test "a killed runner is said, with its signal" {
	in_background -e 'print("ready") io.stdout:flush() while true do end'
	wait_until has_line "$THOX_DIR/out" ready
	kill -KILL "$(pid_of -e)"
	ended_with 137
	has_line "$THOX_DIR/out" "thox-exec: -e:"
}

@test "two hundred runs at once all end well" {
	local i

	for i in {1..200}; do
		thox-exec -e "return $i" >"$THOX_DIR/out.$i" 2>&1 3>&- &
	done
	wait
	for i in {1..200}; do
		[ "$(cat "$THOX_DIR/out.$i")" = "$i" ] || {
			cat "$THOX_DIR/out.$i"
			return 1
		}
	done
}

@test "an ordinary user runs programs in an instance of their own" {
	need_root
	run as_user thox-exec -e 'return 1 + 1'
	assert_status 0
	[ "$output" = 2 ]
	run as_user bash -c 'echo "print(...)" | thoxctl store put hello - && thox-exec hello there'
	[ "${lines[1]}" = there ]
	run as_user thox-exec --timeout 100ms -e "while true do end"
	assert_status 124
	forget_user
}
