#!/usr/bin/env bats
# Names on the bus: who provides them, who is sent where, what becomes of
# calls when somebody goes. Native processes on both sides.

load helper

setup_file() {
	start_thox '[thoxd]' 'mount = no'
	export mnt thox_sessions
}

teardown_file() {
	stop_thox
}

setup() {
	peers=()
}

teardown() {
	local peer

	for peer in "${peers[@]}"; do
		kill -KILL "$peer" 2>/dev/null || true
		wait "$peer" || true
	done
	wait_until nobody_is_bound
}

nobody_is_bound() {
	[[ $(thoxctl --json bus) == "[]" ]]
}

no_links() {
	[[ $(thoxctl --json status | gojq .links) -eq 0 ]]
}

bound_are() {
	[[ $(thoxctl --json bus | grep -o '"name"' | wc -l) -eq $1 ]]
}

# provide NAME [fallback]: a process in the background; $peer is its PID and
# $out what it says. Its stdin is a pipe, written by >&$gate.
provide() {
	out=$(mktemp "$THOX_DIR/out.XXXXXX")
	mkfifo "$out.in"
	exec {gate}<>"$out.in"
	"$helpers/bus-peer" "$@" >"$out" <&"$gate" 3>&- &
	peer=$!
	peers+=("$peer")
	wait_until grep -q . "$out"
}

@test "thoxd answers the time, chance and alarms itself" {
	run -0 thoxctl call clock
	[[ $output =~ ^[0-9]+\.[0-9]+$ ]]
	run -0 thoxctl call random.random
	[[ $output == 0* || $output == *e-* ]]
	run -0 thoxctl call random.randint -2 -1
	[[ $output == -2 ]]
	run -0 thoxctl call alarm 0.01
	[[ -z $output ]]
	run -2 thoxctl call alarm soon
	[[ $output == *"alarm: INVALID: a number of seconds is wanted"* ]]
	run -4 thoxctl call process.fly
	[[ $output == *"process.fly: NOT_FOUND: "* ]]
}

@test "a name leads straight to who has bound it" {
	provide greeter
	run -0 thoxctl call greeter.echo 1 hello '{"a":[true,null]}'
	[[ $output == *hello* ]]
	run -0 thoxctl call greeter.who
	[[ $output == *thoxctl* ]]
	run -4 thoxctl call greeter.fly
	[[ $output == *"greeter.fly: NOT_FOUND: no such call: greeter.fly"* ]]
	run -4 thoxctl call greete.echo
	[[ $output == *"greete.echo: NOT_FOUND: nobody provides it"* ]]
	run -0 thoxctl --json bus
	[[ $(tr -d ' \n' <<<"$output") == \
		"[{\"name\":\"greeter\",\"fallback\":false,\"pid\":$peer,\"program\":\"bus-peer\"}]" ]]
}

@test "the longest name that is bound gets the call" {
	provide shop
	first=$peer
	provide shop.till
	run -0 thoxctl --json call shop.till.who
	run -0 thoxctl bus
	[[ ${#lines[@]} -eq 3 ]]
	run -4 thoxctl call shop.till.fly
	[[ $output == *"no such call: shop.till.fly"* ]]
	thoxctl call shop.till.unbind || true # its links may end before
	wait_until bound_are 1
	run -4 thoxctl call shop.till.fly
	[[ $output == *"no such call: shop.till.fly"* ]]
	kill -KILL "$first"
	wait_until nobody_is_bound
	run -4 thoxctl call shop.till.fly
	[[ $output == *"NOT_FOUND: nobody provides it"* ]]
}

@test "a name is bound once, and thoxd's own are not" {
	provide taken
	first=$peer
	provide taken
	[[ $(<"$out") == "taken is bound already, by bus-peer (process $first)" ]]
	for name in process.mine clock storage; do
		provide "$name"
		[[ $(<"$out") == "$name is one of thox's own names" ]]
	done
}

@test "a fallback serves while nobody else does" {
	provide kept fallback
	run -0 thoxctl call kept.echo 1
	provide kept
	run -0 thoxctl bus
	[[ ${#lines[@]} -eq 3 ]]
	thoxctl call kept.die || true
	wait_until bound_are 1
	run -0 thoxctl call kept.echo 2
	[[ $output == 2 ]]
}

@test "a call ends when its callee does, and the next finds another" {
	provide frail
	run -1 thoxctl call frail.die
	[[ $output == *"frail.die: CLOSED: "* ]]
	wait_until nobody_is_bound
	run -4 thoxctl call frail.echo
	[[ $output == *"NOT_FOUND"* ]]
	provide frail
	run -0 thoxctl call frail.echo again
	[[ $output == again ]]
}

@test "what is pushed reaches all who listen, but not the sender" {
	provide news
	first=$out
	provide news.local
	thoxctl push news.local.weather rain
	wait_until grep -q push "$out"
	wait_until grep -q push "$first"
	[[ $(grep push "$first") == "push news.local.weather from thoxctl lost 0" ]]
	[[ $(grep push "$out") == "push news.local.weather from thoxctl lost 0" ]]
	thoxctl push new.weather rain
	thoxctl push news.other snow
	wait_until grep -q other "$first"
	[[ $(grep -c push "$out") -eq 1 ]]
}

@test "what a program pushes before it ends is heard" {
	local i

	provide news
	for i in {1..10}; do
		thox-exec -e "os.push(0, 'news.last.$i')"
	done
	for i in {1..10}; do
		wait_until grep -q "push news\.last\.$i from" "$out"
	done
}

@test "a listener that does not read keeps nobody waiting, and hears what it lost" {
	provide slow
	thoxctl call slow.stop
	for _ in 1 2 3 4 5 6; do
		thoxctl push slow.more "$(printf '%050000d' 7)"
	done
	echo go >&"$gate"
	wait_until grep -q push "$out"
	thoxctl push slow.last
	wait_until grep -q 'slow.last' "$out"
	heard=$(grep -c slow.more "$out")
	lost=$(sed -n 's/.* lost //p' "$out" | paste -sd+ | bc)
	((heard + lost == 6))
	((lost > 0))
}

@test "a trace shows who calls what, from its beginning to its end" {
	provide traced
	thoxctl trace traced >"$out.trace" 3>&- &
	peers+=($!)
	follows() {
		thoxctl call traced.echo 1 >/dev/null
		grep -q traced.echo "$out.trace"
	}
	wait_until follows
	thoxctl call traced.fly || true
	wait_until grep -q "answer traced\.fly .*NOT_FOUND" "$out.trace"
	grep -q "call *traced\.fly" "$out.trace"
	run -4 thoxctl trace nobody.here
	[[ $output == *"nobody provides nobody.here"* ]]
	run -4 thoxctl trace 1
	[[ $output == *"no such process: 1"* ]]
}

@test "two hundred processes come and go, and nothing of them stays" {
	local i
	WAIT_SECONDS=120 # two hundred are slow where others work, too

	for i in {1..200}; do
		"$helpers/bus-peer" "crowd.n$i" >/dev/null 3>&- &
		peers+=($!)
	done
	wait_until bound_are 200
	run -0 thoxctl call crowd.n77.echo here
	[[ $output == here ]]
	kill -KILL "${peers[@]}"
	wait_until nobody_is_bound
	wait_until no_links
	run -4 thoxctl call crowd.n77.echo here
}
