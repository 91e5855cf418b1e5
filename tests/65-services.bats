#!/usr/bin/env bats
# Services: started, watched, restarted, replaced and stopped by thoxd.

load helper
load services

setup() {
	start_thox
	cd "$THOX_DIR" || return 1
	# It goes on until it is ended.
	install_program stay 'print("stays", ...) while true do os.sleep(60) end'
}

teardown() {
	cd /
	stop_thox
}

@test "a service is started, listed, shown and stopped" {
	define greeter 'description = Greets' 'program = stay' 'args = a "b c"'
	run thoxctl start greeter
	assert_status 0
	[ -z "$output" ]
	run thoxctl list
	assert_status 0
	assert_output_has SERVICE greeter running Greets
	run thoxctl status greeter
	assert_status 0
	assert_output_has "greeter - Greets" "running" "stay" "process: $(pid_of_service greeter)"
	wait_until logged greeter "stays	a	b c"
	[ "$(thoxctl --json ps | gojq 'length')" -eq 1 ]
	run thoxctl stop greeter
	assert_status 0
	[ "$(thoxctl --json ps | gojq 'length')" -eq 0 ]
	run thoxctl status greeter
	assert_status 3
	assert_output_has inactive
}

@test "through the mount: cp and start, and cp of a wrong one changes nothing" {
	need_mount
	printf '[service]\nprogram = stay\n' >greeter.service
	cp greeter.service "$mnt/services/greeter"
	thoxctl start greeter
	state_is greeter running
	printf '[service]\nprogram = none\n' >greeter.service
	run cp greeter.service "$mnt/services/greeter"
	[ "$status" -ne 0 ]
	thoxctl restart greeter
	state_is greeter running
}

@test "the file may be called NAME.service" {
	define greeter.service 'program = stay'
	thoxctl start greeter
	thoxctl is-active greeter.service
	[ "$(thoxctl --json list | gojq -r '.[].name')" = greeter ]
}

@test "a service that is killed runs again at once" {
	local pid

	define greeter 'program = stay'
	thoxctl start greeter
	pid=$(pid_of_service greeter)
	kill -KILL "$pid"
	wait_until bash -c "[[ \$(thoxctl --json list greeter | gojq .[0].pid) != $pid ]]"
	wait_until state_is greeter running
	[ "$(field greeter restarts)" -eq 1 ]
	[ "$(field greeter 'instances[0].last_end.pid')" -eq "$pid" ]
}

@test "one that exits at once is restarted with growing delays, fails, and can be reset" {
	install_program quick 'error("no luck")'
	define quick 'program = quick' '[restart]' 'limit = 4/1min' 'delay = 20ms'
	thoxctl start quick
	wait_until state_is quick failed
	run thoxctl status quick
	assert_status 3
	assert_output_has failed "it was restarted too often" "restarts: 4" "exit code 1"
	run thoxctl is-failed quick
	assert_status 0
	wait_until logged_times quick 'quick:1: no luck' 5
	thoxctl reset quick
	state_is quick inactive
	run thoxctl is-failed quick
	assert_status 1
}

@test "a policy of never leaves a failure failed, and success codes are none" {
	install_program leave 'os.exit(tonumber(... or 0))'
	define bad 'program = leave' 'args = 3' '[restart]' 'policy = never'
	define good 'program = leave' 'args = 3' '[restart]' 'success-codes = 3'
	thoxctl start --no-wait bad good
	wait_until state_is bad failed
	wait_until state_is good 'done'
	[ "$(field bad 'instances[0].last_end.code')" -eq 3 ]
}

@test "on-limit starts another service" {
	install_program quick 'os.exit(1)'
	define rescue 'program = stay'
	define quick 'program = quick' '[restart]' 'limit = 1/1min' 'on-limit = start rescue'
	thoxctl start --no-wait quick
	wait_until state_is rescue running
	state_is quick failed
}

