#!/usr/bin/env bats
# thox-exec -i.

load helper

setup_file() {
	start_thox '[thoxd]' 'mount = no'
	export mnt thox_sessions
}

teardown_file() {
	stop_thox
}

setup() {
	export TERM=vt100
	rm -f "$THOX_DIR/state/history"
}

# at_prompt STEP...: the steps begin at the prompt.
at_prompt() {
	run "$helpers/pty" 'expect:> ' "$@" -- thox-exec -i
}

@test "expressions print their values, statements keep their effects" {
	at_prompt 'send:1 + 1\r' expect:2 'expect:> ' 'send:x = 20\r' \
		'expect:> ' 'send:x + 1, "y"\r' 'expect:21' 'expect:> ' \
		'send:=x * 2\r' expect:40 'expect:> ' 'send:\x04'
	assert_status 0
}

@test "a chunk goes on over lines until it is whole" {
	at_prompt 'send:for i = 1, 2 do\r' 'expect:>> ' 'send:print(i + 40)\r' \
		'expect:>> ' 'send:end\r' expect:41 expect:42 'expect:> ' \
		'send:[[a\r' 'expect:>> ' 'send:b]]\r' 'expect:> ' 'send:\x04'
	assert_status 0
}

@test "an error is shown, and the prompt stays" {
	at_prompt 'send:error("oh no")\r' 'expect:oh no' expect:traceback \
		'expect:> ' 'send:x x\r' 'expect:syntax error' 'expect:> ' \
		'send:6 * 7\r' expect:42 'expect:> ' 'send:\x04'
	assert_status 0
}

@test "Ctrl-C drops a line, and interrupts a chunk" {
	at_prompt 'send:this is nothing\x03' 'expect:^C' 'expect:> ' \
		'send:for i = 1, 2 do\r' 'expect:>> ' 'send:\x03' 'expect:> ' \
		'send:print(6 * 7) while true do end\r' expect:42 'send:\x03' \
		expect:interrupted 'expect:> ' 'send:7 * 7\r' expect:49 \
		'expect:> ' 'send:\x04'
	assert_status 0
}

@test "a chunk reads the terminal" {
	at_prompt 'send:io.read():upper()\r' 'send:some words\r' \
		'expect:SOME WORDS' 'expect:> ' 'send:\x04'
	assert_status 0
}

@test "the history is there again the next time" {
	at_prompt 'send:111 + 222\r' expect:333 'expect:> ' 'send:\x04'
	at_prompt 'send:\x10' 'expect:111 + 222' 'send:\r' expect:333 \
		'expect:> ' 'send:\x04'
	assert_status 0
	[ "$(stat -c %a "$THOX_DIR/state/history")" = 600 ]
}

@test "lines can be edited" {
	at_prompt 'send:42 .. "x"\x01"a" .. \x05 .. "z"\r' expect:a42xz \
		'expect:> ' 'send:\x04'
	assert_status 0
}

@test "os.exit leaves with its code" {
	at_prompt 'send:os.exit(7)\r'
	assert_status 7
}

@test "a chunk over the memory limit is an error, and the prompt stays" {
	run "$helpers/pty" 'expect:> ' \
		'send:local t = {} while true do t[#t + 1] = ("x"):rep(999) .. #t end\r' \
		'expect:not enough memory' 'expect:> ' 'send:6 * 7\r' expect:42 \
		'expect:> ' 'send:\x04' -- thox-exec --memory 8M -i
	assert_status 0
}

@test "a terminal that can do nothing has a prompt, too" {
	TERM=dumb at_prompt 'send:6 * 7\r' expect:42 'expect:> ' \
		'send:nothing' 'press:\x03:^C' 'press:\x03:> ' \
		'send:for i = 1, 2 do print(i + 40) end\r' expect:42 'expect:> ' \
		'send:\x04'
	assert_status 0
}

@test "Ctrl-Z stops the prompt, fg brings it back" {
	PS1='SHELL> ' run "$helpers/pty" 'expect:SHELL> ' \
		'send:thox-exec -i\r' 'expect:> ' 'send:\x1a' expect:Stopped \
		'expect:SHELL> ' 'send:fg\r' 'expect:> ' 'send:6 * 7\r' expect:42 \
		'expect:> ' 'send:\x04' 'expect:SHELL> ' 'send:exit 0\r' -- \
		bash --norc --noprofile -i
	assert_status 0
}

@test "chunks come from a pipe, without a prompt" {
	run thox-exec -i <<-'END'
		1 + 1
		for i = 1, 2 do
			print(i + 40)
		end
		=6 * 7
		io.read():upper()
		a line
		error("oh no")
		"still here"
	END
	assert_status 0
	assert_output_has "oh no"
	[ "${lines[0]}" = 2 ]
	[ "${lines[1]}" = 41 ]
	[ "${lines[2]}" = 42 ]
	[ "${lines[3]}" = 42 ]
	[ "${lines[4]}" = "A LINE" ]
	[ "${lines[-1]}" = "still here" ]
	[[ $output != *"> "* ]]
}

@test "what is not whole at a pipe's end is an error" {
	run bash -c 'echo "for i = 1, 2 do" | thox-exec -i'
	assert_output_has "near <eof>"
}

@test "thoxd dying is said at the next chunk" {
	local code=0

	mkfifo "$THOX_DIR/fifo"
	thox-exec -i <"$THOX_DIR/fifo" >"$THOX_DIR/out" 2>&1 3>&- &
	client=$!
	exec {input}>"$THOX_DIR/fifo"
	echo 'print("ready") io.stdout:flush()' >&"$input"
	wait_until has_line "$THOX_DIR/out" ready
	kill -KILL "$(thoxctl --json status | gojq .pid)"
	echo '1 + 1' >&"$input"
	exec {input}>&-
	wait "$client" || code=$?
	[ "$code" -eq 125 ]
	has_line "$THOX_DIR/out" "thoxd ended"
}

@test "a chunk over a mebibyte is refused, and the prompt stays" {
	run bash -c "{ head -c 1100000 /dev/zero | tr '\\0' 'x'; echo; echo '6 * 7'; } | thox-exec -i"
	assert_status 0
	assert_output_has "at most 1048576 bytes" 42
}
