# shellcheck shell=bash
# shellcheck disable=SC2154 # what contrib/bench has: work, drivers, store
# For contrib/bench, the group `services`: thox beside runit, s6 and
# supervisord, each as Debian has it, with the same instance of a service.

service_count=${SERVICE_COUNT:-1000}
idle_seconds=${IDLE_SECONDS:-60}
fifo=$work/alive

define() {
	printf '%s\n' '[service]' "${@:2}" |
		thoxctl store put "services/$1" - >/dev/null
}

# took COMMAND…: microseconds
took() {
	local begin=$EPOCHREALTIME
	"$@" >/dev/null
	awk -v b="$begin" -v e="$EPOCHREALTIME" 'BEGIN { print int((e - b) * 1e6) }'
}

# ticks PID…: of the processor, of all of them
ticks() {
	local pid
	for pid; do
		cat "/proc/$pid/stat" 2>/dev/null || true
	done | awk '{ n += $14 + $15 } END { print n + 0 }'
}

# busy PID…: thousandths of a processor, over a while
busy() {
	local before
	before=$(ticks "$@")
	sleep "$idle_seconds"
	awk -v n="$(($(ticks "$@") - before))" -v s="$idle_seconds" \
		-v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f\n", n / hz / s * 1000 }'
}

total_pss() {
	printf '%s\n' "$@" | pss | awk '{ n += $1 } END { print n + 0 }'
}

new_fifo() {
	rm -f "$fifo"
	mkfifo "$fifo"
}

# --- the others -----------------------------------------------------------------

peer=0

# peer_directories KIND COUNT: of services for runsvdir or s6-svscan
peer_directories() {
	local i
	rm -rf "$work/peer"
	for ((i = 0; i < $2; i++)); do
		mkdir -p "$work/peer/s$i"
		printf '#!/bin/sh\nexec %s serve %s\n' "$drivers/alive" "$fifo" \
			>"$work/peer/s$i/run"
		chmod +x "$work/peer/s$i/run"
	done
}

supervisor_config() {
	printf '[supervisord]\nnodaemon = true\nlogfile = /dev/null\nlogfile_maxbytes = 0\npidfile = %s\n' \
		"$work/supervisord.pid"
	printf '[program:s]\ncommand = %s serve %s\nprocess_name = %%(process_num)d\nnumprocs = %d\n' \
		"$drivers/alive" "$fifo" "$1"
	printf 'stdout_logfile = NONE\nstderr_logfile = NONE\n'
}

# peer_start KIND COUNT: sets peer, peer_us and the PID of an instance
peer_start() {
	local command=() said
	new_fifo
	case $1 in
	runit)
		peer_directories runit "$2"
		command=(runsvdir "$work/peer")
		;;
	s6)
		peer_directories s6 "$2"
		command=(s6-svscan -c 2000 "$work/peer")
		;;
	supervisord)
		supervisor_config "$2" >"$work/supervisord.conf"
		command=(supervisord -c "$work/supervisord.conf")
		;;
	esac
	said=$("$drivers/alive" count "$fifo" "$2" "${command[@]}")
	read -r peer_us peer instance <<<"$said"
}

# Those that supervise, without what they supervise.
peer_supervisors() {
	echo "$peer"
	[[ $1 == supervisord ]] || pgrep -P "$peer"
}

peer_stop() {
	local all
	mapfile -t all < <(peer_supervisors "$1")
	case $1 in
	runit) kill -HUP "$peer" ;; # it tells each to end
	s6) s6-svscanctl -t "$work/peer" ;;
	supervisord) kill "$peer" ;;
	esac
	until ! kill -0 "${all[@]}" 2>/dev/null; do sleep 0.1; done
	rm -rf "$work/peer"
}

has_peer() {
	case $1 in
	runit) command -v runsvdir ;;
	s6) command -v s6-svscan ;;
	supervisord) command -v supervisord ;;
	esac >/dev/null
}

# One instance that is killed again and again: older than a second, since
# others wait that long with what has just been started.
peer_revives() {
	peer_start "$1" 1
	"$drivers/alive" revive "$fifo" 5 1.5 "$instance" | median
	peer_stop "$1"
}

# --- thox -----------------------------------------------------------------------

# Says which instance answers whenever that is another; ends at "stop".
watcher() {
	thoxctl store put programs/watcher - >/dev/null <<-'LUA'
		local rpc = require "rpc"
		local last, calls, failed = nil, 0, 0
		repeat
		  local status, id, pid = os.wait(os.call(0, "served.id"))
		  calls = calls + 1
		  if status ~= os.status.OK then
		    failed = failed + 1
		    os.sleep(0.0002)
		  elseif id ~= last then
		    last = id
		    print(("%d %.0f"):format(pid, rpc.clock() * 1e6))
		    io.stdout:flush()
		  end
		until id == "stop"
		io.stderr:write(calls, " ", failed, "\n")
	LUA
	new_fifo
	thox-exec --cpu 600s watcher 2>"$work/watched" >"$fifo" <>"$fifo" &
	watcher=$!
}

# serving ID: an expression, what each instance says that it is
serving() {
	printf 'local daemon, id = require "daemon", %s\nfunction daemon.rpc.served.id() return id, os.pid() end\n' \
		"$1" >"$work/served.lua"
	thoxctl store put programs/served "$work/served.lua" >/dev/null
}

services_revive() {
	local ours kind
	serving 'tostring(os.pid())'
	define served 'program = served' 'ready = bind' '[restart]' 'reset-after = 1s'
	thoxctl start served >/dev/null
	watcher
	ours=$("$drivers/alive" revive "$fifo" 5 1.5 | median)
	serving '"stop"'
	thoxctl restart served >/dev/null
	wait "$watcher"
	row "services: kill -9 to the next that answers" us "$ours" "" ours '<' 5000
	for kind in runit s6 supervisord; do
		has_peer $kind || continue
		row "services: the same, to the next that runs, $kind" us \
			"$ours" "$(peer_revives $kind)"
	done
}

