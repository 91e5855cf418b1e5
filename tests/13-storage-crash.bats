#!/usr/bin/env bats

# Whatever happens to thox-storaged, what it said is so. Callers write down what
# they did and what they were told, and storage-history looks for an order that
# explains it (tests/linear.h says how); it also checks that no database needs
# more than SQLite's own recovery.

load helper

setup() {
	dir=$(mktemp -d "${TMPDIR:-/tmp}/thox.XXXXXX")
	# shellcheck disable=SC2154 # of helper.bash
	history=$helpers/storage-history
	storaged=$THOX_LIBEXEC_DIR/thox-storaged
}

teardown() {
	rm -rf "$dir"
}

@test "16 callers in peace: keys and locks behave as one after another" {
	"$history" --rounds 5 --ops 4000 "$dir" -- "$storaged"
}

@test "1,000 kills at random times: nothing that was synced is missing" {
	"$history" --kill --rounds 1000 --seed 11 "$dir" -- "$storaged"
}

@test "many callers of few keys, killed: the order holds" {
	"$history" --kill --rounds 100 --callers 24 --seed 12 "$dir" -- \
		"$storaged"
}


@test "killed at each system call of a commit: the old state or the new one" {
	local calls call n=0
	command -v strace >/dev/null || skip "strace is not installed"
	strace -o /dev/null true 2>/dev/null || skip "ptrace is not allowed here"
	# The leak checker cannot work where strace does.
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
	mkdir "$dir/sample"
	"$history" --callers 3 --ops 24 --rounds 1 --dies "$dir/sample" -- \
		"$storaged" -- strace -f -qq -o "$dir/trace" "$storaged"
	# Those of the thread that syncs, from its first call to its last: it
	# makes the database, commits, and puts all into one file at the end.
	mapfile -t calls < <(awk '
		/ fdatasync\(/ && !thread { thread = $1 }
		{ line[NR] = $0 }
		END {
			for (i = 1; i <= NR; i++) {
				if (split(line[i], f, /[ (]+/) < 2 || f[1] != thread)
					continue
				if (f[2] !~ /^[a-z0-9_]+$/ || f[2] ~ /^exit/)
					continue
				print f[2], ++n[f[2]]
			}
		}' "$dir/trace")
	[[ ${#calls[@]} -gt 100 ]]
	for call in "${calls[@]}"; do
		mkdir "$dir/store"
		"$history" --quiet --callers 3 --ops 24 --rounds 1 --dies \
			"$dir/store" -- "$storaged" -- strace -f -qq \
			-o /dev/null -e trace="${call% *}" \
			-e inject="${call% *}:signal=KILL:when=${call#* }" \
			"$storaged" || {
			echo "killed at ${call% *} number ${call#* }" >&2
			return 1
		}
		rm -rf "$dir/store"
		n=$((n + 1))
	done
	echo "# killed at $n system calls"
}


# fails_at CALL:error=ERROR:when=WHEN: a disk that fails now and then
fails_at() {
	mkdir "$dir/store"
	"$history" --fails --callers 8 --ops 400 --rounds 1 "$dir/store" -- \
		"$storaged" -- strace -f -qq -o /dev/null -e trace="${1%%:*}" \
		-e inject="$1" "$storaged"
	rm -rf "$dir/store"
}

@test "a disk that fails or is full: errors, and nothing half-written" {
	command -v strace >/dev/null || skip "strace is not installed"
	strace -o /dev/null true 2>/dev/null || skip "ptrace is not allowed here"
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
	fails_at fdatasync:error=EIO:when=8+5
	fails_at pwrite64:error=ENOSPC:when=8+20
	fails_at pwrite64:error=EIO:when=9+20
}
