#!/usr/bin/env bats

# Several processes, other users and strange directories meet one store.

load helper

setup() {
	dir=$(mktemp -d "${TMPDIR:-/tmp}/thox.XXXXXX")
	chmod 755 "$dir"
	root=$dir/store
	# shellcheck disable=SC2154 # of helper.bash
	writer=$helpers/store-writer
	printf 'return "one"' >"$dir/one"
	printf 'return "two"' >"$dir/two"
	one=$(sha256sum <"$dir/one") one=${one%% *}
	two=$(sha256sum <"$dir/two") two=${two%% *}
}

teardown() {
	rm -rf "$dir"
}

# The program as a user who may not write everywhere.
as_nobody() {
	if [[ $EUID -eq 0 ]]; then
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	else
		"$@"
	fi
}

@test "eight processes write one name, and every version is there" {
	local i pids=()
	"$writer" "$root" put hello "$dir/one" >/dev/null
	for i in 1 2 3 4 5 6 7 8; do
		"$writer" "$root" put hello "$dir/two" put "n$i" "$dir/one" \
			rm "n$i" put "n$i" "$dir/two" >/dev/null &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	run "$writer" "$root" state
	[[ $status -eq 0 ]]
	[[ $output == *"hello 9 $two"* ]]
	for i in 1 2 3 4 5 6 7 8; do
		[[ $output == *"n$i 2 $two"* ]]
	done
}

@test "writers killed at random harm neither the store nor the others" {
	local i pids=()
	"$writer" "$root" put hello "$dir/one" >/dev/null
	for i in $(seq 1 60); do
		"$writer" "$root" put hello "$dir/two" put hello "$dir/one" \
			put other "$dir/two" idle >/dev/null &
		pids+=($!)
		if ((i % 3)); then
			kill -KILL $! 2>/dev/null || true
		fi
	done
	for i in "${pids[@]}"; do wait "$i" || true; done
	run "$writer" "$root" state
	[[ $status -eq 0 ]]
	[[ $output == *"damaged 0"* ]]
	run "$writer" "$root" put hello "$dir/one" state
	[[ $status -eq 0 && $output == *"hello "*" $one"* ]]
}

@test "a directory that cannot be written is read, and every change refused" {
	"$writer" "$root" put hello "$dir/one" idle >/dev/null
	[[ $EUID -ne 0 ]] || chown -R 65534:65534 "$root"
	chmod -R a-w "$root"
	run as_nobody "$writer" "$root" put hello "$dir/two" state
	chmod -R u+w "$root"
	[[ $output == *"put: EROFS"* ]]
	[[ $output == *"hello 1 $one"* ]]
}

@test "another user's store is refused" {
	[[ $EUID -eq 0 ]] || skip "needs a second user"
	"$writer" "$root" put hello "$dir/one" >/dev/null
	chown 1 "$root"
	chmod -R a+rwX "$root"
	run as_nobody "$writer" "$root" put hello "$dir/two"
	[[ $status -eq 1 && $output == "open: EPERM" ]]
}

@test "a file where the store should be is named" {
	echo >"$root"
	run "$writer" "$root" state
	[[ $status -eq 1 && $output == "open: ENOTDIR" ]]
}

@test "a link in place of one of its directories is refused" {
	"$writer" "$root" put hello "$dir/one" >/dev/null
	mv "$root/programs" "$dir/elsewhere"
	ln -s "$dir/elsewhere" "$root/programs"
	run "$writer" "$root" state
	[[ $status -eq 1 && $output == "open: "E* ]]
}

@test "a text put into the plain directory by hand is taken as a version" {
	"$writer" "$root" put hello "$dir/one" idle >/dev/null
	cp "$dir/two" "$root/programs/found"
	mv "$root/programs/hello" "$dir/away"
	cp "$dir/two" "$root/programs/hello"
	run "$writer" "$root" state
	[[ $output == *"found 1 $two"* && $output == *"hello 2 $two"* ]]
	# What was taken away by hand is not in the past either, and told so.
	[[ $output == *"damaged hello@1: ESTALE"* ]]
}

@test "a store that was copied elsewhere works there" {
	"$writer" "$root" put hello "$dir/one" put hello "$dir/two" >/dev/null
	cp -r "$root" "$dir/copy"
	rm -rf "$root"
	run "$writer" "$dir/copy" state
	[[ $status -eq 0 && $output == *"hello 2 $two"* ]]
	run "$writer" "$dir/copy" put hello "$dir/one" state
	[[ $status -eq 0 && $output == *"hello 3 $one"* ]]
}
