#!/usr/bin/env bats
# Services while all that keeps them is killed at random: thoxd, thoxfs, the
# daemons of logs and storage, zygotes, and they themselves. After each few
# kills every service is again as its definition wants it, and at the end
# nothing is left over and nothing that was acknowledged is lost.
#
# THOX_TEST_SECONDS: for how long things are killed. THOX_TEST_SEED: repeats
# the choices of a run.

load helper
load services

: "${THOX_TEST_SEED:=$RANDOM}"
: "${THOX_TEST_SECONDS:=20}"
# Many things start again at once.
WAIT_SECONDS=120
NODES=5

setup() {
	need_mount
	start_thox
	cd "$THOX_DIR" || return 1
}

teardown() {
	cd /
	stop_thox
}

# They call each other, and count what no kill explains.
install_nodes() {
	local i

	install_program node <<-'LUA'
		local me, n = ...
		local daemon = require "daemon"
		local status = os.status
		local name = "n" .. me
		local wrong = "none"
		-- the other may die, or have no name for a moment
		local fine = { [status.OK] = true, [status.NOT_FOUND] = true, [status.CLOSED] = true }
		daemon.rpc[name].add = function(_, x) return x + 1 end
		daemon.rpc[name].wrong = function() return wrong end
		os.task(function()
			while true do
				local value = math.random(1000)
				local to = "n" .. math.random(1, tonumber(n)) .. ".add"
				local s, answer = os.wait(os.call(0, to, value))
				if not fine[s] or s == status.OK and answer ~= value + 1 then
					wrong = to .. ": " .. s .. ": " .. tostring(answer)
				end
				os.sleep(0.01)
			end
		end)
	LUA
	for ((i = 1; i <= NODES; i++)); do
		define "node$i" 'program = node' "args = $i $NODES" "provides = n$i" \
			'ready = bind' '[restart]' 'delay = 100ms' 'max-delay = 200ms' 'limit = none' '[allow]' 'call = **'
	done
}

# It keeps a number in storage, and prints it when that is durable.
install_keeper() {
	install_program keeper <<-'LUA'
		local keys = require("storage").keys()
		while true do
			local ok, n = pcall(keys.increment, keys, "n", 1, { sync = true })
			if ok then print("kept", n) io.stdout:flush() end
			os.sleep(0.02)
		end
	LUA
	define keeper 'program = keeper' '[restart]' 'delay = 100ms' 'max-delay = 200ms' 'limit = none' \
		'[allow]' 'call = **'
}

# What a call starts, and what a new version replaces.
install_others() {
	install_program lazy 'require("daemon").rpc.lazy.hello = function() return "hello" end'
	define lazy 'program = lazy' 'activation = call' 'ready = bind' 'autostart = no' \
		'[restart]' 'delay = 100ms' 'max-delay = 200ms' 'limit = none'
	publish_web 1
	define web 'program = web' 'provides = web' 'ready = bind' 'reload = restart' \
		'[restart]' 'delay = 100ms' 'max-delay = 200ms' 'limit = none'
	define resting 'program = lazy' 'autostart = no'
}

version=0
publish_web() {
	version=$1
	install_program web "require('daemon').rpc.web.version = function() return $1 end"
}

# --- what happens to them -----------------------------------------------------

# Of this instance: the first process called thox-$1, or thoxd, thoxfs.
daemon_pid() {
	local pid

	for pid in $(thox_processes); do
		[[ $(<"/proc/$pid/comm") != "$1" ]] || echo "$pid"
	done 2>/dev/null | head -n 1
}

kill_daemon() {
	local pid

	pid=$(daemon_pid "$1")
	[[ -z $pid ]] || kill -KILL "$pid" 2>/dev/null || true
}

kill_service() {
	local pid

	pid=$(pid_of_service "$1")
	[[ $pid -eq 0 ]] || kill -KILL "$pid" 2>/dev/null || true
}

node() {
	echo "node$((1 + RANDOM % NODES))"
}

