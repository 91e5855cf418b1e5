#!/usr/bin/env bats
# The examples of the man pages do what the pages say.

load helper

source_dir=${THOX_SOURCE_DIR:-$BATS_TEST_DIRNAME/..}

setup_file() {
	start_thox '[thoxd]' 'mount = no' '[exec]' 'allow-run = **' \
		'allow-store = programs.*'
	export mnt thox_sessions
}

teardown_file() {
	stop_thox
}

setup() {
	examples=$BATS_TEST_TMPDIR/examples
	mkdir "$examples"
}

teardown() {
	local pid

	for pid in $(thoxctl --json ps | gojq '.[].pid'); do
		thoxctl kill "$pid" || true
	done
	wait_until nothing_runs
}

nothing_runs() {
	[[ $(thoxctl --json ps) == "[]" &&
		$(thoxctl --json bus | gojq 'map(select(.name != "storage"))') == "[]" ]]
}

# matches EXPECTED PRINTED: line by line; `...` stands for anything in a line,
# two spaces for a tab.
matches() {
	local expected printed i

	mapfile -t expected <<<"$1"
	mapfile -t printed <<<"$2"
	for ((i = 0; i < ${#expected[@]} || i < ${#printed[@]}; i++)); do
		[[ ${printed[i]-} == $(pattern "${expected[i]-}") ]] || {
			printf 'expected:\n%s\nprinted:\n%s\n' "$1" "$2" >&2
			return 1
		}
	done
}

# A pattern of the shell for such a line.
pattern() {
	sed 's/[][*?\\]/\\&/g; s/\.\.\./*/g; s/  /\t/g' <<<"$1"
}

# run_program N [NAME]: as text, or from the store
run_program() {
	local expected printed

	expected=$(sed -n 's/^.*--> \{0,1\}//p' "$examples/$1")
	printed=$(timeout 60 thox-exec "${2:--}" <"$examples/$1" 2>&1) || {
		printf 'failed: %s\n' "$printed" >&2
		return 1
	}
	matches "$expected" "$printed"
}

run_shell() {
	local line command="" expected=""

	while IFS= read -r line; do
		if [[ $line == '$ '* ]]; then
			run_command "$command" "$expected"
			command=${line#'$ '}
			expected=
		else
			expected+=${expected:+$'\n'}$line
		fi
	done <"$examples/$1"
	run_command "$command" "$expected"
}

run_command() {
	[[ -z $1 ]] || matches "$2" "$(timeout 60 bash -c "$1" 2>&1)"
}

run_examples() {
	local n kind name

	awk -v dir="$examples" -f "$source_dir/tests/manual.awk" \
		"$source_dir/man/$1" >"$examples/list"
	while read -r n kind name; do
		echo "example $n: $kind $name"
		case $kind in
		service)
			install_program "$name" <"$examples/$n"
			[[ $(thox-exec -d "$name") == "$name" ]]
			;;
		file) install_program "$name" <"$examples/$n" ;;
		program) run_program "$n" ;;
		stored)
			install_program "$name" <"$examples/$n"
			run_program "$n" "$name"
			;;
		shell) run_shell "$n" ;;
		*) return 1 ;;
		esac
	done <"$examples/list"
}

@test "the examples of thox-api(3)" {
	run_examples thox-api.3
}

@test "the examples of thox-rpc(3)" {
	run_examples thox-rpc.3
}

@test "the examples of thox-daemon(3)" {
	run_examples thox-daemon.3
	# Those that are installed, too, are the same.
	local name

	for name in ping ping-client; do
		diff <(sed '1,/^$/d; s/\t/  /g' \
			"$source_dir/contrib/examples/$name.lua") \
			<(thoxctl store cat "$name")
	done
}

@test "the examples of thox-net(3)" {
	run_examples thox-net.3
}

@test "the examples of thox-task(3)" {
	run_examples thox-task.3
}

@test "the examples of thox-storage(7)" {
	run_examples thox-storage.7
}

@test "the examples of thox-sandbox(3)" {
	run_examples thox-sandbox.3
}

is_logged() {
	thoxctl logs "$1" >"$BATS_TEST_TMPDIR/logs"
	has_line "$BATS_TEST_TMPDIR/logs" "$2"
}

@test "the examples of thox-log(3)" {
	run_examples thox-log.3
	wait_until is_logged late "5 minutes late"
}

@test "every page of a library is tested here" {
	local page

	for page in "$source_dir"/man/*.3 "$source_dir/man/thox-storage.7"; do
		grep -qF "run_examples ${page##*/}" "$BATS_TEST_FILENAME"
	done
}
