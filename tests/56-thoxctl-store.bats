#!/usr/bin/env bats
# thoxctl store: the store without a mount and without thoxd.

load helper

setup() {
	prepare_thox
	export THOX_NO_AUTOSTART=1
}

teardown() {
	stop_thox
}

put() {
	install_program "$@"
}

three_versions() {
	put hello 'print(1)'
	put hello 'print(2)'
	put hello 'print(3)'
}

@test "put publishes from stdin and from a file, and says the version" {
	run bash -c 'echo "print(1)" | thoxctl store put hello -'
	assert_status 0
	[ "$output" = hello@1 ]
	echo 'print(2)' >"$THOX_DIR/text"
	run thoxctl store put hello "$THOX_DIR/text"
	assert_status 0
	[ "$output" = hello@2 ]
	run thoxctl store cat hello
	[ "$output" = "print(2)" ]
}

@test "cat prints a version, and the other spelling of a name is found" {
	three_versions
	run thoxctl store cat hello@2
	[ "$output" = "print(2)" ]
	run thoxctl store cat hello.lua
	[ "$output" = "print(3)" ]
	run thoxctl store cat programs/hello
	[ "$output" = "print(3)" ]
}

@test "a text that is wrong is refused with 5 and kept with its reason" {
	put hello 'print(1)'
	run bash -c 'echo "print(" | thoxctl store put hello -'
	assert_status 5
	assert_output_has "rejected: hello:"
	run thoxctl store cat hello
	[ "$output" = "print(1)" ]
	run thoxctl store cat hello@rejected
	[ "$output" = "print(" ]
	run thoxctl store log hello
	assert_output_has "rejected: hello:"
	run thoxctl store ls
	assert_output_has "newer text refused"
}

@test "ls lists a directory, one name, and nothing" {
	run thoxctl store ls
	assert_status 0
	[ "${#lines[@]}" -eq 1 ]
	three_versions
	thoxctl store put libraries/a.b - <<<'return {}'
	run thoxctl store ls
	assert_output_has NAME hello
	[[ $output != *a.b* ]]
	run thoxctl store ls libraries
	assert_output_has a.b
	run thoxctl store ls libraries/
	assert_output_has a.b
	run thoxctl store ls hello
	assert_output_has hello
	run thoxctl store ls nothing
	assert_status 4
}

@test "log shows version, time, size, hash, and who wrote it" {
	local sum

	three_versions
	sum=$(echo 'print(2)' | sha256sum | cut -c 1-12)
	run thoxctl store log hello
	assert_status 0
	[ "${#lines[@]}" -eq 4 ]
	assert_output_has "$sum" "$(date +%Y-)" thoxctl live
	run thoxctl --json store log hello
	[ "$(gojq -r '.[1].version' <<<"$output")" = 2 ]
	[ "$(gojq -r '.[1].sha256' <<<"$output" | cut -c 1-12)" = "$sum" ]
	[ "$(gojq -r '.[1].uid' <<<"$output")" = "$(id -u)" ]
	[ "$(gojq -r '.[1].size_bytes' <<<"$output")" = 9 ]
	[ "$(gojq -r '.[1].command' <<<"$output")" = thoxctl ]
	[ "$(gojq -r '.[2].live' <<<"$output")" = true ]
	gojq -e '.[1].pid > 0' <<<"$output"
}

@test "diff compares with the newest, with another, and two of them" {
	three_versions
	run thoxctl store diff hello
	assert_status 0
	assert_output_has "--- programs/hello@2" "+++ programs/hello@3" \
		"-print(2)" "+print(3)"
	run thoxctl store diff hello@1
	assert_output_has "-print(1)" "+print(3)"
	run thoxctl store diff hello@1 hello@2
	assert_output_has "-print(1)" "+print(2)"
	run thoxctl store diff hello@1 hello@1
	assert_status 0
	[ -z "$output" ]
	run thoxctl store diff hello@1 --json
	[ "$(gojq -r .differ <<<"$output")" = true ]
	[[ $(gojq -r .diff <<<"$output") == *"+print(3)"* ]]
}

@test "rollback makes a new version of an old text" {
	three_versions
	run thoxctl store rollback hello
	assert_status 0
	[ "$output" = hello@4 ]
	run thoxctl store cat hello
	[ "$output" = "print(2)" ]
	run thoxctl store rollback hello@1
	[ "$output" = hello@5 ]
	run thoxctl store cat hello
	[ "$output" = "print(1)" ]
}

@test "rm removes the name and keeps its versions" {
	three_versions
	run thoxctl store rm hello
	assert_status 0
	run thoxctl store cat hello
	assert_status 4
	run thoxctl store ls
	[[ $output != *hello* ]]
	run thoxctl store cat hello@3
	assert_status 0
	run thoxctl store rollback hello@3
	assert_status 0
	run thoxctl store cat hello
	[ "$output" = "print(3)" ]
}