# With a caller at full speed.
services_publish() {
	local i calls failed
	serving '"0"'
	define served 'program = served' 'ready = bind' 'reload = restart'
	thoxctl restart served >/dev/null
	watcher
	: >"$work/published"
	exec 7<>"$fifo"
	read -r _ <&7
	for ((i = 1; i <= 10; i++)); do
		printf 'local daemon = require "daemon"\nfunction daemon.rpc.served.id() return "%d", os.pid() end\n' \
			$i >"$work/served.lua"
		"$drivers/alive" after "$fifo" thoxctl store put programs/served \
			"$work/served.lua" >>"$work/published"
		sleep 4 # until it is no trial any more
	done
	exec 7>&-
	serving '"stop"'
	wait "$watcher"
	read -r calls failed <"$work/watched"
	row "services: store put to the new version's answer" us \
		"$(median <"$work/published")" "" ours '<' 20000
	row "services: failed of $calls calls meanwhile" "" "$failed" "" \
		ours '<' 0
}

all_pids() {
	thoxctl --json list | jq -c '[.[] | [.name, .pid]]'
}

reexec() {
	thoxctl daemon-reexec && thoxctl status
}

kill_thoxd() {
	kill -KILL "$1" && thoxctl status
}

# With services that call one another meanwhile.
services_recover() {
	local before i counted
	thoxctl store put programs/caller - >/dev/null <<-'LUA'
		local daemon = require "daemon"
		local calls, failed = 0, 0
		function daemon.rpc.caller.count() return calls, failed end
		os.task(function()
		  while true do
		    local status = os.wait(os.call(0, "served.id"))
		    calls = calls + 1
		    if status ~= os.status.OK then failed = failed + 1 end
		    os.sleep(0.001)
		  end
		end)
	LUA
	serving '"0"'
	thoxctl restart served >/dev/null
	define caller 'program = caller' 'ready = bind' '[allow]' 'call = served.*'
	thoxctl start caller >/dev/null
	before=$(all_pids)
	: >"$work/reexec"
	: >"$work/killed"
	for i in 1 2 3; do
		took reexec >>"$work/reexec"
		sleep 5 # the keeper waits with one that dies fast
		took kill_thoxd "$(instance_pid pid)" >>"$work/killed"
		sleep 5
	done
	[[ $(all_pids) == "$before" ]] ||
		say "services were restarted with thoxd" >&2
	counted=$(thoxctl call caller.count)
	row "services: re-exec of thoxd, $service_count services" us \
		"$(median <"$work/reexec")" "" ours '<' 200000
	row "services: thoxd killed, until it answers again" us \
		"$(median <"$work/killed")" "" ours '<' 200000
	row "services: failed of $(head -n 1 <<<"$counted") calls meanwhile" "" \
		"$(tail -n 1 <<<"$counted")" "" ours '<' 0
}

services_lag() {
	thoxctl store put programs/ticking - >/dev/null <<-'LUA'
		local rpc = require "rpc"
		while true do
		  print(("%d %.0f"):format(os.pid(), rpc.clock() * 1e6))
		  os.sleep(0.05)
		end
	LUA
	define ticking 'program = ticking'
	thoxctl start ticking >/dev/null
	new_fifo
	thoxctl logs -f -n 0 -o cat ticking >"$fifo" <>"$fifo" &
	row "services: a line's way to logs -f" us \
		"$("$drivers/alive" lag "$fifo" 100 | median)" "" ours '<' 50000
	kill $!
	thoxctl stop ticking >/dev/null
}

# thoxd, and those of thox's own that each service has to do with
daemons() {
	local keeper thoxd
	thoxd=$(instance_pid pid)
	keeper=$(ps -o ppid= -p "$thoxd")
	echo "$thoxd"
	echo "${keeper// /}"
	pgrep -P "${keeper// /}" -x thox-logd
}

# Sets ours_us, ours_kib and ours_busy.
services_many() {
	local names=() all=()
	thoxctl store put programs/idle - >/dev/null <<<'os.pull("never")'
	define idle 'program = idle' 'env.I = %i'
	mapfile -t names < <(seq -f 'idle:%g' "$service_count")
	ours_us=$(took thoxctl start "${names[@]}")
	sleep 6 # what a burst of starts leaves goes back to the kernel
	ours_kib=$(total_pss "$(instance_pid pid)")
	mapfile -t all < <(daemons)
	ours_busy=$(busy "${all[@]}")
	row "services: $service_count from nothing to ready" us "$ours_us" "" \
		ours '<' 2000000
	row "services: memory of thoxd with them" KiB "$ours_kib" "" \
		ours '<' 4096
	row "services: processor while they are idle" /1000 "$ours_busy" "" \
		ours '<' 0.5
	services_recover
	thoxctl stop "${names[@]}" >/dev/null
}

# As many under each of the others.
services_beside() {
	local kind all
	for kind in runit s6 supervisord; do
		has_peer $kind || continue
		peer_start $kind "$service_count"
		row "services: $service_count running, beside $kind" us \
			"$ours_us" "$peer_us"
		sleep 6
		mapfile -t all < <(peer_supervisors $kind)
		row "services: memory, beside $kind" KiB "$ours_kib" \
			"$(total_pss "${all[@]}")"
		row "services: processor while idle, beside $kind" /1000 \
			"$ours_busy" "$(busy "${all[@]}")"
		peer_stop $kind
	done
}

group_services() {
	local ours_us ours_kib ours_busy peer_us instance
	services_revive
	services_publish
	services_lag
	services_many
	services_beside
}
