#!/usr/bin/env bats
# Processes that start others, from Lua.

load helper
load talk

setup_file() {
	start_thox '[thoxd]' 'mount = no' 'label = here' \
		'[exec]' 'allow-store = **' 'allow-run = **'
	export mnt thox_sessions
	install_program shout 'for line in io.lines() do print(line:upper()) end'
	install_program leave 'print(table.concat(arg, " ")) os.exit(7)'
}

teardown_file() {
	stop_thox
}

teardown() {
	end_clients
}

@test "a process knows its PID, its program and its machine" {
	passes <<-'LUA'
		check(os.pid() > 1)
		is(os.name(), "-e")
		is(os.label(), "here")
	LUA
}

@test "a child's arguments, output and exit code come back" {
	passes <<-'LUA'
		local reader, writer = os.pipe()
		local pid = os.run_program("leave", {args = {"a", "b c"}, stdout = writer})
		is(reader:read("a"), "a b c\n")
		local code, signal = os.wait_exit(pid, 20)
		is(code, 7)
		is(signal, nil)
	LUA
}

@test "pipes join children, and an end that was given is closed here" {
	passes <<-'LUA'
		local input, to = os.pipe()
		local from, output = os.pipe()
		local pid = os.run_program("shout", {stdin = input, stdout = output})
		check(not pcall(input.read, input))
		to:write("one\n", "two\n")
		to:close()
		is(from:read("a"), "ONE\nTWO\n")
		is(os.wait_exit(pid, 20), 0)
	LUA
}

@test "a text is a child's input, and null is empty" {
	passes <<-'LUA'
		local r, w = os.pipe()
		local pid = os.run_program("shout", {stdin = {text = "quiet\n"}, stdout = w})
		is(r:read("a"), "QUIET\n")
		is(os.wait_exit(pid, 20), 0)
		r, w = os.pipe()
		os.run_program("shout", {stdin = "null", stdout = w})
		is(r:read("a"), "")
	LUA
}

@test "a text is run under a name, with an environment of its own" {
	passes <<-'LUA'
		local r, w = os.pipe()
		os.run_code("print(os.name(), os.getenv('COLOUR'), ...)",
		  {name = "painter", env = {COLOUR = "red"}, args = {"x"}, stdout = w})
		is(r:read("a"), "painter\tred\tx\n")
	LUA
}

@test "an exit is an event, and can be had once" {
	passes <<-'LUA'
		local pid = os.run_code("os.exit(4)")
		local e = os.pull({type = "exit", pid = pid}, 20)
		is(e.code, 4)
		pid = os.run_code("while true do end")
		os.kill(pid)
		local code, signal = os.wait_exit(pid, 20)
		is(code, nil)
		is(signal, 9)
		is((os.wait_exit(pid, 0.1)), nil)
	LUA
}

@test "a child that is asked to terminate may end in its own way" {
	passes <<-'LUA'
		local r, w = os.pipe()
		local pid = os.run_code([[
		  os.pull("terminate", 0) -- asked for: it does not end by itself
		  os.task(function()
		    os.pull("terminate") print("bye") os.exit(5)
		  end)
		  print("up") io.stdout:flush()
		  os.pull("nothing")]], {stdout = w})
		is(r:read("l"), "up")
		os.terminate(pid)
		is(r:read("a"), "bye\n")
		is(os.wait_exit(pid, 20), 5)
	LUA
}

@test "texts are read and published, and a wrong one is refused" {
	passes <<-'LUA'
		is(os.set_program("made", "print('made')"), 1)
		local text, version = os.get_program("made")
		is(text, "print('made')")
		is(version, 1)
		is(os.get_program("nobody"), nil)
		local ok, why = pcall(os.set_program, "made", "print(")
		check(not ok and why.status == status.INVALID, tostring(why))
		check(tostring(why):find("made:1:"), tostring(why))
		is(os.set_library("made", "return 42"), 1)
		is(require("made"), 42)
		os.set_runtime("made", "function made() return 'rt' end")
		local r, w = os.pipe()
		os.run_code("print(made())", {runtime = "made", stdout = w})
		is(r:read("a"), "rt\n")
	LUA
}

