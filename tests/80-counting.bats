#!/usr/bin/env bats
# The summary of contrib/check: what it counts decides whether a run is green.

setup() {
	count=$THOX_SOURCE_DIR/contrib/count-tests
	dir=$BATS_TEST_TMPDIR/build
	mkdir -p "$dir/tests" "$dir/fs"
	unset CI
}

# trs FILE RESULT...: what the TAP driver writes.
trs() {
	local file=$dir/$1 name=$1 result
	shift
	for result; do
		printf ':test-result: %s\n' "$result" >>"$file.trs"
		printf 'ok\n%s: %s 1 a test\n' "$result" "$name" >>"$file.log"
	done
	printf ':global-test-result: PASS\n:recheck: no\n' >>"$file.trs"
}

@test "passed tests of all files are added up" {
	trs tests/10-names PASS PASS
	trs fs/test_name PASS XFAIL
	run "$count" "$dir"
	[ "$status" -eq 0 ]
	[ "${lines[-1]}" = "4 passed, 0 failed" ]
}

@test "a failure, an error and an unexpected pass count as failed and are named" {
	trs tests/10-names PASS FAIL
	trs fs/test_name ERROR XPASS
	run "$count" "$dir"
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = "1 passed, 3 failed" ]
	[[ $output == *"FAIL: tests/10-names 1 a test"* ]]
}

@test "a skipped test is named, and failed when CI is true" {
	trs tests/10-names PASS SKIP
	run "$count" "$dir"
	[ "$status" -eq 0 ]
	[ "${lines[-1]}" = "1 passed, 0 failed" ]
	[[ $output == *"SKIP: tests/10-names"* ]]
	CI=true run "$count" "$dir"
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = "1 passed, 1 failed" ]
}

@test "a run without any test is a failure" {
	run "$count" "$dir"
	[ "$status" -eq 1 ]
	[[ $output == *"0 passed, 0 failed"* ]]
}

@test "every package of contrib/packages has a group and a reason" {
	run awk '!/^#/ && NF && (NF < 3 || $1 !~ /^(build|test|bench)$/)' \
		"$THOX_SOURCE_DIR/contrib/packages"
	[ -z "$output" ]
}
