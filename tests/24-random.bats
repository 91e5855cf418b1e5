#!/usr/bin/env bats
# Random operations, held against a model in memory.

load mount

: "${THOX_TEST_SEED:=$RANDOM}"

random_operations() {
	echo "THOX_TEST_SEED=$THOX_TEST_SEED"
	"${THOX_BUILD_DIR:-$PWD}/tests/fs-random" "$mnt/programs" "$THOX_TEST_SEED" "$@"
}

@test "thousands of random operations do what the model does" {
	mount_store relaxed,noverify,keep=4
	random_operations 4000
}

@test "random operations are synced, and are there after a new mount" {
	mount_store noverify,keep=4
	random_operations 300
	(cd "$mnt/programs" && sha256sum n*) >"$dir/sums"
	remount noverify,keep=4
	(cd "$mnt/programs" && sha256sum -c --quiet "$dir/sums")
}

# Whenever the file is gone, somebody was killed: name the next.
name_victims() {
	local now

	while [[ ! -e $dir/done ]]; do
		now=$(worker 2>/dev/null || true)
		if [[ ! -e $dir/victim && $now != "${last:-}" && -n $now ]]; then
			echo "$now" >"$dir/victim.new"
			mv "$dir/victim.new" "$dir/victim"
			last=$now
		fi
		sleep 0.02
	done
}

@test "random operations go on as if nothing was while thoxfs is killed" {
	[[ $(printf '%s\n6.9\n' "$(uname -r)" | sort -V | head -n 1) == 6.9 ]] ||
		skip "the kernel cannot send requests again (Linux 6.9)"
	mount_store relaxed,noverify,keep=100
	name_victims 3>&- &
	namer=$!
	code=0
	random_operations 1000 "$dir/victim" || code=$?
	touch "$dir/done"
	wait "$namer"
	((code == 0))
}
