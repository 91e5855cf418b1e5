#!/usr/bin/env bats
# Services outlive thoxd: it is killed, or executed anew, and the next one goes
# on with them.

load helper
load services

setup() {
	start_thox
	cd "$THOX_DIR" || return 1
	install_program stay 'print("stays", ...) while true do os.sleep(60) end'
}

teardown() {
	cd /
	stop_thox
}

thoxd_pid() {
	thoxctl --json status | gojq .pid
}

# kill_thoxd [PID]: returns when the next one answers.
kill_thoxd() {
	local before now

	before=${1:-$(thoxd_pid)}
	kill -KILL "$before"
	now=$(thoxd_pid)
	[[ $now -gt 0 && $now -ne $before ]]
}

# The PIDs of all services, in the order of their names.
pids() {
	thoxctl --json list | gojq -c '[.[] | [.name, .pid]]'
}

# N services that call one another as fast as they can, until they are told to
# stop, and count.
start_nodes() {
	local i

	install_program node <<-'LUA'
		local me, n = ...
		local daemon, rpc = require "daemon", require "rpc"
		local name = "n" .. me
		local calls, failed, why = 0, 0, ""
		daemon.rpc[name].ping = function(_, x) return x + 1 end
		daemon.rpc[name].count = function() return calls, failed, why end
		os.task(function()
			while true do
				local value = math.random(1000)
				local to = "n" .. math.random(1, tonumber(n))
				local status, answer = os.wait(os.call(0, to .. ".ping", value))
				-- before they are all there, names may not be
				if status ~= 0 and status ~= os.status.NOT_FOUND or
					status == 0 and answer ~= value + 1 then
					failed = failed + 1
					why = to .. ": " .. status .. ": " .. tostring(answer)
				end
				calls = calls + 1
				os.sleep(0.005)
			end
		end)
	LUA
	for ((i = 1; i <= $1; i++)); do
		define "node$i" 'program = node' "args = $i $1" "provides = n$i" 'ready = bind' \
			'[allow]' 'call = **'
	done
	thoxctl start 'node*'
}

# nodes_go_on N: each of them goes on calling, and no call has failed. One
# program asks them all, so that they have the processor.
nodes_go_on() {
	thox-exec --timeout "$WAIT_SECONDS"s -e '
		local rpc = require "rpc"

		local function calls_of(i)
			local calls, failed, why = rpc["n" .. i].count()
			assert(failed == 0, "a call of node" .. i .. " failed: " .. why)
			return calls
		end

		for i = 1, arg[1] do
			local before = calls_of(i)
			repeat os.sleep(0.02) until calls_of(i) > before + 5
			calls_of(i)
		end
	' "$1"
}

@test "twenty services that call one another go on when thoxd is killed" {
	local before

	start_nodes 20
	nodes_go_on 20
	before=$(pids)
	kill_thoxd
	[ "$(pids)" = "$before" ]
	nodes_go_on 20
	kill_thoxd
	[ "$(pids)" = "$before" ]
	nodes_go_on 20
	[ "$(thoxctl --json list | gojq '[.[].restarts] | add')" -eq 0 ]
	[ "$(thoxctl --json bus | gojq '[.[] | select(.service)] | length')" -eq 20 ]
}

@test "ten times daemon-reexec under load, and no call fails" {
	local before thoxd i

	start_nodes 8
	nodes_go_on 8
	before=$(pids)
	thoxd=$(thoxd_pid)
	for ((i = 0; i < 10; i++)); do
		thoxctl daemon-reexec
		[ "$(thoxd_pid)" -ne "$thoxd" ]
		thoxd=$(thoxd_pid)
	done
	[ "$(pids)" = "$before" ]
	nodes_go_on 8
	[ "$(thoxctl --json status | gojq .restarts)" -eq 10 ]
}