@test "verify finds a text that was changed behind the store's back" {
	three_versions
	put other 'x = 1'
	run thoxctl store verify
	assert_status 0
	assert_output_has "4 texts as recorded"
	echo 'print(4)' >"$THOX_DIR/store/programs/hello"
	run thoxctl store verify
	assert_status 1
	assert_output_has hello "SHA-256"
	[[ $output != *other* ]]
	run thoxctl store verify other
	assert_status 0
	run --separate-stderr thoxctl --json store verify hello
	assert_status 1
	[ "$(gojq -r '.[0].name' <<<"$output")" = hello ]
}

@test "what is not there is answered with 4" {
	put hello 'print(1)'
	run thoxctl store cat nothing
	assert_status 4
	assert_output_has "programs/nothing: no such name"
	run thoxctl store cat hello@7
	assert_status 4
	assert_output_has "no such version"
	run thoxctl store cat hello@rejected
	assert_status 4
	run thoxctl store log nothing
	assert_status 4
	run thoxctl store rm nothing
	assert_status 4
	run thoxctl store diff nothing
	assert_status 4
	run thoxctl store diff hello
	assert_status 4
	assert_output_has "no older version"
	run thoxctl store rollback hello
	assert_status 4
	run thoxctl store verify nothing
	assert_status 4
	run thoxctl store put hello "$THOX_DIR/nothing"
	assert_status 4
}

@test "a built-in shows below the store, and cannot be removed" {
	export THOX_DATA_DIR=$THOX_DIR/data
	mkdir -p "$THOX_DATA_DIR"/{programs,libraries,runtimes}
	echo 'print("built in")' >"$THOX_DATA_DIR/programs/tool"
	run thoxctl store cat tool
	[ "$output" = 'print("built in")' ]
	run thoxctl store ls
	assert_output_has tool "built in"
	run thoxctl store rm tool
	assert_status 5
	put tool 'print("mine")'
	run thoxctl store cat tool
	[ "$output" = 'print("mine")' ]
	thoxctl store rm tool
	run thoxctl store cat tool
	[ "$output" = 'print("built in")' ]
}

@test "data is written in place and has no versions" {
	thoxctl store put data/notes - <<<first
	thoxctl store put data/notes - <<<second
	run thoxctl store cat data/notes
	[ "$output" = second ]
	run thoxctl store ls data
	assert_output_has notes
	run thoxctl store log data/notes
	assert_status 2
	run thoxctl store rm data/notes
	assert_status 0
	run thoxctl store cat data/notes
	assert_status 4
}

@test "a text over the limit is refused and leaves nothing" {
	run bash -c 'head -c 17M /dev/zero | thoxctl store put big -'
	assert_status 1
	assert_output_has "File too large"
	run thoxctl store cat big
	assert_status 4
	run find "$THOX_DIR/store" -type f -size +1M -not -name .journal
	[ -z "$output" ]
}

@test "bytecode, a NUL and a heap of parentheses are refused" {
	run bash -c 'printf "\033Lua" | thoxctl store put bad -'
	assert_status 5
	run bash -c 'printf "x=\0001" | thoxctl store put bad -'
	assert_status 5
	run bash -c 'head -c 10M /dev/zero | tr "\0" "(" | thoxctl store put bad -'
	assert_status 5
	run thoxctl store cat bad
	assert_status 4
}

@test "eight writers of one name leave eight whole versions" {
	local i

	for i in {1..8}; do
		install_program hello "print($i)" &
	done
	wait
	run thoxctl --json store log hello
	[ "$(gojq length <<<"$output")" = 8 ]
	[ "$(gojq -r '[.[].version] | sort | join(" ")' <<<"$output")" = "1 2 3 4 5 6 7 8" ]
	run thoxctl store verify
	assert_status 0
}

@test "the table fits a narrow terminal" {
	put "$(printf 'long%.0s' {1..20})" 'print(1)'
	run "$helpers/pty" expect:up size:24x40 'send:\n' -- \
		bash -c 'echo up; read -r; thoxctl store ls'
	assert_output_has …
	[ "$(sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g; s/\r//' <<<"$output" | wc -L)" -le 40 ]
}

@test "colours are for terminals only, and not with NO_COLOR" {
	three_versions
	run thoxctl store ls
	[[ $output != *$'\033'* ]]
	run env TERM=xterm "$helpers/pty" -- thoxctl store ls
	assert_output_has $'\033[1m'
	run env TERM=xterm NO_COLOR=1 "$helpers/pty" -- thoxctl store ls
	[[ $output != *$'\033[1m'* ]]
}

@test "a store that may not be written is read, and a write is refused" {
	need_root
	three_versions
	chmod -R a+rX "$THOX_DIR"
	prepare_user
	run as_user env THOX_DIR="$THOX_DIR" thoxctl store cat hello
	assert_status 0
	[ "$output" = "print(3)" ]
	run as_user env THOX_DIR="$THOX_DIR" bash -c \
		'echo "x=1" | thoxctl store put hello -'
	assert_status 5
	forget_user
}
