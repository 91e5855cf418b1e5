#!/usr/bin/env bats
# thox-exec before it talks to anybody: its command line and its texts.

load helper

setup() {
	prepare_thox
	export THOX_NO_AUTOSTART=1
}

teardown() {
	stop_thox
}

# refused_use WORDS-OF-THE-MESSAGE COMMAND...
refused_use() {
	local words=$1

	shift
	run "$@"
	assert_status 125
	assert_output_has "$words"
	[[ $output == thox-exec:* ]]
}

@test "--help names every option and every exit code, on stdout" {
	run --separate-stderr thox-exec --help
	assert_status 0
	assert_output_has --runtime -e --interactive --memory --cpu --timeout \
		--env --json --user --system --version 124 125 126 127 137 159
	[ -z "$stderr" ]
}

@test "--version says the version" {
	run thox-exec --version
	assert_status 0
	[[ $output =~ ^thox-exec\ [0-9]+\.[0-9]+ ]]
}

@test "wrong use is answered with 125, the reason, and where to find help" {
	refused_use "no program given" thox-exec
	refused_use "--nonsense: no such option" thox-exec --nonsense
	refused_use "-q: no such option" thox-exec -q hello
	refused_use "-r: needs a value" thox-exec -r
	refused_use "-e: needs a value" thox-exec -e
	refused_use "--memory: needs a value" thox-exec --memory
	refused_use "not a size" thox-exec --memory lots hello
	refused_use "not a size" thox-exec --memory 0 hello
	refused_use "not a time" thox-exec --cpu -1 hello
	refused_use "not a time" thox-exec --timeout 5parsec hello
	refused_use "needs NAME" thox-exec --env =x hello
	refused_use "takes no program" thox-exec -i hello
	refused_use "given once" thox-exec -e a -e b
	refused_use "not a program's name" thox-exec ''
	assert_output_has "thox-exec --help"
}

@test "a file that is not there is answered with 127" {
	run -127 thox-exec ./not/there
	assert_status 127
	assert_output_has "./not/there: No such file or directory"
}

@test "a file that cannot be run is answered with 126" {
	run thox-exec /tmp/
	assert_status 126
	assert_output_has "Is a directory"

	head -c 17M /dev/zero >"$THOX_DIR/large"
	run thox-exec "$THOX_DIR/large"
	assert_status 126
	assert_output_has "over 16 MiB"
}

@test "a file that may not be read is answered with 126" {
	need_root
	printf 'print(1)' >"$THOX_DIR/secret"
	chmod 000 "$THOX_DIR/secret"
	chmod 711 "$THOX_DIR"
	as_user true
	run as_user thox-exec "$THOX_DIR/secret"
	assert_status 126
	assert_output_has "Permission denied"
	forget_user
}

@test "without an instance and autostart it says so and what to do, with 125" {
	run thox-exec hello
	assert_status 125
	assert_output_has "no instance runs at $THOX_DIR/run" THOX_NO_AUTOSTART
}

@test "without HOME and THOX_DIR it says what is missing" {
	run env -u HOME -u THOX_DIR thox-exec hello
	assert_status 125
	assert_output_has HOME THOX_DIR
}

@test "control characters of a name are shown, not obeyed" {
	run -127 thox-exec $'/no\033[2J/such'
	assert_status 127
	assert_output_has '\x1b[2J'
}

@test "it is a static executable, or holds the sanitizers" {
	if grep -q __asan_init "$(command -v thox-exec)"; then
		ldd "$(command -v thox-exec)" | grep -q libasan
		return
	fi
	run ldd "$(command -v thox-exec)"
	assert_output_has "not a dynamic executable"
}