@test "daemon-reexec starts what is installed then" {
	local libexec=$THOX_DIR/libexec

	thoxctl shutdown
	mkdir "$libexec"
	ln -s "${THOX_LIBEXEC_DIR:-$THOX_PREFIX/libexec/thox}"/* "$libexec/"
	export THOX_LIBEXEC_DIR=$libexec
	define greeter 'program = stay'
	thoxctl start greeter
	before=$(pids)
	mv "$libexec/thoxd" "$libexec/thoxd.old"
	printf '#!/bin/sh\n: >"%s/newer"\nexec "%s/thoxd.old" "$@"\n' "$THOX_DIR" "$libexec" >"$libexec/thoxd"
	chmod +x "$libexec/thoxd"
	thoxctl daemon-reexec
	[ -e "$THOX_DIR/newer" ]
	[ "$(pids)" = "$before" ]
}

@test "daemon-reexec says how many programs ended with it" {
	thox-exec stay >/dev/null &
	pid_of stay
	run --separate-stderr thoxctl daemon-reexec
	assert_status 0
	[[ $stderr == *"1 process not of services ended with it"* ]]
	run wait $!
	[ "$status" -ne 0 ]
}

@test "list, status, tree and logs know all of it right after" {
	define base 'program = stay' 'args = here'
	define upper 'program = stay' '[order]' 'requires = base'
	thoxctl start upper
	wait_until logged base here
	before=$(field base 'instances[0].since_ms')
	kill_thoxd
	run thoxctl list
	assert_output_has base upper running
	run thoxctl status upper
	assert_status 0
	assert_output_has running stay
	run thoxctl tree --services upper
	assert_output_has upper base running
	logged base here
	[ "$(field base 'instances[0].since_ms')" = "$before" ]
	# and it is still theirs: a stop of what is required stops both
	thoxctl stop base
	state_is upper inactive
}

@test "a service that dies while there is no thoxd is restarted by its rule" {
	local keeper victim never

	define again 'program = stay'
	define never 'program = stay' '[restart]' 'policy = never'
	define other 'program = stay'
	thoxctl start again never other
	before=$(field other pid)
	victim=$(field again pid)
	never=$(field never pid)
	keeper=$(thoxctl --json status | gojq .keeper_pid)
	kill -STOP "$keeper"
	kill -KILL "$(pgrep -P "$keeper" -x thoxd)" "$victim" "$never"
	kill -CONT "$keeper"
	wait_until eval '[[ $(field again pid) -gt 0 && $(field again pid) -ne $victim ]]'
	wait_until state_is again running
	[ "$(field again restarts)" -eq 1 ]
	[ "$(field again 'instances[0].last_end.pid')" -eq "$victim" ]
	[ "$(field again 'instances[0].last_end.signal')" = 9 ]
	wait_until state_is never failed
	[ "$(field other pid)" -eq "$before" ]
}

@test "what was stopped, has failed, or was enabled by hand stays so" {
	define idle 'program = stay'
	define busy 'program = stay' 'autostart = no'
	install_program wrong 'error("never")'
	define wrong 'program = wrong' '[restart]' 'policy = never'
	thoxctl start --no-wait idle busy wrong
	wait_until state_is wrong failed
	wait_until state_is idle running
	thoxctl stop idle
	thoxctl enable busy
	kill_thoxd
	state_is idle inactive
	state_is wrong failed
	[ "$(field wrong 'instances[0].last_end.code')" -eq 1 ]
	wait_until logged wrong never
	state_is busy running
	thoxctl is-enabled busy
	thoxctl start idle
	state_is idle running
}

@test "contexts that are held stay valid, can be shared and withdrawn" {
	install_program owner <<-'LUA'
		local daemon = require "daemon"
		local shared = daemon.object{read = function() return "read" end}
		function daemon.rpc.owner.get() return shared end
		function daemon.rpc.owner.revoke(_, pid) os.revoke(shared, pid) return true end
		function daemon.rpc.owner.use(_, ctx) return require("rpc").on(ctx).ask() end
	LUA
	install_program holder <<-'LUA'
		local daemon, rpc = require "daemon", require "rpc"
		local held = rpc.owner.get()
		local mine = daemon.object{ask = function() return "asked" end}
		function daemon.rpc.holder.read() return rpc.on(held).read() end
		function daemon.rpc.holder.share() return rpc.owner.use(mine) end
		function daemon.rpc.holder.pid() return os.pid() end
	LUA
	define owner 'program = owner' 'provides = owner' 'ready = bind'
	define holder 'program = holder' 'provides = holder' 'ready = bind' '[allow]' 'call = owner.**' \
		'[order]' 'requires = owner'
	thoxctl start holder
	[ "$(thoxctl call holder.read)" = read ]
	kill_thoxd
	[ "$(thoxctl call holder.read)" = read ]
	[ "$(thoxctl call holder.share)" = asked ]
	run thoxctl tree
	assert_output_has "binds owner" "binds holder"
	thoxctl call owner.revoke "$(thoxctl call holder.pid)"
	run thoxctl call holder.read
	[ "$status" -ne 0 ]
	[ "$(thoxctl call holder.share)" = asked ]
}

@test "calls of thoxd's own that it had not answered are made again" {
	install_program caller <<-'LUA'
		local daemon, rpc = require "daemon", require "rpc"
		local done = {}
		for i = 1, 10 do
			os.task(function()
				rpc.alarm(0.3)
				done[#done + 1] = i
			end)
		end
		function daemon.rpc.caller.done() return #done end
		function daemon.rpc.caller.more()
			rpc.random.random()
			rpc.clock()
			return #rpc.bus.list()
		end
	LUA
	define caller 'program = caller' 'provides = caller' 'ready = bind' '[allow]' 'call = **'
	thoxctl start caller
	kill_thoxd
	wait_until eval '[[ $(thoxctl call caller.done) -eq 10 ]]'
	[ "$(thoxctl call caller.more)" -ge 1 ]
}

@test "who listened still hears" {
	install_program listener <<-'LUA'
		local daemon = require "daemon"
		os.listen(0, "news")
		os.task(function()
			while true do print("heard " .. os.pull("push").args[1]) end
		end)
		function daemon.rpc.listener.ping() return "pong" end
	LUA
	define listener 'program = listener' 'provides = listener' 'ready = bind' '[allow]' 'call = **'
	thoxctl start listener
	[ "$(thoxctl call listener.ping)" = pong ]
	thoxctl push news first
	wait_until logged listener "heard first"
	kill_thoxd
	# asked for again over the same link as the answer to this
	[ "$(thoxctl call listener.ping)" = pong ]
	wait_until eval 'thoxctl push news second; logged listener "heard second"'
}

@test "children end with thoxd, and their parent is told" {
	install_program parent <<-'LUA'
		local daemon = require "daemon"
		local pid = os.run_program("stay")
		function daemon.rpc.parent.child() return pid end
		os.task(function()
			local code, signal = os.wait_exit(pid)
			print("child ended", code, signal)
		end)
	LUA
	define parent 'program = parent' 'provides = parent' 'ready = bind' '[allow]' 'call = process.run' 'run = stay'
	thoxctl start parent
	child=$(thoxctl call parent.child)
	kill_thoxd
	wait_until logged parent "child ended	nil	9"
	is_gone "$child"
	state_is parent running
}

@test "logs lose nothing" {
	local last

	install_program counter <<-'LUA'
		local i = 0
		while true do i = i + 1 print("line " .. i) os.sleep(0.002) end
	LUA
	define counter 'program = counter'
	thoxctl start counter
	wait_until logged counter "line 50"
	kill_thoxd
	last=$(thoxctl logs counter -n 1 | grep -oE '[0-9]+$')
	wait_until logged counter "line $((last + 100))"
	thoxctl stop counter
	thoxctl logs counter -o cat | grep -oE '[0-9]+$' | awk '$1 != NR { print "missing before", $1; exit 1 }'
}

@test "a version that is published while there is no thoxd is gone over to, an old one not again" {
	local keeper still version

	version='require("daemon").rpc.NAME.version = function() return N end'
	for name in web same; do
		install_program "$name" "$(sed "s/NAME/$name/; s/N/1/" <<<"$version")"
		define "$name" "program = $name" 'reload = restart' "provides = $name" 'ready = bind'
	done
	thoxctl start web same
	still=$(field same pid)
	keeper=$(thoxctl --json status | gojq .keeper_pid)
	kill -STOP "$keeper"
	kill -KILL "$(pgrep -P "$keeper" -x thoxd)"
	install_program web "$(sed 's/NAME/web/; s/N/2/' <<<"$version")"
	install_program same "$(sed 's/NAME/same/; s/N/1/' <<<"$version")"
	kill -CONT "$keeper"
	wait_until eval '[[ $(thoxctl call web.version) == 2 ]]'
	wait_until state_is web running
	state_is same running
	[ "$(field same pid)" -eq "$still" ]
}

@test "a new version on trial goes on being tried" {
	local old

	install_program web 'require("daemon").rpc.web.version = function() return 1 end'
	define web 'program = web' 'reload = restart' 'provides = web' 'ready = bind'
	thoxctl start web
	old=$(field web pid)
	install_program web 'require("daemon").rpc.web.version = function() return 2 end'
	wait_until eval '[[ $(thoxctl call web.version) == 2 ]]'
	state_is web reloading
	kill_thoxd
	[ "$(thoxctl call web.version)" = 2 ]
	wait_until state_is web running
	[ "$(thoxctl call web.version)" = 2 ]
	wait_until is_gone "$old"
}

# new_version N: it answers, and its PID is $new.
new_version() {
	local answer

	answer=$(thoxctl call web.version) && [[ $answer == "$1 "* ]] &&
		new=${answer#* }
}

# Its trial takes three seconds, so nothing is asked in them that is known.
@test "a new version that dies on trial is taken back, whoever watches it" {
	local old thoxd version

	version='require("daemon").rpc.web.version = function() return N .. " " .. os.pid() end'
	install_program web "${version/N/1}"
	define web 'program = web' 'reload = restart' 'provides = web' 'ready = bind'
	thoxctl start web
	old=$(field web pid)
	thoxd=$(thoxd_pid)
	install_program web "${version/N/2}"
	wait_until new_version 2
	kill_thoxd "$thoxd"
	kill -KILL "$new"
	wait_until new_version 1
	[ "$new" -eq "$old" ]
	wait_until state_is web running
	[ "$(field web pid)" -eq "$old" ]
}

@test "instances and templates go on, each as itself" {
	define many 'program = stay' 'args = %i' 'instances = 3'
	define form 'program = stay' 'args = %i'
	thoxctl start many form:blue
	wait_until logged many "stays	3"
	before=$(thoxctl --json show many form:blue | gojq -c '[.[] | .instances[].pid]')
	kill_thoxd
	[ "$(thoxctl --json show many form:blue | gojq -c '[.[] | .instances[].pid]')" = "$before" ]
	thoxctl stop many form:blue
	[ "$(thoxctl --json ps | gojq length)" -eq 0 ]
}

@test "health is checked on, and what fails then is restarted" {
	local before

	install_program patient <<-'LUA'
		local daemon = require "daemon"
		local well = true
		function daemon.rpc.patient.check() if not well then error("ill") end end
		function daemon.rpc.patient.fall() well = false end
	LUA
	define patient 'program = patient' 'provides = patient' 'ready = bind' '[health]' \
		'check = patient.check' 'interval = 500ms' 'failures = 2'
	thoxctl start patient
	before=$(field patient pid)
	kill_thoxd
	[ "$(field patient pid)" -eq "$before" ]
	thoxctl call patient.fall
	wait_until eval '[[ $(field patient restarts) -eq 1 ]]'
	wait_until state_is patient running
	[ "$(field patient pid)" -ne "$before" ]
}

# spoil KIND: what the keeper keeps of it is damaged when the next one reads it.
spoil() {
	echo "$1" >"$THOX_DIR/spoil"
	mv "$libexec/thoxd" "$libexec/thoxd.old"
	cp "$helpers/spoil-kept" "$libexec/thoxd"
	kill_thoxd
	[ ! -e "$libexec/thoxd.old" ]
}

# An instance whose thoxd can be replaced.
own_libexec() {
	thoxctl shutdown
	libexec=$THOX_DIR/libexec
	mkdir "$libexec"
	ln -s "${THOX_LIBEXEC_DIR:-$THOX_PREFIX/libexec/thox}"/* "$libexec/"
	export THOX_LIBEXEC_DIR=$libexec
	thoxctl list >/dev/null
}

said() {
	grep -qF -- "$1" "$THOX_DIR/state/thoxd.log"
}

@test "a damaged record of a process: the service is started anew, and it is said" {
	local before

	own_libexec
	define greeter 'program = stay'
	thoxctl start greeter
	before=$(field greeter pid)
	spoil process:
	wait_until state_is greeter running
	[ "$(field greeter pid)" -ne "$before" ]
	wait_until is_gone "$before"
	said "what was kept of the process $before is damaged; it is ended"
	said "service greeter: nothing is left of its process"
	[ "$(field greeter restarts)" -eq 1 ]
}

@test "a damaged record of an instance: the service is started anew, and it is said" {
	local before

	own_libexec
	define greeter 'program = stay' 'autostart = no'
	thoxctl start greeter
	before=$(field greeter pid)
	spoil instance:
	wait_until state_is greeter running
	[ "$(field greeter pid)" -ne "$before" ]
	wait_until is_gone "$before"
	said "what was kept of a service is damaged"
	said "service greeter: its process $before has no place any more; it is ended"
}

# all_are_anew N PIDS: N services run, each in another process than of these.
all_are_anew() {
	thoxctl --json list | gojq -e --argjson n "$1" --argjson before "$2" \
		'([.[].pid] - [$before[] | .[1]] | length) == $n and
		all(.[]; .pid > 0 and .state == "running")'
}

@test "damaged records of links or names: who had them is started anew" {
	local before kind

	own_libexec
	start_nodes 3
	for kind in link: name:; do
		before=$(pids)
		spoil "$kind"
		wait_until all_are_anew 3 "$before"
		said "service node1: what was kept as $kind"
		nodes_go_on 3
	done
}

used_more() {
	(($(cpu_of busy) > $1))
}

@test "one that was held for what it used goes on, and is held again" {
	local used

	install_program busy 'while true do end'
	define busy 'program = busy' '[limits]' 'cpu-percent = 10'
	thoxctl start busy
	wait_until is_held busy
	kill_thoxd
	used=$(cpu_of busy)
	wait_until used_more $((used + 200000))
	wait_until is_held busy
}

@test "one that was stopped by hand stays so, until it is continued" {
	local pid

	define stay 'program = stay'
	thoxctl start stay
	pid=$(field stay pid)
	thoxctl pause "$pid"
	kill_thoxd
	is_held stay
	thoxctl resume "$pid"
	[[ $(thoxctl --json ps | gojq -r '.[0].state') == running ]]
	[[ $(field stay pid) == "$pid" ]]
}

@test "one that a call started is stopped when nobody calls it any more" {
	local pid

	install_program greeter <<-'LUA'
		local daemon = require "daemon"
		daemon.rpc.greeter.greet = function() return os.pid() end
	LUA
	define greeter 'program = greeter' 'activation = call' 'ready = bind' \
		'idle-timeout = 10s'
	pid=$(thoxctl call greeter.greet)
	kill_thoxd
	[[ $(field greeter pid) == "$pid" ]]
	wait_until state_is greeter inactive
}

# The lock and the stream of one program, in the hands of two services.
start_keepers() {
	install_program keeps <<-'LUA'
		local daemon, storage = require "daemon", require "storage"
		local me = ...
		local stream, keys = storage.stream(), storage.keys()
		local lock, seen = nil, "nothing"
		keys:watch("news", function(key, value)
			-- without a key: thox-storaged died, and anything may be new
			seen = key and value or keys:get("news") or seen
		end)
		os.task(function() lock = storage.lock("one", {timeout = 1000}) end)
		daemon.rpc[me].has = function() return lock ~= nil end
		daemon.rpc[me].seen = function() return seen end
		daemon.rpc[me].say = function(_, value) keys:set("news", value) end
		daemon.rpc[me].stream = function(_, text)
			stream:seek("set", 0)
			stream:write(text)
			stream:seek("set", 0)
			return stream:read(#text)
		end
	LUA
	define first 'program = keeps' 'args = first' 'ready = bind'
	define second 'program = keeps' 'args = second' 'ready = bind'
	thoxctl start first
	wait_until says true first.has
	thoxctl start second
}

# says TEXT NAME [ARG...]: a call's answer
says() {
	[[ $(thoxctl call "${@:2}") == "$1" ]]
}

storaged_pid() {
	pgrep -f "^[^ ]*/thox-storaged $THOX_DIR/"
}

