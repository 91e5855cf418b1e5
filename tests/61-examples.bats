#!/usr/bin/env bats
# The programs of contrib/examples do what their first comments say.

load helper

setup() {
	start_thox
	for file in "$THOX_SOURCE_DIR"/contrib/examples/*.lua; do
		name=$(basename "$file" .lua)
		dir=programs
		[[ $name != csv ]] || dir=libraries
		thoxctl store put "$dir/$name" "$file" >/dev/null
	done
}

teardown() { stop_thox; }

@test "hello greets its arguments, as the environment says" {
	run -0 thox-exec hello
	[[ $output == "Hello, world!" ]]
	run -0 thox-exec --env GREETING=Ahoy hello Ada Grace
	[[ $output == "Ahoy, Ada and Grace!" ]]
}

@test "wordcount reads standard input to its end" {
	run -0 thox-exec wordcount 1 <<<$'to be or\nnot to be or to go'
	[[ ${lines[0]} == "2 lines, 9 words, 28 bytes" ]]
	[[ ${lines[1]} == "     3 to" ]]
	[[ ${#lines[@]} -eq 2 ]]
}

@test "calc takes expressions as arguments and from a pipe, and tells failure by its exit code" {
	run -0 thox-exec calc '2^10 + 1' '7 // 2'
	[[ $output == $'1025.0\n3' ]]
	run -0 bash -c 'seq 3 | thox-exec calc'
	[[ $output == $'1\n2\n3' ]]
	run -1 thox-exec calc '1 +'
	[[ $output == *"unexpected symbol"* || $output == *"expected"* ]]
	run -1 thox-exec calc 'os.exit(0)'
}

@test "total finds its library by require" {
	run -0 thox-exec total amount customer <<-'CSV'
		customer,amount
		Ada,2
		"Hopper, Grace",40
		Ada,1.5
	CSV
	[[ ${lines[0]} == $'Ada\t3.5' ]]
	[[ ${lines[1]} == $'Hopper, Grace\t40' ]]
	run -2 thox-exec total
	run -1 thox-exec total amount <<<$'amount\nmany'
	[[ $output == *"no number in column amount: many"* ]]
}

@test "primes meets its limits" {
	run -0 thox-exec primes 1000
	[[ $output == 168 ]]
	run -137 thox-exec --memory 1M primes 1000000
	[[ $output == *"memory limit"* ]]
	run -124 thox-exec --cpu 0.1s primes 100000000
}

@test "sandbox reports that only computing, reading and libraries are there" {
	run -0 thox-exec sandbox
	[[ $(grep -c ' yes$' <<<"$output") -eq 3 ]]
	[[ ${lines[3]} == *"open a file"*" no" ]]
}

has_greeted() {
	[[ $(thoxctl logs hello 2>&1) == *"Good morning, everybody!"* ]]
}

@test "the definitions of services do what they say" {
	local file

	for file in "$THOX_SOURCE_DIR"/contrib/examples/*.service; do
		run -0 thoxctl verify "$file"
		[[ -z $output ]]
		thoxctl store put "services/$(basename "$file" .service)" "$file" >/dev/null
	done
	run -0 thoxctl call ping.greet world
	[[ $output == "hello world, from process "* ]]
	run -0 thoxctl is-active ping
	thoxctl start chat-room
	run -0 thoxctl call chat.members
	run -0 thoxctl --json list hello
	[[ $(gojq '.[0].next_ms' <<<"$output") -gt 0 ]]
	thoxctl start hello
	wait_until has_greeted
}