# One thing; its name is told for whoever reads of a failure.
something_happens() {
	local what=$((RANDOM % 14)) who

	who=$(node)
	echo "$what $who"
	case $what in
	0 | 1) kill_daemon thoxd ;;
	2) kill_daemon thoxfs ;;
	3) kill_daemon thox-logd ;;
	4) kill_daemon thox-storaged ;;
	5) kill_daemon thox-zygote ;;
	6 | 7) kill_service "$who" ;;
	8) kill_service keeper ;;
	9) kill_service lazy ;;
	10) thoxctl restart --no-wait "$who" ;;
	11) thoxctl daemon-reexec || true ;; # a zygote may end in it
	12) publish_web $((version + 1)) ;;
	13) kill_service "$who" && kill_daemon thoxd ;;
	esac
}

# --- how it must be -----------------------------------------------------------

all_run() {
	[[ $(thoxctl --json list | gojq -c '[.[] | select(.name != "lazy" and .name != "resting")
		| .state] | unique') == '["running"]' ]]
}

# Each is one process, bound to its name; the one at rest rests.
one_of_each() {
	[[ $(thoxctl --json ps | gojq '[.[] | select(.name == "node")] | length') -eq $NODES ]] &&
		[[ $(thoxctl --json ps | gojq '[.[] | select(.name == "keeper")] | length') -eq 1 ]] &&
		[[ $(thoxctl --json bus | gojq "[.[] | select(.name | test(\"^n[0-9]+$\"))] | length") -eq $NODES ]] &&
		[[ $(field resting state) == inactive ]]
}

web_is() {
	[[ $(thoxctl call web.version) -eq $1 ]]
}

kept_number() {
	thoxctl logs keeper -o cat | awk '/^kept/ && $2 > n { n = $2 } END { print n + 0 }'
}

has_kept_more() {
	(($(kept_number) > $1))
}

nothing_wrong() {
	local i

	for ((i = 1; i <= NODES; i++)); do
		[[ $(thoxctl call "n$i.wrong") == none ]] || {
			echo "node$i: $(thoxctl call "n$i.wrong")" >&2
			return 1
		}
	done
}

# One that was killed a moment ago closes the calls that it had.
lazy_answers() {
	[[ $(thoxctl call lazy.hello 2>&1) == hello ]]
}

all_is_well() {
	local kept

	wait_until all_run
	wait_until one_of_each
	nothing_wrong
	wait_until lazy_answers
	wait_until web_is "$version"
	kept=$(kept_number)
	wait_until has_kept_more "$kept"
	# the mount, the store and a program
	[[ $(<"$mnt/programs/web") == *"$version"* ]]
	[[ $(thox-exec -e 'return 6 * 7') == 42 ]]
}

descriptors() {
	find "/proc/$(thoxctl --json status | gojq .pid)/fd" -mindepth 1 | wc -l
}

# A new thoxd with the same services has no more than at the beginning.
at_most() {
	kill_daemon thoxd
	wait_until all_run
	(($(descriptors) <= $1))
}

@test "whatever is killed, each service comes back as it is wanted, and nothing is lost" {
	local until before i

	echo "THOX_TEST_SEED=$THOX_TEST_SEED"
	RANDOM=$THOX_TEST_SEED
	install_nodes
	install_keeper
	install_others
	thoxctl start 'node*' keeper web
	all_is_well
	before=$(descriptors)
	until=$((SECONDS + THOX_TEST_SECONDS))
	while ((SECONDS < until)); do
		for ((i = RANDOM % 4; i >= 0; i--)); do
			something_happens
			sleep "0.$((RANDOM % 30))"
		done
		all_is_well
	done
	wait_until at_most $((before + 2))
	# None was given twice, each process was given ever higher ones, and none
	# that was told is gone. (Lines of two processes have the order in which
	# thox-logd read them, which was away meanwhile.)
	thoxctl stop keeper
	thoxctl logs keeper -o json |
		gojq -r 'select(.message | startswith("kept")) | "\(.pid) \(.message)"' |
		awk '$3 <= n[$1] || seen[$3]++ { print $3, "after", n[$1]; exit 1 } { n[$1] = $3 }'
	[[ $(thoxctl --json kv get keeper n | gojq .value) -ge $(kept_number) ]]
}