storage_is_whole() {
	says true first.has
	says false second.has
	thoxctl call first.say "$1" >/dev/null
	wait_until says "$1" second.seen
	says "$1" second.stream "$1"
	[[ $(storaged_pid) == "$daemon" ]]
}

@test "locks that are held, waited for and watched outlive thoxd with thox-storaged" {
	start_keepers
	daemon=$(storaged_pid)
	storage_is_whole before
	thoxctl daemon-reexec
	storage_is_whole executed
	kill_thoxd
	storage_is_whole killed
	kill_thoxd
	thoxctl stop first
	wait_until says true second.has
	[[ $(storaged_pid) == "$daemon" ]]
}

@test "a lock of a program that ended with thoxd is free" {
	install_program keeps_it <<-'LUA'
		local storage = require "storage"
		local lock = storage.lock("one", {timeout = 1000})
		print("has it")
		io.stdout:flush()
		os.sleep(1000)
		lock:close()
	LUA
	thox-exec keeps_it >"$THOX_DIR/said" 2>&1 &
	wait_until grep -q "has it" "$THOX_DIR/said"
	define waits 'program = keeps_it'
	thoxctl start waits
	daemon=$(storaged_pid)
	[[ $(thoxctl logs waits) != *"has it"* ]]
	kill_thoxd
	wait_until logged waits "has it"
	[[ $(storaged_pid) == "$daemon" ]]
	wait $! || true
}

@test "thox-storaged that dies while there is no thoxd is started by the next call" {
	start_keepers
	daemon=$(storaged_pid)
	before=$(thoxd_pid)
	kill -STOP "$before"
	kill -KILL "$daemon"
	kill -KILL "$before"
	wait_until says nothing second.seen
	thoxctl call first.say again >/dev/null
	wait_until says again second.seen
	[[ $(storaged_pid) != "$daemon" ]]
}
