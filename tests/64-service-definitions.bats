#!/usr/bin/env bats
# Service definitions: checked where they are written, and before.

load helper

setup() {
	prepare_thox
	export THOX_NO_AUTOSTART=1
	cd "$THOX_DIR" || return 1
	install_program ping 'return "pong"'
}

teardown() {
	cd /
	stop_thox
}

# define NAME: a file of that name from stdin.
define() {
	cat >"$THOX_DIR/$1"
}

good() {
	define "${1:-ping.service}" <<-'INI'
		[service]
		program = ping
	INI
}

# verified STATUS TEXT...: of thoxctl verify of the last file.
verified() {
	local status_wanted=$1

	shift
	run thoxctl verify bad.service
	assert_status "$status_wanted"
	assert_output_has "$@"
}

@test "a good definition is published, and verify says nothing of it" {
	good
	run thoxctl verify ping.service
	assert_status 0
	[ -z "$output" ]
	run thoxctl store put services/ping ping.service
	assert_status 0
	[ "$output" = ping@1 ]
}

@test "a wrong one is refused with its line, and the reason is kept" {
	define bad.service <<-'INI'
		[service]
		program = ping

		[restart]
		polcy = always
	INI
	verified 5 "bad.service:5: error: no such key in [restart]: 'polcy'; did you mean 'policy'?"
	run thoxctl store put services/bad bad.service
	assert_status 5
	assert_output_has "rejected: bad:5: no such key in [restart]"
	run thoxctl store log services/bad
	assert_output_has "rejected: bad:5: no such key in [restart]: 'polcy'; did you mean 'policy'?"
	run thoxctl store cat services/bad@rejected
	assert_output_has polcy
}

@test "cp into the mount fails with the line and the reason, and the old one stays" {
	need_mount
	unset THOX_NO_AUTOSTART
	thoxctl status >/dev/null
	good
	cp ping.service "$mnt/services/ping"
	printf '[service]\nprogram = ping\nschedule = 02-30\n' >bad.service
	run cp bad.service "$mnt/services/ping"
	[ "$status" -ne 0 ]
	assert_output_has "Invalid argument"
	cmp ping.service "$mnt/services/ping"
	run thoxctl store log services/ping
	assert_output_has "rejected: ping:3: schedule: '02-30': there is no such day"
	run getfattr --only-values -n user.thox.error "$mnt/services/ping"
	assert_output_has "there is no such day"
}

@test "cp of a service whose program is not there fails, and works after it came" {
	need_mount
	unset THOX_NO_AUTOSTART
	thoxctl status >/dev/null
	printf '[service]\nprogram = late\n' >late.service
	run cp late.service "$mnt/services/late"
	[ "$status" -ne 0 ]
	run thoxctl store log services/late
	assert_output_has "rejected: late:2: there is no program late"
	echo 'return 1' >"$mnt/programs/late"
	cp late.service "$mnt/services/late"
	printf '[service]\nprogram = late@7\n' >late.service
	run cp late.service "$mnt/services/late"
	[ "$status" -ne 0 ]
	run thoxctl store log services/late
	assert_output_has "rejected: late:2: there is no version 7 of late"
}

@test "every error of a file is told at once, in the order of its lines" {
	define bad.service <<-'INI'
		program = ping
		[service]
		program = ping
		ready = soon
		[stop]
		timeout = whenever
		[limitz]
	INI
	verified 5
	[ "${#lines[@]}" -eq 4 ]
	[[ ${lines[0]} == "bad.service:1: error: "* ]]
	[[ ${lines[1]} == "bad.service:4: error: "* ]]
	[[ ${lines[2]} == "bad.service:6: error: "* ]]
	[[ ${lines[3]} == "bad.service:7: error: no such section: [limitz]; did you mean [limits]?" ]]
}

@test "a key without effect is warned of, and is no error" {
	define bad.service <<-'INI'
		[service]
		program  = ping
		schedule = daily 03:00
		ready    = bind

		[restart]
		policy = never
		delay  = 5s
	INI
	verified 0 \
		"bad.service:3: warning: the schedule holds only while the service is enabled" \
		"bad.service:4: warning: ready has no effect" \
		"bad.service:8: warning: delay has no effect: the policy is never"
	run thoxctl store put services/bad bad.service
	assert_status 0
}

@test "verify --json tells the same" {
	define bad.service <<-'INI'
		[service]
		program = pong
		start-timeout = 5s
	INI
	run thoxctl --json verify bad.service
	assert_status 5
	[ "$(gojq -r .name <<<"$output")" = bad ]
	[ "$(gojq -r .valid <<<"$output")" = false ]
	[ "$(gojq -r .errors <<<"$output")" = 1 ]
	[ "$(gojq -r .warnings <<<"$output")" = 1 ]
	[ "$(gojq -r '.notes[0].line' <<<"$output")" = 2 ]
	[ "$(gojq -r '.notes[0].text' <<<"$output")" = "there is no program pong" ]
	[ "$(gojq -r '.notes[1].kind' <<<"$output")" = warning ]
	good
	run thoxctl --json verify ping.service
	assert_status 0
	[ "$(gojq -c .notes <<<"$output")" = "[]" ]
}

@test "verify reads standard input, under the name that is given" {
	good
	run bash -c 'thoxctl verify - <ping.service'
	assert_status 0
	printf '[service]\nprogram = ping\n[order]\nafter = pong\n' >self
	run thoxctl verify self
	assert_status 0
	run thoxctl verify self pong
	assert_status 5
	assert_output_has "self:4: error: after: pong would depend on itself"
}