@test "a parent stands between a child and its authority" {
	passes <<-'LUA'
		local ctx = os.context()
		local r, w = os.pipe()
		local pid = os.run_code([[
		  print(os.wait(os.call(0, "hello", 5)))
		  local ok, why = pcall(os.bind, "foo")
		  print(ok, why)]], {context = ctx, stdout = w})
		check(os.up(pid))
		local e = os.pull("call", 20)
		is(e.name, "hello")
		is(e.pid, pid)
		os.answer(e.cid, status.OK, "parent says", e.args[1])
		e = os.pull("call", 20)
		is(e.name, "bind")
		os.answer(e.cid, status.DENIED, "no names for you")
		is(r:read("a"), "0\tparent says\t5\n" ..
		  "false\tbind: DENIED: no names for you\n")
		os.wait_exit(pid, 20)
	LUA
}

@test "what is forwarded to up is done as the child" {
	passes <<-'LUA'
		local ctx = os.context()
		local r, w = os.pipe()
		local pid = os.run_code("print(select(2, os.wait(os.call(0, 'process.info'))).pid == os.pid())",
		  {context = ctx, stdout = w})
		local up = os.up(pid)
		local e = os.pull("call", 20)
		is(e.name, "process.info")
		os.answer(e.cid, os.wait(os.call(up, e.name, table.unpack(e.args))))
		is(r:read("a"), "true\n")
	LUA
}

@test "a child has no more authority than its parent" {
	run thox-exec --deny "secret.**" -e '
		local r, w = os.pipe()
		os.run_code([[
		  print(os.wait(os.call(0, "secret.read")) == os.status.DENIED)
		  local r, w = os.pipe()
		  os.run_code("print(os.wait(os.call(0, [=[secret.read]=])) == os.status.DENIED)", {stdout = w, policy = {allow = {call = {"**"}}}})
		  print(r:read("a"))]], {stdout = w, policy = {allow = {call = {"**"}}}})
		io.write(r:read("a"))'
	echo "$output"
	[ "${lines[0]}" = true ]
	[ "${lines[1]}" = true ]
}

@test "misuse says what was wrong" {
	passes <<-'LUA'
		local function fails(pattern, f, ...)
		  local ok, why = pcall(f, ...)
		  check(not ok and tostring(why):find(pattern), tostring(why))
		end
		fails("string expected", os.run_program)
		fails("no such program", os.run_program, "nobody")
		fails("nonsense: .* not know", function() os.run_code("x", {nonsense = 1}) end)
		fails("context: a context is wanted", function() os.run_code("x", {context = 99}) end)
		fails("string expected", os.bind, {})
		fails("number expected", os.wait_exit, "x")
	LUA
}

@test "writing to a pipe that nobody reads is an error, and to stdout the end" {
	run -0 thox-exec -e '
		local reader, writer = os.pipe()
		reader:close()
		-- thoxd has one, too, until it hears of it
		local ok, why, code
		repeat ok, why, code = writer:write("x") until not ok
		print(ok, why, code)
		io.stdout:flush()'
	[[ $output == $'nil\tBroken pipe\t32' ]]
	run bash -o pipefail -c 'thox-exec -e "
		os.pipe()
		for i = 1, 100000 do print(i) end
		io.stderr:write(\"not reached\")" | head -n 1'
	[ "$status" -eq 141 ]
	[[ $output == 1 ]]
}

@test "a context among a child's arguments can be called" {
	install_program child 'local n, ctx = ...
		print(n, select(2, os.wait(os.call(ctx, "add", n))))'
	run -0 thox-exec -e '
		local ctx = os.context()
		os.task(function()
			local e = os.pull("call")
			os.answer(e.cid, 0, e.args[1] + 1)
		end)
		os.wait_exit(os.run_program("child", {args = {"41", ctx}}))'
	[[ $output == $'41\t42.0' || $output == $'41\t42' ]]
}
