#!/usr/bin/env bats
# A mesh of processes that call each other in every way, while random ones are
# killed: each call ends, and nothing of the dead stays.
#
# THOX_TEST_NODES: how many there are. THOX_TEST_KILLS: how many are killed in
# each of two rounds or more. 50 and 150 take about a minute, and are for the patient.

load helper
load talk

: "${THOX_TEST_SEED:=$RANDOM}"
: "${THOX_TEST_KILLS:=8}"
: "${THOX_TEST_NODES:=24}"
# Many are slow where the machine does other things as well.
WAIT_SECONDS=120
# By how much thoxd may have grown after a round of kills.
GROWN_KIB=256

setup() {
	start_thox '[thoxd]' 'mount = no' 'grace-time = 500ms' \
		'[limits]' 'cpu = 600s' '[zygote]' 'pool = 4'
	install_program node <"$BATS_TEST_DIRNAME/mesh/node.lua"
	node=()
	said=()
}

teardown() {
	end_clients
	stop_thox
}

# begin K: without waiting for it
begin() {
	start_client node "$1" $((THOX_TEST_NODES - 1))
	node[$1]=$client
	said[$1]=$out
}

runner_of() {
	sed -n 's/^pid //p' "${said[$1]}"
}

descriptors() {
	find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l
}

at_most() {
	(($(descriptors "$1") <= $2))
}

links() {
	thoxctl --json status | gojq .links
}

links_are() {
	[[ $(links) -eq $1 ]]
}

# Each runner that waits is some of thoxd's descriptors.
pool_is_full() {
	[[ $(thoxctl --json status | gojq '[.zygotes[].pool] | add') -eq 4 ]]
}

# Pages of its own, in KiB.
private_memory() {
	awk '/^Private_/ { sum += $2 } END { print sum }' \
		"/proc/$1/smaps_rollup"
}

# What the sanitizers keep of the freed is not ours.
is_sanitized() {
	grep -q libasan "/proc/$1/maps"
}

# Its runner, or its client, at once or politely. Returns when it has ended.
kill_node() {
	case $((RANDOM % 3)) in
	0) kill -KILL "$(runner_of "$1")" ;;
	1) kill -KILL "${node[$1]}" ;;
	2) kill -TERM "${node[$1]}" ;;
	esac
	wait_until is_gone "${node[$1]}"
	wait "${node[$1]}" || true
	wait_until name_is_free "mesh.n$1"
}

name_is_free() {
	! thoxctl --json bus | gojq -e --arg name "$1" 'any(.name == $name)'
}

# All but the first, of whom one after the other is killed and replaced.
round() {
	local k i

	for ((k = 1; k < THOX_TEST_NODES; k++)); do begin "$k"; done
	for ((k = 1; k < THOX_TEST_NODES; k++)); do
		wait_until has_line "${said[k]}" ready
	done
	for ((i = 0; i < THOX_TEST_KILLS; i++)); do
		k=$((1 + RANDOM % (THOX_TEST_NODES - 1)))
		kill_node "$k"
		begin "$k"
		wait_until has_line "${said[k]}" ready
	done
}

rests() {
	run -0 thoxctl call --timeout 120s "mesh.n$1.rest"
}

# All of its calls have been answered, and with what may be.
stops() {
	run -0 thoxctl call --timeout 120s "mesh.n$1.stop"
	[[ ${lines[0]} == true && ${lines[1]} == "as expected" ]] || {
		echo "node $1: $output" >&2
		return 1
	}
}

only_the_first_is_there() {
	[[ $(thoxctl --json bus | gojq 'map(select(.name | startswith("mesh."))) | length') == 1 ]]
}

# The others, after all have stopped; and what they were to thoxd and the first.
all_end() {
	local k

	for ((k = 0; k < THOX_TEST_NODES; k++)); do rests "$k"; done
	for ((k = 0; k < THOX_TEST_NODES; k++)); do stops "$k"; done
	for ((k = 1; k < THOX_TEST_NODES; k++)); do kill -KILL "${node[k]}"; done
	for ((k = 1; k < THOX_TEST_NODES; k++)); do wait "${node[k]}" || true; done
	wait_until only_the_first_is_there
}

@test "a mesh of processes of which random ones are killed" {
	local thoxd first before_thoxd before_first before_links memory grown i

	echo "THOX_TEST_SEED=$THOX_TEST_SEED"
	RANDOM=$THOX_TEST_SEED
	thoxd=$(thoxctl --json status | gojq .pid)
	begin 0
	wait_until has_line "${said[0]}" ready
	first=$(runner_of 0)
	before_first=$(descriptors "$first")
	wait_until pool_is_full
	before_thoxd=$(descriptors "$thoxd")
	before_links=$(links)
	run -0 thoxctl call mesh.n0.begin
	round
	all_end
	# What is lost in each round is lost again: one that loses nothing, after
	# malloc() has what it takes, will do.
	for ((i = 0; i < 4; i++)); do
		memory=$(private_memory "$thoxd")
		round
		all_end
		grown=$(($(private_memory "$thoxd") - memory))
		((grown >= GROWN_KIB)) && ! is_sanitized "$thoxd" || break
	done
	# The first has lived through all of it.
	wait_until at_most "$first" "$before_first"
	wait_until at_most "$thoxd" "$before_thoxd"
	wait_until links_are "$before_links"
	is_sanitized "$thoxd" || ((grown < GROWN_KIB)) || {
		echo "thoxd has grown by $grown KiB" >&2
		return 1
	}
}
