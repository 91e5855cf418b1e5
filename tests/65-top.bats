#!/usr/bin/env bats
# thoxctl top, on a terminal that tmux plays, and without one.

load helper
load services

setup() {
	start_thox
	cd "$THOX_DIR" || return 1
}

teardown() {
	cd /
	[[ -n ${BATS_TEST_COMPLETED:-} ]] || screen 2>/dev/null >&2 || true
	terminal kill-server 2>/dev/null || true
	stop_thox
}

# --- the terminal ------------------------------------------------------------

# tmux starts commands by the user's shell, which may be none.
terminal() {
	SHELL=$BASH tmux -S "$THOX_DIR/tmux" -f /dev/null "$@"
}

# Whoever comes to its socket while it ends is turned away.
end_terminal() {
	local server

	server=$(terminal display-message -p -t top '#{pid}')
	terminal kill-server
	wait_until is_gone "$server"
}

# watch COLUMNS ROWS [ARG...]: top on a terminal of this size; what remains of
# it is shown when it has left.
watch() {
	local columns=$1 rows=$2

	command -v tmux >/dev/null || skip "no tmux"
	shift 2
	cat >"$THOX_DIR/watch" <<-END
		thoxctl top --delay 0.2 $*
		echo "left with \$?"
		stty -a | grep -o -- '-\\?icanon\\|-\\?echo\\b' | tr '\\n' ' '
		read -r line && echo "read \$line"
		sleep 1000
	END
	terminal -u new-session -d -s top -x "$columns" -y "$rows" \
		"bash '$THOX_DIR/watch'"
}

keys() {
	terminal send-keys -t top "$@"
}

screen() {
	terminal capture-pane -p -t top
}

# shows REGEX: a line of the screen does.
shows() {
	screen | grep -qE -- "$1"
}

shows_not() {
	! shows "$1"
}

# The names of the rows, from above.
order_is() {
	[ "$(screen | sed -n '5,$p' | sed '$d' | awk 'NF { print $1 }' | tr '\n' ' ')" = "$1 " ]
}

# --- services ----------------------------------------------------------------

# NAME...: services that wait, and are not started.
waiting() {
	local name

	install_program waits 'print("it waits") while true do os.pull() end'
	for name; do
		define "$name" 'program = waits'
	done
}

@test "top shows what services use, live" {
	install_program burns 'while true do end'
	install_program answers 'local daemon = require "daemon"
		function daemon.rpc.answers.it() return 1 end'
	install_program asks 'local rpc = require "rpc"
		while true do rpc.answers.it() os.sleep(0.01) end'
	define burns 'program = burns'
	define answers 'program = answers' 'ready = bind'
	define asks 'program = asks' '[allow]' 'call = answers.**'
	thoxctl start burns answers asks
	watch 100 20
	wait_until shows '^3 services: 3 running; 3 processes, CPU'
	wait_until shows '^burns +running +[1-9][0-9]*\.[0-9] +[0-9.]+[KM] +0 +0 +[0-9]+ +[0-9]+'
	wait_until shows '^answers +running +[0-9.]+ +[0-9.]+[KM] +[1-9][0-9.]* '
	thoxctl stop asks
	wait_until shows '^asks +inactive +- +- +- +- +[0-9]+ +- '
	wait_until shows '^answers +running +[0-9.]+ +[0-9.]+[KM] +0 '
}

@test "keys change the order, and the chosen service stays chosen" {
	waiting b a c
	thoxctl start c
	watch 100 20 --sort name
	wait_until order_is "a b c"
	keys R
	wait_until order_is "c b a"
	keys P
	wait_until order_is "c a b"
	keys '<'
	wait_until order_is "c a b" # by state
	keys Down Down s
	wait_until shows '^Stop b\? '
	keys n N
	wait_until order_is "a b c"
	keys s
	wait_until shows '^Stop b\? '
}

@test "keys stop and restart a service, after a yes" {
	waiting one two
	thoxctl start one two
	watch 100 20 --sort name
	wait_until order_is "one two"
	keys Down s
	wait_until shows '^Stop two\? '
	keys x
	wait_until shows_not '^Stop two\?'
	state_is two running
	keys s
	wait_until shows '^Stop two\? '
	keys y
	wait_until state_is two inactive
	wait_until shows '^two +inactive'
	state_is one running
	keys r
	wait_until shows '^Restart two\? '
	keys y
	wait_until state_is two running
	wait_until shows '^two +running'
}