@test "verify is used wrongly with 2, and what cannot be read is an error" {
	run thoxctl verify
	assert_status 2
	run thoxctl verify a b c
	assert_status 2
	run thoxctl verify ./nothing
	assert_status 4
	run thoxctl verify "$THOX_DIR"
	assert_status 1
	good 'bad name'
	run thoxctl verify 'bad name'
	assert_status 2
	good .hidden
	run thoxctl verify .hidden
	assert_status 2
	run thoxctl verify .hidden a:b
	assert_status 2
	run thoxctl verify .hidden seen
	assert_status 0
}

@test "verify needs no store, and makes none" {
	good
	mkdir empty
	THOX_DIR=$THOX_DIR/empty run thoxctl verify ping.service
	assert_status 0
	[ -z "$(ls -A empty)" ]
}

@test "values that contradict each other are refused" {
	define bad.service <<-'INI'
		[service]
		program = ping
		type = oneshot
		activation = call
		[restart]
		policy = always
		delay = 1h
		max-delay = 1s
	INI
	verified 5 \
		"bad.service:4: error: a oneshot answers no calls" \
		"bad.service:6: error: a oneshot cannot be restarted always" \
		"bad.service:8: error: max-delay is less than delay"
}

@test "cycles are refused with their path, also through services in the store" {
	printf '[service]\nprogram = ping\n[order]\nrequires = b\n' >a.service
	printf '[service]\nprogram = ping\n[order]\nafter = bad\n' >b.service
	thoxctl store put services/a a.service
	thoxctl store put services/b.service b.service
	printf '[service]\nprogram = ping\n[order]\nrequires = a b\n' >bad.service
	verified 5 "error: it would wait for itself: " "bad -> a -> b -> bad"
	printf '[service]\nprogram = ping\n[order]\nafter = a b\n' >bad.service
	verified 0
}

@test "instances of a template are followed in the search for cycles" {
	printf '[service]\nprogram = ping\nargs = %%i\n[order]\nrequires = bad\n' >w.service
	thoxctl store put services/w w.service
	printf '[service]\nprogram = ping\n[order]\nrequires = w:1\n' >bad.service
	verified 5 "it would wait for itself: " "bad -> w:1 -> bad"
}

@test "what is required and not there yet is warned of" {
	printf '[service]\nprogram = ping\n[order]\nrequires = db\n' >bad.service
	verified 0 "bad.service:4: warning: requires: there is no service db yet"
}

@test "no byte makes a definition crash what reads it" {
	local byte

	for byte in {1..31} 34 35 37 39 59 61 91 92 93 127 128 195 240 255; do
		printf '[service]\nprogram = ping\nenv.X = a%bb\n' \
			"\\x$(printf %x "$byte")" >bad.service
		run thoxctl verify bad.service
		[[ $status -eq 0 || $status -eq 5 ]]
		printf '[serv%bice]\n%b = x\n' "\\x$(printf %x "$byte")" \
			"\\x$(printf %x "$byte")" >bad.service
		run thoxctl verify bad.service
		[[ $status -eq 0 || $status -eq 5 ]]
	done
	printf '[service]\nprogram = pi\0ng\n' >bad.service
	verified 5 "bad.service:2: error: the text contains a NUL byte"
	head -c 1000000 /dev/zero | tr '\0' '[' >bad.service
	verified 5 "a service file is at most 64 KiB"
	head -c 1000 /dev/zero | tr '\0' '[' >bad.service
	verified 5 "bad.service:1: error: a line is at most 198 bytes"
}

@test "the examples of the man page are good" {
	local page=${THOX_SOURCE_DIR:-$BATS_TEST_DIRNAME/..}/man/thox-service.5 name

	for name in shop db mail pager backup worker; do
		install_program "$name" ''
		good "$name.service"
		sed -i "s/= ping/= $name/" "$name.service"
		thoxctl store put "services/$name" "$name.service"
	done
	for name in shop backup worker; do
		sed -n "/^\.B services\/$name\$/,/^\.RE/p" "$page" |
			sed '/^\./d; s/\\-/-/g' >"$name.service"
		[ "$(wc -l <"$name.service")" -ge 4 ]
		run thoxctl verify "$name.service"
		assert_status 0
		[ -z "$output" ]
	done
	sed -n '/^\[service\]$/,/^\.RE/p' "$page" | sed '/^\./d' |
		sed -n '1,/^policy/p' >ping.service
	run thoxctl verify ping.service
	assert_status 0
	[ -z "$output" ]
}

@test "ten thousand services are looked through in seconds" {
	if [[ -w /dev/shm ]]; then # so many files are a burden to a disk
		rm -rf "$THOX_DIR"
		TMPDIR=/dev/shm prepare_thox
		cd "$THOX_DIR" || return 1
		install_program ping ''
	fi
	mkdir -p store/services
	thoxctl store ls >/dev/null
	awk 'BEGIN {
		for (i = 1; i <= 10000; i++) {
			file = "store/services/s" i
			printf "[service]\nprogram = ping\n[order]\n" \
				"requires = s%d\n", i + 1 >file
			close(file)
		}
	}'
	good s10001.service
	cp s10001.service store/services/s10001
	printf '[service]\nprogram = ping\n[order]\nrequires = s1\n' >bad.service
	verified 0
	printf '[service]\nprogram = ping\n[order]\nrequires = s9999\nbefore = s10001\n' >bad.service
	verified 5 "it would wait for itself"
}
