#!/usr/bin/env bats
# Programs that look after services.

load helper
load services

setup() {
	start_thox
	cd "$THOX_DIR" || return 1
	install_program stay 'print("stays") while true do os.sleep(60) end'
	define db 'program = stay'
	define web 'program = stay' '[order]' 'requires = db'
}

teardown() {
	cd /
	stop_thox
}

# asks ARG...: a service that may control web, and makes these calls.
asks() {
	install_program asks <<-'LUA'
		for _, text in ipairs(arg) do
			local name, what = text:match("(%S+) ?(.*)")
			local status, value = os.wait(os.call(0, name, table.unpack(what ~= "" and {what} or {})))
			if type(value) == "table" then value = value.name or value[1] and value[1].name end
			print(name, what, status, value)
		end
	LUA
	define asks 'program = asks' 'type = oneshot' "args = $*" \
		'[allow]' 'call = service.**' 'run = web'
	thoxctl start asks
}

@test "a program with the right starts and stops a service" {
	asks '"service.start web"'
	wait_until logged asks "service.start	web	0	running"
	state_is web running
	state_is db running
	asks '"service.status web" "service.stop web" service.list'
	wait_until logged asks "service.status	web	0	web"
	wait_until logged asks "service.stop	web	0	inactive"
	wait_until logged asks "service.list		0	web"
	state_is web inactive
}

@test "it restarts one, too, and has it reload" {
	thoxctl start web
	first=$(pid_of_service web)
	asks '"service.reload web" "service.restart web"'
	wait_until logged asks "service.restart	web	0	running"
	logged asks "service.reload	web	1	its definition has no reload"
	second=$(pid_of_service web)
	[[ $first != "$second" ]]

	define web 'program = stay' 'reload = restart'
	asks '"service.restart web" "service.reload web"'
	wait_until logged asks "service.reload	web	0	reloading"
	[[ $(pid_of_service web) != "$second" ]]
	thoxctl stop web
	asks '"service.reload web"'
	wait_until logged asks "service.reload	web	1	it does not run"
}

@test "a reload that the new process does not survive is told" {
	install_program stay 'local keys = require("storage").keys()
		if keys:get("been") then os.exit(1) end
		keys:set("been", true)
		os.ready()
		os.sleep(600)'
	define web 'program = stay' 'reload = restart' 'ready = notify'
	thoxctl start web
	asks '"service.reload web"'
	wait_until logged asks "service.reload	web	1	it is running: "
	state_is web running
}

@test "without the right there is nothing to be had" {
	asks '"service.start db" "service.stop db" "service.status db"'
	wait_until logged asks "service.start	db	3	"
	wait_until logged asks "service.stop	db	3	"
	wait_until logged asks "service.status	db	3	"
	state_is db inactive
	run thox-exec --deny call='service.**' -e 'print(os.wait(os.call(0, "service.list")))'
	assert_output_has "3	"
}

@test "what cannot be done is told" {
	install_program stay 'os.exit(1)'
	define web 'program = stay' 'type = oneshot'
	asks '"service.start web" "service.start nobody" "service.start ../x" service.start'
	wait_until logged asks "service.start	web	1	it is failed"
	wait_until logged asks "service.start	nobody	3	"
	wait_until logged asks "service.start	../x	7	"
	wait_until logged asks "service.start		7	"
}

@test "who has given up waiting is forgotten" {
	install_program stay 'print("stays") os.sleep(60)'
	define web 'program = stay' 'type = oneshot'
	install_program asks 'print("answered", os.wait(os.call{ctx = 0, name = "service.start", args = {"web"}, timeout = 0.3}))'
	define asks 'program = asks' 'type = oneshot' '[allow]' 'call = service.**' 'run = web'
	thoxctl start asks
	wait_until logged asks "answered	5"
	state_is web starting
	thoxctl stop web
}
