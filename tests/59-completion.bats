#!/usr/bin/env bats
# Man pages and completions say what the programs say.

load helper

setup() {
	prepare_thox
	export THOX_NO_AUTOSTART=1
	source_dir=${THOX_SOURCE_DIR:-$BATS_TEST_DIRNAME/..}
	completion=$source_dir/contrib/completion
	install_program hello 'print(1)'
	install_program help 'print(1)'
	install_program other 'print(1)'
}

teardown() {
	stop_thox
}

commands() {
	thoxctl --help | sed -n '/^Commands:/,/^$/p' | grep -oE '^  ((store|storage|kv|data) )?[a-z-]+' |
		sed 's/^  //'
}

# What bash would offer for the last word.
offers() {
	# shellcheck disable=SC2016 # expanded there
	bash -c 'source "$1"; shift
		COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
		f=_thox_exec; [[ $1 != thoxctl ]] || f=_thoxctl
		$f; echo "${COMPREPLY[*]}"' - "$completion/thox.bash" "$@"
}

@test "thox-exec's man page has every option of --help" {
	local option

	for option in $(thox-exec --help | grep -oE -- '--[a-z]+'); do
		grep -qF -- "${option//-/\\-}" "$source_dir/man/thox-exec.1" || {
			echo "not in thox-exec.1: $option"
			return 1
		}
	done
}

@test "thoxctl's man page has every command of --help" {
	local command

	while read -r command; do
		grep -qE "^\.BR? \"?$command\"?( |$)" "$source_dir/man/thoxctl.1" || {
			echo "not in thoxctl.1: $command"
			return 1
		}
	done < <(commands)
}

@test "the man pages have no errors" {
	command -v man >/dev/null || skip "no man"
	run bash -c "man --warnings -E UTF-8 -l '$source_dir/man/thox-exec.1' 2>&1 >/dev/null"
	[ -z "$output" ]
	run bash -c "man --warnings -E UTF-8 -l '$source_dir/man/thoxctl.1' 2>&1 >/dev/null"
	[ -z "$output" ]
}

@test "bash completes programs, options, runtimes and files" {
	run offers thox-exec he
	[ "$output" = "hello help" ]
	run offers thox-exec --json hel
	[ "$output" = "hello help" ]
	run offers thox-exec -r na
	[ "$output" = native ]
	run offers thox-exec --mem
	[ "$output" = --memory ]
	run offers thox-exec hello /etc/hostn
	[ "$output" = /etc/hostname ]
	run offers thox-exec -e he
	[ -z "$output" ]
}

@test "every option of a command of thoxctl is completed" {
	local command option count=0

	while read -r command; do
		# shellcheck disable=SC2086 # may be two words
		for option in $(thoxctl $command --help |
			sed -n '/^Options of this command/,/^$/p' |
			grep -oE -- '--[a-z-]+'); do
			echo "$command $option"
			run offers thoxctl $command "$option"
			[[ " $output " == *" $option "* ]]
			has_line "$completion/_thox" "$option"
			has_line "$completion/thoxctl.fish" "${option#--}"
			count=$((count + 1))
		done
	done < <(commands)
	((count > 10))
}

@test "bash completes every command of thoxctl and no other" {
	run offers thoxctl ''
	[ "$(tr ' ' '\n' <<<"$output" | sort)" = "$(commands | cut -d ' ' -f 1 | sort -u)" ]
	local group

	for group in store storage kv data; do
		run offers thoxctl $group ''
		[ "$(tr ' ' '\n' <<<"$output" | sort)" = "$(commands | sed -n "s/^$group //p" | sort)" ]
	done
	run offers thoxctl kv get hel
	[ "$output" = "hello help" ]
	run offers thoxctl store cat hel
	[ "$output" = "hello help" ]
}

@test "fish completes commands and programs" {
	command -v fish >/dev/null || skip "no fish"
	export HOME=$THOX_DIR
	run fish --no-config -c "source $completion/thox-exec.fish; complete -C 'thox-exec he'"
	[ "${lines[0]}" = hello ]
	[ "${lines[1]}" = help ]
	run fish --no-config -c "source $completion/thoxctl.fish; complete -C 'thoxctl '"
	[ "$(sort <<<"$output")" = "$(commands | cut -d ' ' -f 1 | sort -u)" ]
	local group

	for group in store storage kv data; do
		run fish --no-config -c "source $completion/thoxctl.fish; complete -C 'thoxctl $group '"
		[ "$(sort <<<"$output")" = "$(commands | sed -n "s/^$group //p" | sort)" ]
	done
	run fish --no-config -c "source $completion/thoxctl.fish; complete -C 'thoxctl store cat hel'"
	[ "${lines[0]}" = hello ]
}

@test "zsh's completion loads and knows every command" {
	local command

	command -v zsh >/dev/null || skip "no zsh"
	zsh -n "$completion/_thox"
	while read -r command; do
		grep -qw -- "${command#* }" "$completion/_thox"
	done < <(commands)
}

@test "zsh completes programs" {
	command -v zsh >/dev/null || skip "no zsh"
	run "$helpers/pty" \
		"send:fpath=($completion \$fpath); autoload -Uz compinit; compinit -u -D; PS1='READ''Y '\\n" \
		'expect:READY' 'send:thox-exec oth\t' 'expect:other' \
		'send:\x15exit\n' -- env HOME="$THOX_DIR" TERM=dumb zsh -f -i
	assert_status 0
}