@test "a oneshot is done when it has ended, and can be run again" {
	install_program once 'print("worked") os.exit(tonumber(... or 0))'
	define once 'program = once' 'type = oneshot'
	run thoxctl start once
	assert_status 0
	state_is once 'done'
	thoxctl start once
	wait_until logged_times once worked 2
	define fails 'program = once' 'type = oneshot' 'args = 7'
	run thoxctl start fails
	assert_status 1
	assert_output_has "fails: failed" "it ended by itself"
}

@test "what is required starts before, what requires stops before" {
	define db 'program = stay'
	define app 'program = stay' '[order]' 'requires = db'
	define web 'program = stay' '[order]' 'requires = app' 'after = db'
	run thoxctl start --dry-run web
	assert_status 0
	[ "${lines[0]}" = " 1. start db" ]
	[ "${lines[1]}" = " 2. start app" ]
	[ "${lines[2]}" = " 3. start web" ]
	[ "$(thoxctl --json ps | gojq length)" -eq 0 ]
	thoxctl start web
	state_is db running
	state_is app running
	run thoxctl stop --dry-run db
	[ "${lines[0]}" = " 1. stop web" ]
	[ "${lines[1]}" = " 2. stop app" ]
	[ "${lines[2]}" = " 3. stop db" ]
	run thoxctl restart --dry-run app
	[ "$(tr -d '\n' <<<"$output")" = " 1. stop web 2. stop app 3. start app 4. start web" ]
	thoxctl stop db
	state_is web inactive
	[ "$(thoxctl --json ps | gojq length)" -eq 0 ]
	run thoxctl tree --services
	assert_output_has "web inactive" "└─ app inactive" "   └─ db inactive"
	run -4 thoxctl tree nobody
	assert_output_has "no such service: nobody"
	run thoxctl tree app
	[ "${lines[0]}" = "app inactive" ]
	[ "${lines[1]}" = "└─ db inactive" ]
}

@test "what is independent starts side by side" {
	define a 'program = stay'
	define b 'program = stay'
	define c 'program = stay' '[order]' 'wants = a b nobody'
	run thoxctl start --dry-run c
	[ "${lines[0]}" = " 1. start a" ]
	[ "${lines[1]}" = "    start b" ]
	[ "${lines[2]}" = " 2. start c" ]
	thoxctl start c
	thoxctl is-active a b c
}

@test "a cycle is refused with its path, and something missing by its name" {
	define a 'program = stay' '[order]' 'requires = b'
	define b 'program = stay' '[order]' 'requires = c'
	run thoxctl start a
	assert_status 1
	assert_output_has "b requires c, which is not there"
	define c 'program = stay' '[order]' 'after = a'
	run thoxctl start a
	assert_status 1
	assert_output_has "a -> b -> c -> a"
	[ "$(thoxctl --json ps | gojq length)" -eq 0 ]
	thoxctl start c
}

@test "what requires a service that fails is not started, and says why" {
	install_program quick 'os.exit(1)'
	define db 'program = quick' 'type = oneshot'
	define app 'program = stay' '[order]' 'requires = db'
	define log 'program = stay' '[order]' 'wants = db'
	run thoxctl start app log
	assert_status 1
	assert_output_has "app: inactive: db, which it requires, did not start"
	state_is app inactive
	state_is log running
}

@test "names are checked, suggested, and may be patterns" {
	define web-a 'program = stay'
	define web-b 'program = stay'
	define other 'program = stay'
	run thoxctl start webba
	assert_status 4
	run thoxctl start web-aa
	assert_status 4
	assert_output_has "no such service: web-aa; did you mean 'web-a'?"
	run thoxctl start ../x
	assert_status 2
	run thoxctl start 'x*'
	assert_status 4
	assert_output_has "no service matches x*"
	thoxctl start 'web-*'
	thoxctl is-active web-a
	thoxctl is-active web-b
	run thoxctl is-active other
	assert_status 3
	[ "$output" = inactive ]
	thoxctl stop '*'
	[ "$(thoxctl --json ps | gojq length)" -eq 0 ]
}

