#!/usr/bin/env bats

# Whatever happens to the writer of a store, the store holds the old version or
# the new one. The writer is a small program of its own, so that strace(1) can
# stop it at each system call it makes.

load helper

setup() {
	dir=$(mktemp -d "${TMPDIR:-/tmp}/thox.XXXXXX")
	root=$dir/store
	# shellcheck disable=SC2154 # of helper.bash
	writer=$helpers/store-writer
	command -v strace >/dev/null || skip "strace is not installed"
	strace -o /dev/null true 2>/dev/null || skip "ptrace is not allowed here"
	# The leak checker cannot work where strace does.
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
	printf 'return "old"' >"$dir/old"
	printf 'return "new" -- %01000d' 7 >"$dir/new"
	head -c 300000 /dev/zero | tr '\0' x >"$dir/large"
	old=$(sha256sum <"$dir/old") old=${old%% *}
	new=$(sha256sum <"$dir/new") new=${new%% *}
	large=$(sha256sum <"$dir/large") large=${large%% *}
}

teardown() {
	rm -rf "$dir"
}

# A store with `hello` and `other`, in @$1.
prepare() {
	"$writer" "$1" put hello "$dir/old" put other "$dir/old" idle >/dev/null
}

# Each system call that the commands make after the store is made, as `NAME N`.
calls_of() {
	prepare "$dir/sample"
	strace -f -qq -o "$dir/trace" "$writer" "$dir/sample" "$@" >/dev/null
	rm -rf "$dir/sample"
	# What comes before the first file of the store concerns the loader.
	sed -n '/\.lock/,$p' "$dir/trace" | grep -o '^[0-9]* *[a-z0-9_]*(' |
		tr -d '(' | awk '{ n[$2]++; print $2, n[$2] }' |
		grep -v '^exit'
}

# Call numbers count from the start of the process, so those before .lock are
# added.
offset_of() {
	sed -n '/\.lock/q;p' "$dir/trace" | grep -c "^[0-9]* *$1(" || true
}

# kill_everywhere COMMAND...: run the commands once for each system call, die
# there, and give the state that is found to check_state, with `done` as $1 when
# the writer had said that it was done.
kill_everywhere() {
	untraced kill_at_each "$@"
}

kill_at_each() {
	local calls call n said
	mapfile -t calls < <(calls_of "$@")
	[[ ${#calls[@]} -gt 20 ]] || return 1
	for call in "${calls[@]}"; do
		n=$((${call#* } + $(offset_of "${call% *}")))
		call=${call% *}
		rm -rf "$root"
		prepare "$root" || return 1
		said=$(strace -f -qq -o /dev/null -e trace="$call" \
			-e inject="$call:signal=KILL:when=$n" \
			"$writer" "$root" "$@" 2>/dev/null) || true
		output=$("$writer" "$root" state 2>&1) || {
			echo "killed at $call number $n: $output" >&2
			return 1
		}
		check_state "${said:+done}" || {
			echo "killed at $call number $n: $output" >&2
			return 1
		}
		# And it goes on from there.
		"$writer" "$root" put after "$dir/old" >/dev/null || return 1
	done
	# The last call was after the end of it all.
	check_state "done"
}

@test "a writer killed at any system call leaves the old text or the new one" {
	check_state() {
		[[ $output == *"other 1 $old"* ]] || return 1
		[[ $output == *"hello 2 $new"* ]] && return 0
		[[ -z $1 && $output == *"hello 1 $old"* ]]
	}
	kill_everywhere put hello "$dir/new"
}

@test "a writer of a new name killed at any system call leaves it whole or not at all" {
	check_state() {
		[[ $output == *"hello 1 $old"* ]] || return 1
		[[ $output == *"fresh 1 $new"* ]] && return 0
		[[ -z $1 && $output != *fresh* ]]
	}
	kill_everywhere put fresh "$dir/new"
}

@test "a writer of a large text killed at any system call leaves the old or the new one" {
	check_state() {
		[[ $output == *"hello 2 $large"* ]] && return 0
		[[ -z $1 && $output == *"hello 1 $old"* ]]
	}
	kill_everywhere put hello "$dir/large"
}

@test "a rename killed at any system call is whole or did not happen" {
	check_state() {
		local after=$output
		[[ $after == *"hello 2 $old"* && $after != *other* ]] && return 0
		[[ $after == *"hello 1 $old"* && $after == *"other 1 $old"* ]]
	}
	kill_everywhere mv other hello
}

@test "a removal killed at any system call is whole or did not happen" {
	check_state() {
		[[ $output == *"hello 1 $old"* || $output != *hello* ]]
	}
	kill_everywhere rm hello
}

@test "housekeeping killed at any system call loses nothing" {
	check_state() {
		[[ $output == *"hello "*" $new"* ]] ||
			[[ $output == *"hello "*" $old"* ]]
	}
	kill_everywhere put hello "$dir/new" put hello "$dir/old" idle
}

@test "after a sync that failed the store is read-only until it is opened again" {
	prepare "$root"
	run strace -f -qq -o /dev/null -e trace=fdatasync \
		-e inject=fdatasync:error=EIO:when=1 \
		"$writer" "$root" put hello "$dir/new" put other "$dir/new" state
	[[ $status -eq 1 ]]
	[[ $output == *"put: EIO"* ]]
	[[ $output == *"put: EROFS"* ]]
	[[ $output == *"hello 1 $old"* && $output == *"other 1 $old"* ]]
	"$writer" "$root" put other "$dir/new"
	run "$writer" "$root" state
	[[ $status -eq 0 && $output == *"other 2 $new"* ]]
}

@test "a full disk refuses the text and leaves nothing half-written" {
	local call n
	for call in openat pwrite64 copy_file_range renameat renameat2 fallocate; do
		for n in $(seq 1 14); do
			rm -rf "$root"
			prepare "$root"
			run strace -f -qq -o /dev/null -e trace="$call" \
				-e inject="$call:error=ENOSPC:when=$n" \
				"$writer" "$root" put hello "$dir/new"
			run "$writer" "$root" state
			[[ $status -eq 0 ]] || {
				echo "$call $n: $output" >&2
				return 1
			}
			[[ $output == *"hello 1 $old"* || $output == *"hello 2 $new"* ]]
			[[ -z $(ls -A "$root/.drafts") ]] || {
				echo "$call $n: a draft is left" >&2
				return 1
			}
		done
	done
}

@test "a real file system that is full says so and keeps what it has" {
	[[ $EUID -eq 0 ]] || skip "mounting needs root"
	mkdir "$dir/small"
	mount -t tmpfs -o size=6m thox-test "$dir/small" ||
		skip "mounting is not allowed here"
	root=$dir/small/store
	prepare "$root"
	dd if=/dev/zero of="$dir/small/filler" bs=64k 2>/dev/null || true
	run "$writer" "$root" put hello "$dir/large" state
	local said=$output
	rm "$dir/small/filler"
	run "$writer" "$root" put hello "$dir/large" state
	umount "$dir/small"
	[[ $said == *"put: ENOSPC"* && $said == *"hello 1 $old"* ]]
	[[ $said == *"damaged 0"* ]]
	[[ $status -eq 0 && $output == *"hello 2 $large"* ]]
}