@test "a process that is no service can be stopped, and no more" {
	install_program waits 'while true do os.pull("never") end'
	thox-exec waits 3>&- &
	wait_until is_running waits
	watch 100 20
	wait_until shows '^waits +running'
	keys r
	wait_until shows '^waits is no service: it cannot be restarted'
	keys l
	wait_until shows '^waits is no service: it has no log'
	keys s
	wait_until shows '^Stop process [0-9]+ \(waits\)\? '
	keys y
	wait_until is_not_running waits
	wait_until shows_not '^waits +running'
}

@test "a key follows the log of a service, and Ctrl-C comes back" {
	waiting speaks
	thoxctl start speaks
	wait_until logged speaks "it waits"
	watch 100 20
	wait_until shows '^speaks +running'
	keys l
	wait_until shows 'speaks\[[0-9]+\]: it waits'
	shows_not '^speaks +running'
	keys C-c
	wait_until shows '^speaks +running'
	shows_not 'left with'
	keys h
	wait_until shows 'follow its log'
	keys h
	wait_until shows '^speaks +running'
}

@test "the table fits into the terminal, whatever becomes of that" {
	waiting a-service
	thoxctl start a-service
	watch 100 20
	wait_until shows '^NAME +STATE +CPU% +MEMORY CALLS/S +QUEUE RESTARTS +PID WHY$'
	terminal resize-window -t top -x 40 -y 8
	wait_until shows '^NAME +STATE +CPU% +MEMORY$'
	wait_until shows '^a-service +running'
	wait_until last_line_begins "q quit  h help"
	terminal resize-window -t top -x 12 -y 3
	wait_until shows_not STATE
	terminal resize-window -t top -x 120 -y 30
	wait_until shows ' PID WHY$'
	wait_until shows '^a-service +running'
}

last_line_begins() {
	[[ $(screen | tail -n 1) == "$1"* ]]
}

@test "more services than lines are gone through by pages" {
	local n names=()

	for n in {10..49}; do
		names+=("s$n")
	done
	waiting "${names[@]}"
	watch 100 15 --sort name
	wait_until shows '^s10 +inactive'
	shows_not '^s20 '
	keys NPage
	wait_until shows '^s20 +inactive'
	keys End
	wait_until shows '^s49 +inactive'
	shows_not '^s10 '
	keys Home
	wait_until shows '^s10 +inactive'
}

@test "top leaves the terminal as it was, by a key and by a signal" {
	watch 80 20
	wait_until shows '^0 services'
	keys q
	wait_until shows 'left with 0'
	wait_until shows '^icanon echo'
	shows_not 'services'
	keys hello Enter
	wait_until shows '^read hello'
	end_terminal
	watch 80 20
	wait_until shows '^0 services'
	kill -TERM "$(pgrep -P "$(terminal list-panes -F '#{pane_pid}')" thoxctl)"
	wait_until shows 'left with 0'
	wait_until shows '^icanon echo'
}

@test "top says when thoxd is gone, and finds the next" {
	waiting goes-on
	thoxctl start goes-on
	watch 100 20
	wait_until shows '^goes-on +running'
	thoxctl daemon-reexec
	wait_until shows '^connected to thoxd again'
	wait_until shows '^goes-on +running'
	thoxctl shutdown
	wait_until shows '^no instance runs: waiting for one'
	thoxctl start goes-on
	wait_until shows '^connected to thoxd again'
	wait_until shows '^goes-on +running'
	keys q
	wait_until shows 'left with 0'
}

@test "top does not hang on a thoxd that does not answer" {
	local pid

	watch 100 20
	wait_until shows '^0 services'
	pid=$(thoxctl --json status | gojq .pid)
	kill -STOP "$pid"
	wait_until shows '^thoxd does not answer: waiting for it' || {
		kill -CONT "$pid"
		return 1
	}
	kill -CONT "$pid"
	wait_until shows_not 'does not answer'
	keys q
	wait_until shows 'left with 0'
}

@test "nothing that a name holds reaches the terminal" {
	local name=$'ev\e[41mil\u202e\a'

	echo 'while true do os.pull("never") end' >"$name"
	thox-exec "./$name" 3>&- &
	wait_until eval 'thoxctl --json ps | gojq -e "length == 1"'
	watch 100 20
	wait_until shows '^ev\?\[41mil\?\? +running'
	terminal capture-pane -p -e -t top >shown
	run grep -c $'\e\\[41m' shown
	[ "$output" = 0 ]
	thoxctl top --batch --count 1 >shown
	run grep -c $'\e' shown
	[ "$output" = 0 ]
	thoxctl terminate "$(thoxctl --json ps | gojq '.[0].pid')"
}

