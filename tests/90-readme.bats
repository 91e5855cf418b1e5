#!/usr/bin/env bats
# The README's tour, command by command, in a home of its own.

load helper

setup() {
	HOME=$(mktemp -d "${TMPDIR:-/tmp}/thox-home.XXXXXX")
	export HOME XDG_RUNTIME_DIR=$HOME/run
	mkdir -m 700 "$XDG_RUNTIME_DIR"
	unset THOX_DIR
	cd "$HOME" || return
}

teardown() {
	THOX_NO_AUTOSTART=1 thoxctl shutdown >/dev/null 2>&1 || true
	umount -l "$HOME/thox" 2>/dev/null || true
	cd /
	rm -rf --one-file-system "$HOME"
}

# step COMMAND EXPECTED: run it as typed; output and errors are one text.
step() {
	local printed
	printed=$(eval "$1" 2>&1 </dev/null || true)
	matches "$2" "$printed" && return
	printf '$ %s\n--- expected\n%s--- printed\n%s\n' "$1" "$2" "$printed"
	return 1
}

# `…` alone on a line stands for any lines, elsewhere for anything in its line.
matches() {
	perl -CA -e '
		my ($expected, $printed) = @ARGV;
		my $pattern = join "", map {
			$_ eq "\x{2026}" ? "(?:.*\n)*" :
			join(".*", map { quotemeta } split /\x{2026}/, $_, -1) . "\n"
		} split /\n/, $expected;
		$printed .= "\n" if $printed ne "";
		exit($printed =~ /\A$pattern\z/ ? 0 : 1)' "$1" "$2"
}

@test "the tour of README.md prints what it says" {
	[[ -w /dev/fuse && $(id -u) == 0 ]] || skip "no right to mount here"
	awk -f "$THOX_SOURCE_DIR/tests/readme.awk" \
		"$THOX_SOURCE_DIR/README.md" >"$HOME/steps"
	[[ $(wc -l <"$HOME/steps") -gt 15 ]]
	. "$HOME/steps"
}

@test "every file that README.md and HACKING.md link to is there" {
	cd "$THOX_SOURCE_DIR"
	for link in $(grep -oh '](\([^):]*\))' README.md HACKING.md |
		tr -d '()]' | sort -u); do
		[[ -e $link ]]
	done
	for file in $(grep -oh 'contrib/[a-z.]*[a-z]' README.md HACKING.md | sort -u); do
		[[ -e $file ]]
	done
}