@test "a template is started by instance, and its instances are on their own" {
	define worker 'program = stay' 'args = --queue %i'
	run thoxctl start worker
	assert_status 1
	assert_output_has "it is a template: name an instance"
	thoxctl start worker:blue worker:red
	wait_until logged worker:blue "stays	--queue	blue"
	wait_until logged worker:red "stays	--queue	red"
	thoxctl stop worker:blue
	state_is worker:red running
	run thoxctl list
	assert_output_has "worker:red" template
	define plain 'program = stay'
	run thoxctl start plain:x
	assert_status 1
	assert_output_has "it is no template"
}

@test "instances of a service run together" {
	define many 'program = stay' 'instances = 3'
	thoxctl start many
	[ "$(thoxctl --json ps | gojq length)" -eq 3 ]
	run thoxctl list
	assert_output_has "running 3/3"
	run thoxctl status many
	assert_output_has many:1 many:2 many:3
	kill -KILL "$(pid_of_service many)"
	wait_until bash -c "[[ \$(thoxctl --json list many | gojq .[0].instances_running) == 3 ]]"
	thoxctl stop many
	[ "$(thoxctl --json ps | gojq length)" -eq 0 ]
	define numbered 'program = stay' 'instances = 2' 'args = %i'
	thoxctl start numbered
	wait_until logged numbered "stays	1"
	wait_until logged numbered "stays	2"
}

@test "enabled services come up with the instance, and enablement is remembered" {
	define always 'program = stay' 'autostart = yes'
	define never 'program = stay'
	run thoxctl is-enabled never
	assert_status 1
	[ "$output" = disabled ]
	thoxctl enable never
	thoxctl disable always
	thoxctl shutdown
	thoxctl status >/dev/null
	wait_until state_is never running
	state_is always inactive
	run thoxctl status always
	assert_output_has "disabled (by its definition: enabled)"
	thoxctl enable --now always
	state_is always running
	thoxctl disable --now never always
	state_is never inactive
	thoxctl shutdown
	thoxctl status >/dev/null
	[ "$(thoxctl --json ps | gojq length)" -eq 0 ]
}

@test "a service that cannot start keeps no other from coming up" {
	define a 'program = stay' 'autostart = yes' '[order]' 'requires = b'
	define b 'program = stay' '[order]' 'requires = a'
	define c 'program = stay' 'autostart = yes'
	thoxctl shutdown
	thoxctl status >/dev/null
	wait_until state_is c running
	state_is a inactive
}

@test "a service that does not heed terminate is killed after its time" {
	install_program deaf 'print("up") while true do pcall(os.sleep, 60) end'
	define deaf 'program = deaf' '[stop]' 'timeout = 100ms'
	thoxctl start deaf
	wait_until logged deaf up
	run thoxctl stop deaf
	assert_status 0
	state_is deaf inactive
}

@test "a changed definition holds from the next start, a removed one until the stop" {
	define greeter 'program = stay' 'args = one'
	thoxctl start greeter
	define greeter 'program = stay' 'args = two'
	run thoxctl status greeter
	assert_output_has "changed since its start"
	kill -KILL "$(pid_of_service greeter)"
	wait_until logged greeter "stays	two"
	run thoxctl status greeter
	[[ $output != *"changed since"* ]]
	thoxctl store rm services/greeter
	run thoxctl status greeter
	assert_status 0
	assert_output_has removed
	run thoxctl restart greeter
	assert_status 1
	assert_output_has "its definition was removed"
	thoxctl stop greeter
	run thoxctl status greeter
	assert_status 4
}