# colours: does the screen have any?
colours() {
	terminal capture-pane -p -e -t top | grep -q $'\e\\[[0-9;]*3[0-7]'
}

@test "top is coloured, but not with NO_COLOR, nor where there are no colours" {
	waiting there
	thoxctl start there
	watch 100 20
	wait_until shows '^there +running'
	wait_until colours
	end_terminal
	NO_COLOR=1 watch 100 20
	wait_until shows '^there +running'
	run colours
	[ "$status" -ne 0 ]
	end_terminal
	watch 100 20
	wait_until shows '^there +running'
	keys q
	wait_until shows 'left with 0'
	terminal respawn-pane -k -t top "TERM=vt100 bash '$THOX_DIR/watch'"
	wait_until shows '^there +running'
	run colours
	[ "$status" -ne 0 ]
	keys q
	wait_until shows 'left with 0'
	terminal respawn-pane -k -t top "TERM=dumb bash '$THOX_DIR/watch'"
	wait_until shows '^thoxctl: this terminal cannot be drawn on \(TERM\)'
	wait_until shows 'left with 2'
}

@test "without a terminal top wants --batch or --json" {
	run thoxctl top
	assert_status 2
	assert_output_has "--batch prints lines" "--json JSON"
	run thoxctl top --count 1
	assert_status 2
	run thoxctl top --batch --count 0
	assert_status 2
	run thoxctl top --batch --delay 1ms
	assert_status 2
	run thoxctl top --batch --sort colour
	assert_status 2
	assert_output_has "not a column"
}

@test "reports have services, runs in the background and others" {
	waiting b a
	define many 'program = waits' 'instances = 3'
	define worker 'program = waits' 'args = %i'
	thoxctl start b many worker:blue
	install_program serves 'os.bind("serves") while true do os.pull() end'
	thox-exec -d serves
	thox-exec waits 3>&- >/dev/null &
	wait_until run_in_all 7 # five of services, which are called so, too
	thoxctl top --batch --count 2 --delay 0.1 --sort name >shown
	[ "$(grep -c '^4 services: ' shown)" = 2 ]
	grep -E '^many +running 3/3 ' shown
	grep -E '^worker +template ' shown
	thoxctl top --json --count 2 --delay 0.1 --sort name >shown
	[ "$(wc -l <shown)" = 2 ]
	[ "$(tail -n 1 shown | gojq -r '[.rows[] | .name + " " + .kind] | join(",")')" = \
		"a service,b service,many service,serves background,waits process,worker service,worker:blue service" ]
	tail -n 1 shown | gojq -e '.rows[] | select(.name == "many") |
		.processes == 3 and .instances_running == 3 and .memory_bytes > 0 and
		.cpu_percent != null and .queue == 0 and .restarts == 0'
	tail -n 1 shown | gojq -e '.rows[] | select(.name == "a") |
		.processes == 0 and .cpu_percent == null and .state == "inactive"'
	run thoxctl top --batch --count 1 'b' 'work*'
	assert_status 0
	assert_output_has "2 services: 2 running; 2 processes"
	run thoxctl top --batch --count 1 nosuch
	assert_status 4
	thoxctl terminate waits
}

run_in_all() {
	[[ $(thoxctl --json ps | gojq length) == "$1" ]]
}

@test "calls that wait are a queue" {
	install_program slow 'os.bind("slow") while true do os.pull("call") end'
	define slow 'program = slow' 'ready = bind'
	thoxctl start slow
	thoxctl call --timeout 60s slow.a 3>&- &
	thoxctl call --timeout 60s slow.b 3>&- &
	queue_is() {
		thoxctl top --json slow | gojq -e ".rows[0].queue == $1"
	}
	wait_until queue_is 2
	thoxctl restart slow
	wait
	wait_until queue_is 0
}

@test "batch goes on with the next thoxd, and ends with the instance" {
	waiting a
	local status=0 pid

	thoxctl top --batch --delay 0.1 >>shown 2>said 3>&- &
	pid=$!
	wait_until has_line shown "1 service: "
	thoxctl daemon-reexec
	: >shown
	wait_until has_line shown "1 service: "
	thoxctl shutdown
	wait $pid || status=$?
	[ "$status" = 3 ]
	has_line said "no instance runs at"
}
