#!/usr/bin/env bats
# thox-exec on a terminal: job control, input, sizes. tests/pty.c is the person.

load helper

setup_file() {
	start_thox '[thoxd]' 'mount = no'
	export mnt thox_sessions
}

teardown_file() {
	stop_thox
}

setup() {
	export PS1='SHELL> ' TERM=dumb
}

# at_shell STEP...: an interactive shell; the steps begin at its prompt.
at_shell() {
	run "$helpers/pty" 'expect:SHELL> ' "$@" 'send:exit 0\n' -- \
		bash --norc --noprofile -i
	assert_status 0
}

@test "Ctrl-C interrupts the program, and the shell goes on" {
	at_shell 'send:thox-exec -e "print(6 * 7) while true do end"\n' \
		expect:42 'send:\x03' expect:traceback 'expect:SHELL> ' \
		'send:echo code=$?\n' expect:code=130
}

@test "a second Ctrl-C kills a program that the first does not end" {
	# gsub itself calls print and then matches for ever: no Lua in between
	# that the first Ctrl-C could end.
	at_shell 'send:thox-exec -e "(6 * 7 .. [[b]] .. ([[a]]):rep(60)):gsub(([[.-]]):rep(20) .. [[b]], print)"\n' \
		expect:42b 'press:\x03:killed' 'expect:SHELL> ' \
		'send:echo code=$?\n' expect:code=137
	wait_until is_not_running -e
}

@test "Ctrl-Z stops, fg continues" {
	at_shell 'send:thox-exec -e "local t = 0 while true do if os.clock() - t > 0.1 then t = os.clock() print(6 * 7) end end"\n' \
		expect:42 'send:\x1a' expect:Stopped 'expect:SHELL> ' \
		'send:until thoxctl --json ps | grep -q paused; do :; done; echo pau""sed\n' \
		expect:paused \
		'expect:SHELL> ' 'send:fg\n' expect:thox-exec expect:42 \
		'send:\x03' expect:traceback 'expect:SHELL> '
}

@test "bg lets it run in the background" {
	at_shell 'send:thox-exec -e "print(6 * 7) while true do end"\n' \
		expect:42 'send:\x1a' expect:Stopped 'expect:SHELL> ' \
		'send:bg\n' 'expect:SHELL> ' \
		'send:until thoxctl --json ps | grep -q running; do :; done; echo run""ning\n' \
		expect:running 'expect:SHELL> ' 'send:kill %1; wait %1; echo code=$?\n' \
		expect:code=143
}

@test "a program reads lines from the terminal, and its end" {
	at_shell 'send:thox-exec -e "print(6 * 6) for l in io.lines() do print(#l, l:upper()) end print(6 * 7)"\n' \
		expect:36 'send:one\n' expect:ONE 'send:three\n' expect:THREE 'send:\x04' \
		expect:42 'expect:SHELL> '
}

@test "what the program does not read stays for the shell" {
	at_shell 'send:thox-exec -e "print(6 * 7) print(io.read())"\n' \
		expect:42 'send:line\n' expect:line 'send:echo for the sh""ell\n' \
		'expect:for the shell'
}

@test "in the background, reading stops it with SIGTTIN; fg lets it read" {
	at_shell 'send:thox-exec -e "print(io.read():upper())" &\n' \
		'expect:SHELL> ' \
		'send:until grep -q "^State:.T" /proc/$!/status; do :; done; jobs\n' \
		expect:Stopped 'expect:SHELL> ' 'send:fg\n' expect:thox-exec 'send:line\n' \
		expect:LINE 'expect:SHELL> '
}

# By PID, since bash's kill of a job continues it by itself for TERM: a second
# SIGCONT might meet the sanitizers' check at the exit, whose own SIGSTOP it
# takes away, and which then waits for ever.
@test "one that stopped to read can be killed, and does not stop again" {
	local signal code

	for signal in TERM:143 INT:130 KILL:137; do
		code=${signal#*:}
		at_shell 'send:thox-exec -e "print(io.read():upper())" &\n' \
			'expect:SHELL> ' \
			'send:until grep -q "^State:.T" /proc/$!/status; do :; done; echo stop""ped\n' \
			expect:stopped 'expect:SHELL> ' \
			"send:kill -${signal%:*} \$!; kill -CONT %1; wait %1; echo code=\$?\n" \
			"expect:code=$code" 'expect:SHELL> '
	done
	wait_until is_not_running -e
}

@test "in the background, a program that does not read goes on" {
	at_shell 'send:thox-exec -e "print(6 * 7)" & wait; echo do""ne\n' \
		expect:42 expect:done 'expect:SHELL> '
}

@test "another reader on the terminal is not robbed" {
	at_shell 'send:thox-exec -e "local t = {} while true do t[1] = 1 end" & read -r line; echo "got $line"\n' \
		'send:mine\n' 'expect:got mine' 'send:kill %1\n' 'expect:SHELL> '
}

@test "an orphan that reads the terminal gets its end instead of stopping" {
	mkfifo "$THOX_DIR/go"
	# When its parent has ended and its group has left the foreground; by
	# itself a job of that parent would read /dev/null.
	cat >"$THOX_DIR/orphan" <<-'END'
		read -r <"$THOX_DIR/go"
		exec thox-exec -e 'print(io.read())'
	END
	# shellcheck disable=SC2016 # expanded there
	run "$helpers/pty" expect:nil 'send:exit\n' -- bash -c \
		'set -m; (bash "$THOX_DIR/orphan" </dev/tty &); echo >"$THOX_DIR/go"; read -r'
	assert_status 0
}

@test "a terminal's loss terminates the program" {
	"$helpers/pty" expect:42 hangup -- \
		thox-exec -e 'print(6 * 7) while true do end' >/dev/null || true
	wait_until is_not_running -e
}

@test "a new size of the terminal reaches the program" {
	run "$helpers/pty" expect:80x24 size:50x132 expect:132x50 -- \
		thox-exec -e 'local function size() return os.getenv("COLUMNS") .. "x" .. os.getenv("LINES") end
			print(size()) repeat until size() ~= "80x24" print(size())'
	assert_status 0
}

@test "a pipeline with the terminal at one end works" {
	at_shell 'send:thox-exec -e "print(6 * 7) print(io.read())" | tr 0-9 a-z\n' \
		expect:ec 'send:line 1\n' 'expect:line b' 'expect:SHELL> '
}

@test "output to the terminal comes at once, line by line" {
	run "$helpers/pty" expect:first 'send:x\n' expect:second -- \
		thox-exec -e 'print("first") io.read() print("second")'
	assert_status 0
}

@test "a run in a shell's loop can be left with Ctrl-C" {
	at_shell 'send:for i in 1 2 3; do thox-exec -e "print(6 * 7) while true do end" || break; done\n' \
		expect:42 'send:\x03' expect:traceback 'expect:SHELL> '
}