@test "a definition with errors leaves the old one in use, and says why" {
	need_mount
	define greeter 'program = stay'
	thoxctl start greeter
	thoxctl unmount
	# Somebody writes past the checks.
	"$THOX_LIBEXEC_DIR/thoxfs" --store "$THOX_DIR/store" -o noverify "$mnt" &
	wait_until test -d "$mnt/services"
	printf '[service]\nprogram = stay\nredy = bind\n' >"$mnt/services/greeter"
	fusermount3 -u "$mnt"
	wait
	run thoxctl restart greeter
	assert_status 1
	assert_output_has "greeter:3: no such key in [service]: 'redy'"
	state_is greeter running
	thoxctl stop greeter
}

@test "a new version of the program takes over, and the old one leaves" {
	local pid

	define greeter 'program = stay' 'reload = restart'
	thoxctl start greeter
	pid=$(pid_of_service greeter)
	install_program stay 'print("second") while true do os.sleep(60) end'
	wait_until logged greeter second
	wait_until is_gone "$pid"
	wait_until state_is greeter running
	[ "$(field greeter 'instances[0].version')" -eq 2 ]
	[ "$(field greeter restarts)" -eq 0 ]
	# The same text again is nothing new.
	pid=$(pid_of_service greeter)
	install_program stay 'print("second") while true do os.sleep(60) end'
	thoxctl list >/dev/null
	[ "$(pid_of_service greeter)" -eq "$pid" ]
	state_is greeter running
}

@test "a new version that dies in its first seconds is rejected, and the old one stays" {
	local pid

	define greeter 'program = stay' 'reload = restart'
	thoxctl start greeter
	pid=$(pid_of_service greeter)
	install_program stay 'error("not today")'
	wait_until ends_with_reason greeter "the new version failed, the old one stays"
	[ "$(pid_of_service greeter)" -eq "$pid" ]
	state_is greeter running
	wait_until is_taken_back greeter stay
	run thoxctl store cat stay
	assert_output_has 'print("stays"'
	run thoxctl store cat stay@rejected
	assert_output_has 'not today'
}

# A program that serves NAME and says which one it is.
serving() {
	printf 'local which = "%s"\n' "$1"
	cat <<-'LUA'
		os.bind("greeter")
		while true do
			local e = os.pull("call")
			os.answer(e.cid, os.status.OK, which)
			if which == "bad" then error("too early") end
		end
	LUA
}

# It calls as fast as it can until a file says that it is enough.
calling() {
	cat <<-'LUA'
		local seen, failed, n = {}, 0, 0
		repeat
			local status, who = os.wait(os.call(0, "greeter.greet", n), 10)
			if status == os.status.OK then
				if not seen[who] then print("seen " .. who) io.stdout:flush() end
				seen[who] = true
			else
				failed = failed + 1
				print("failed", status, who)
			end
			n = n + 1
		until who == "last"
		print("calls", n, "failed", failed)
	LUA
}

@test "ready = bind waits for the names, and a service may bind nothing else" {
	install_program late 'os.sleep(0.2) os.bind("late")
		print(pcall(os.bind, "other")) while true do os.sleep(60) end'
	define late 'program = late' 'ready = bind'
	thoxctl start late
	[ "$(field late 'instances[0].names[0]')" = late ]
	wait_until logged late "bind: DENIED"
	run thoxctl bus
	assert_output_has late
	[[ $output != *other* ]]
	install_program never 'while true do os.sleep(60) end'
	define never 'program = never' 'ready = bind' 'start-timeout = 200ms' '[restart]' 'policy = never'
	run thoxctl start never
	assert_status 1
	assert_output_has "it was not ready in time"
}

@test "a caller at full speed loses no call while new versions take over" {
	local i

	serving one | install_program greeter
	define greeter 'program = greeter' 'ready = bind' 'reload = restart'
	thoxctl start greeter
	calling >caller.lua
	thox-exec ./caller.lua >calls &
	wait_until has_line calls "seen one"
	for i in two three last; do
		serving "$i" | install_program greeter
		[[ $i == last ]] || wait_until has_line calls "seen $i"
		wait_until state_is greeter running
	done
	wait
	run cat calls
	assert_output_has "failed	0"
	[[ $output != *"failed	1"* ]]
}

