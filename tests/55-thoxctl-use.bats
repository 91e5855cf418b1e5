#!/usr/bin/env bats
# thoxctl before it talks to anybody: its command line.

load helper

setup() {
	prepare_thox
	export THOX_NO_AUTOSTART=1
}

teardown() {
	stop_thox
}

commands() {
	thoxctl --help | sed -n '/^Commands:/,/^$/p' | grep -oE '^  ((store|storage|kv|data) )?[a-z-]+' |
		sed 's/^  //'
}

# refused_use WORDS-OF-THE-MESSAGE COMMAND...
refused_use() {
	local words=$1

	shift
	run "$@"
	assert_status 2
	assert_output_has "$words"
	[[ $output == thoxctl:* ]]
}

@test "--help lists the commands, the options and the exit codes" {
	run --separate-stderr thoxctl --help
	assert_status 0
	assert_output_has ps status kill terminate pause resume mount unmount \
		shutdown "store ls" "store cat" "store put" "store log" \
		"store diff" "store rollback" "store verify" "store rm" \
		--json --system --user "3 not running"
	# shellcheck disable=SC2154 # of bats
	[ -z "$stderr" ]
}

@test "every command has help of its own" {
	local command

	[ "$(commands | wc -l)" -ge 17 ]
	while read -r command; do
		# shellcheck disable=SC2086 # one or two words
		run --separate-stderr thoxctl $command --help
		assert_status 0
		assert_output_has "Usage: thoxctl [OPTION...] $command"
	done < <(commands)
}

@test "wrong use is answered with 2 and the reason" {
	refused_use "no command given" thoxctl
	refused_use "foo: no such command" thoxctl foo
	refused_use "store: no command given" thoxctl store
	refused_use "store foo: no such command" thoxctl store foo
	refused_use "kv: no command given" thoxctl kv
	refused_use "storage lss: no such command; did you mean 'storage ls'?" thoxctl storage lss
	refused_use "cal: no such command; did you mean 'call'?" thoxctl cal x
	refused_use "store pit: no such command; did you mean 'store put'?" thoxctl store pit
	refused_use "usage: thoxctl bus; try" thoxctl bus x
	refused_use "--foo: no such option" thoxctl tree --foo
	refused_use "--foo: no such option" thoxctl --foo ps
	refused_use "usage: thoxctl ps" thoxctl ps 1
	refused_use "usage: thoxctl kill" thoxctl kill
	refused_use "usage: thoxctl kill" thoxctl kill ''
	refused_use "usage: thoxctl store put" thoxctl store put hello
	refused_use "usage: thoxctl store cat" thoxctl store cat a b
	refused_use "not a name" thoxctl store cat 'a b'
	refused_use "not a name" thoxctl store cat hello@0
	refused_use "before the slash" thoxctl store cat nowhere/hello
	refused_use "a version has no place" thoxctl store rm hello@3
}

@test "options may stand before and after the command" {
	run thoxctl --json store ls
	assert_status 0
	[ "$output" = "[]" ]
	run thoxctl store ls --json
	assert_status 0
	[ "$output" = "[]" ]
}

@test "without an instance the answer is 3" {
	local command

	for command in ps status "kill 1" "terminate x" "pause x" "resume x" \
		mount unmount shutdown; do
		# shellcheck disable=SC2086 # words
		run thoxctl $command
		assert_status 3
		assert_output_has "no instance runs at $THOX_DIR/run"
	done
}

@test "a full standard output is an error" {
	run bash -c 'thoxctl store ls >/dev/full'
	assert_status 1
	assert_output_has "standard output"
}

@test "an option of thoxctl's own is none of a command, whatever it begins with" {
	mkdir -p "$THOX_DIR/state/logs"
	run thoxctl --user logs nosuch
	assert_status 4
	[ "$output" = "thoxctl: there is no log of 'nosuch'" ]
	run thoxctl --system top --batch
	[[ $output != *--sort* ]]
}