@test "a version that dies after it took over gives its names back" {
	local pid

	serving one | install_program greeter
	define greeter 'program = greeter' 'ready = bind' 'reload = restart'
	thoxctl start greeter
	pid=$(pid_of_service greeter)
	serving bad | install_program greeter
	wait_until bash -c '[[ $(thoxctl call greeter.greet) == bad ]]'
	wait_until ends_with_reason greeter "the new version failed, the old one stays"
	[ "$(pid_of_service greeter)" -eq "$pid" ]
	[ "$(thoxctl call greeter.greet)" = one ]
	wait_until is_taken_back greeter greeter
}

@test "a service may call what its definition allows, and nothing else" {
	serving one | install_program greeter
	define greeter 'program = greeter' 'ready = bind'
	install_program asks 'for _, name in ipairs{"greeter.a", "greeter.b"} do
		local status, text = os.wait(os.call(0, name))
		print(name, status, text) end'
	define asks 'program = asks' 'type = oneshot' '[order]' 'requires = greeter' \
		'[allow]' 'call = greeter.* !greeter.b'
	thoxctl start asks
	wait_until logged asks "greeter.a	0	one"
	wait_until logged asks "greeter.b	3	"
}

@test "a service without reload stays with its version, and rollback names the old text" {
	local pid

	define greeter 'program = stay'
	thoxctl start greeter
	pid=$(pid_of_service greeter)
	install_program stay 'print("second") while true do os.sleep(60) end'
	run thoxctl reload greeter
	assert_status 1
	assert_output_has "greeter cannot reload"
	[ "$(pid_of_service greeter)" -eq "$pid" ]
	run thoxctl rollback greeter
	assert_status 0
	run thoxctl store cat stay
	assert_output_has 'print("stays"'
}

@test "stop during start during reload leaves nothing behind" {
	define greeter 'program = stay' 'reload = restart'
	thoxctl start greeter
	install_program stay 'print("second") while true do os.sleep(60) end'
	wait_until state_is greeter reloading
	thoxctl stop greeter
	state_is greeter inactive
	[ "$(thoxctl --json ps | gojq length)" -eq 0 ]
	run thoxctl store log stay
	[[ $output != *rejected* ]]
}

@test "a group restarts as its policy says" {
	define group 'program = stay' '[restart]' 'policy-group = rest'
	define a 'program = stay' '[order]' 'part-of = group'
	define b 'program = stay' '[order]' 'part-of = group' 'after = a'
	define c 'program = stay' '[order]' 'part-of = group'
	thoxctl start group a b c
	local b c
	b=$(pid_of_service b) c=$(pid_of_service c)
	kill -KILL "$(pid_of_service a)"
	wait_until is_gone "$b"
	wait_until state_is b running
	[ "$(pid_of_service c)" -eq "$c" ]
	thoxctl stop group
	[ "$(thoxctl --json ps | gojq length)" -eq 0 ]
}

@test "two starts at once are one, and a stop in between wins" {
	define slow 'program = stay'
	thoxctl start slow &
	thoxctl start slow &
	thoxctl restart slow
	wait
	state_is slow running
	thoxctl stop slow
	[ "$(thoxctl --json ps | gojq length)" -eq 0 ]
}

@test "waiting ends at the time-out, and the order goes on" {
	install_program slow 'os.sleep(60)'
	define slow 'program = slow' 'type = oneshot'
	run thoxctl start --timeout 100ms slow
	assert_status 6
	assert_output_has "not done in time"
	state_is slow starting
	thoxctl stop slow
}

@test "a start that times out is a failure" {
	install_program slow 'os.sleep(60)'
	define slow 'program = slow' 'type = oneshot' 'start-timeout = 100ms'
	run thoxctl start slow
	assert_status 1
	assert_output_has "slow: failed" "it was not ready in time"
}

@test "cat prints a definition, edit publishes one, who-can reads them" {
	define greeter 'program = stay' '[allow]' 'call = fs.** !fs.write'
	run thoxctl cat greeter
	assert_status 0
	[ "${lines[1]}" = "program = stay" ]
	run thoxctl who-can fs.read
	assert_status 0
	assert_output_has "greeter" "fs.**"
	run thoxctl who-can fs.write
	assert_status 0
	[ -z "$output" ]
	EDITOR="sed -i s/write/read/" thoxctl edit greeter
	run thoxctl who-can fs.read
	[ -z "$output" ]
	EDITOR="sed -i s/program/prgram/" run thoxctl edit greeter
	assert_status 5
	assert_output_has "rejected: greeter:2" "the text stays in"
	rm -f /tmp/thox-service.*
	EDITOR=true run thoxctl edit greeter
	assert_status 0
	assert_output_has "not changed"
}

@test "of several names the one that is none is told" {
	define greeter 'program = stay'
	run thoxctl start greeter $'a\x01b'
	assert_status 2
	assert_output_has "'a\x01b' is not a name of a service: a name is made of"
	state_is greeter inactive
	run thoxctl stop greeter ../x
	assert_status 2
	assert_output_has "'../x' is not a name of a service: a name does not start with a dot"
	run thoxctl stop greeter $'\xff'
	assert_status 2
	assert_output_has "'\xff' is not a name of a service: it is no UTF-8"
}

@test "what systemctl says is understood" {
	define greeter 'program = stay'
	thoxctl start greeter
	run thoxctl list-units
	assert_output_has greeter
	thoxctl reset-failed greeter
	thoxctl try-restart greeter
	thoxctl stop greeter
	thoxctl try-restart greeter
	state_is greeter inactive
	run thoxctl daemon-reload
	assert_status 0
	assert_output_has "not needed"
	run thoxctl show greeter
	assert_output_has "name:" "state:"
}

@test "the end of the instance stops services in their order" {
	install_program tell 'local pid = ... print("up")
		while true do os.sleep(60) end'
	define db 'program = stay'
	define app 'program = stay' '[order]' 'requires = db'
	thoxctl start app
	thoxctl shutdown
	nothing_stays
	thoxctl status >/dev/null
	state_is app inactive
}

@test "limits and identity of a service are its definition's" {
	define greeter 'program = stay' '[limits]' 'memory = 32M'
	thoxctl start greeter
	run thoxctl status "$(pid_of_service greeter)"
	assert_status 0
	assert_output_has "32M"
}

@test "commands for services are used wrongly with 2" {
	local command

	for command in start stop restart try-restart reload reset enable \
		disable show is-active is-enabled is-failed cat edit rollback who-can; do
		run thoxctl "$command"
		assert_status 2
	done
	run thoxctl start --timeout whenever x
	assert_status 2
	run thoxctl edit a b
	assert_status 2
	run thoxctl start a:b:c
	assert_status 2
}

lacks_streams() {
	[[ $(thoxctl --json show dies) == *"too many streams are open"* ]]
}

starts_again() {
	(($(field dies restarts) > $1)) && ! lacks_streams
}

@test "where thox-logd does not keep up, one that dies again and again waits for it" {
	local logd restarts

	thoxctl shutdown
	(ulimit -n 400 && thoxctl status >/dev/null) # a third of them for streams
	install_program dies 'print "dies" os.exit(1)'
	define dies 'program = dies' '[restart]' 'delay = 10ms' 'max-delay = 20ms' 'limit = none'
	thoxctl start --no-wait dies
	wait_until logged dies dies
	logd=$(pgrep -f "^[^ ]*/thox-logd $THOX_DIR/")
	kill -STOP "$logd"
	wait_until lacks_streams
	restarts=$(field dies restarts)
	[[ $(thox-exec -e 'return 6 * 7') == 42 ]]
	kill -CONT "$logd"
	wait_until starts_again $((restarts + 3))
	thoxctl stop dies
}
