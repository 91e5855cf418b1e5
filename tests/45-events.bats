#!/usr/bin/env bats
# Events: which task gets them, and functions that serve.

load helper
load talk

setup_file() {
	start_thox '[thoxd]' 'mount = no' 'grace-time = 30s' \
		'[exec]' 'allow-run = **'
	export mnt thox_sessions
}

teardown_file() {
	stop_thox
}

teardown() {
	end_clients
}

@test "a filter is a type, some types, or fields" {
	passes <<-'LUA'
		os.queue{type = "a", n = 1}
		os.queue{type = "b", n = 2}
		os.queue{type = "a", n = 3, x = "y"}
		os.queue{type = "c", n = 4}
		os.queue{type = "a", n = 5, x = "z"}
		is(os.pull("b").n, 2)
		is(os.pull({"c", "b"}).n, 4)
		is(os.pull{type = "a", x = "z"}.n, 5)
		is(os.pull{x = "y"}.n, 3)
		is(os.pull({"a", "c", n = 7}, 0), nil)
		is(os.pull().n, 1)
		is(os.pull(nil, 0), nil)
		check(not pcall(os.pull, 7))
		check(not pcall(os.pull, {1, 2}))
		check(not pcall(os.queue, {}))
		check(not pcall(os.queue, "a"))
	LUA
}

@test "what a task leaves stays queued for it, in order" {
	passes <<-'LUA'
		for i = 1, 300 do os.queue{type = i % 3 == 0 and "x" or "y", n = i} end
		for i = 3, 300, 3 do is(os.pull("x").n, i) end
		for i = 1, 300 do
		  if i % 3 ~= 0 then is(os.pull("y").n, i) end
		end
		is(os.pull(nil, 0), nil)
	LUA
}

@test "an event goes to every task that was there and whose filter admits it" {
	passes <<-'LUA'
		local got = {} -- of each, who alone writes it
		local function puller(name, filter)
		  got[name] = ""
		  os.task(function()
		    while true do got[name] = got[name] .. os.pull(filter).n end
		  end)
		end
		puller("all", nil)
		puller("a", "a")
		puller("ab", {"a", "b"})
		os.queue{type = "a", n = 1}
		os.queue{type = "b", n = 2}
		os.queue{type = "c", n = 3}
		-- the last that each can get, after which it could get another
		os.queue{type = "a", n = 9}
		for name in pairs(got) do
		  while not got[name]:find("9") do os.sleep(0.001) end
		end
		os.sleep(0)
		is(got.all, "1239")
		is(got.a, "19")
		is(got.ab, "129")
		-- and to the main task, which was not waiting
		is(os.pull("c").n, 3)
		is(os.pull().n, 1)
		is(os.pull().n, 2)
		is(os.pull().n, 9)
		-- a later task does not see them
		local later
		os.task(function() later = os.pull(nil, 0.05) end)
		os.sleep(0.1)
		is(later, nil)
		finish()
		os.exit(0, true)
	LUA
}

@test "a call that nobody has taken is there for tasks that begin later, once" {
	passes <<-'LUA'
		local ctx = os.context()
		local child = os.run_code([[
		  local late, ended = os.call(0, "late"), os.call(0, "ended")
		  os.push(0, "after")
		  print(os.wait(late)) print(os.wait(ended))]], {context = ctx})
		os.pull("push") -- the calls came before: this task alone was there

		-- one that leaves them and ends, one that takes one, and the last
		os.task(function() is(os.pull("alarm", 0), nil) end)
		local taken
		os.task(function()
		  local e = os.pull{type = "call", name = "late"}
		  taken = true
		  os.sleep(0.01) -- others look meanwhile
		  os.answer(e.cid, os.status.OK, "in time")
		end)
		while not taken do os.sleep(0) end
		os.task(function()
		  local e = os.pull("call")
		  is(e.name, "ended")
		  os.answer(e.cid, os.status.OK, "too")
		  is(os.pull("call", 0), nil)
		end)
		is(os.wait_exit(child), 0)
	LUA
}

@test "the queue has an end" {
	passes <<-'LUA'
		local n = 0
		local ok, why = pcall(function()
		  while true do os.queue{type = "x"} n = n + 1 end
		end)
		check(not ok and why:find("queue is full"), why)
		check(n >= 1000 and n < 100000, n)
		for _ = 1, n do is(os.pull("x").type, "x") end
		os.queue{type = "x"}
	LUA
}

@test "alarms come when they are due" {
	passes <<-'LUA'
		local late, soon = os.alarm(3600), os.alarm(0.05)
		check(late ~= soon)
		is(os.pull("alarm").id, soon)
		local other = os.alarm(0.1)
		is(os.pull{type = "alarm", id = other}.id, other)
		is(os.pull("alarm", 0), nil)
		check(not pcall(os.alarm))
	LUA
}

@test "a push to the bus goes to all who listen, but its sender" {
	service listener <<-'LUA'
		os.listen(0, "news")
		is(call("clock"), status.OK) -- over the same link
		ready()
		local e = os.pull("push")
		is(e.name, "news.local")
		is(e.ctx, 0)
		is(e.program, "caster")
		is(math.type(e.pid), "integer")
		is(e.args[1], "hello")
		is(e.args[2].x, 1)
		e = os.pull("push")
		is(e.name, "news")
		is(os.pull("push", 0.1), nil)
	LUA
	spawn listener
	local first=$client first_out=$out
	spawn listener
	service caster <<-'LUA'
		os.listen(0, "news")
		os.push(0, "news.local", "hello", {x = 1})
		os.push(0, "other", 1)
		os.push(0, "newsletter", 1)
		os.push(0, "news")
		is(os.pull("push", 0.2), nil)
		finish()
	LUA
	run -0 thox-exec caster
	ended_with 0
	client=$first out=$first_out
	ended_with 0
}

@test "a context can be pushed to the bus" {
	service gets <<-'LUA'
		os.listen(0, "gifts")
		is(call("clock"), status.OK)
		ready()
		local e = os.pull("push")
		is(select(2, os.wait(os.call(e.args[1].ctx, "x", 20))), 21)
	LUA
	spawn gets
	passes <<-'LUA'
		local ctx = os.context()
		os.push(0, "gifts", {ctx = ctx})
		local e = os.pull{type = "call", ctx = ctx}
		os.answer(e.cid, status.OK, e.args[1] + 1)
		os.pull("close")
	LUA
	ended_with 0
}

@test "terminate ends a program that does not wait for it, and closes its variables" {
	service plain <<-'LUA'
		local guard <close> = setmetatable({}, {__close = function() print("closed") end})
		ready()
		while true do os.pull("call") end
	LUA
	spawn plain
	thoxctl terminate plain
	ended_with 143
	has_line "$out" closed
}

@test "terminate passes every filter of a program that has named it" {
	service named <<-'LUA'
		os.pull({"terminate"}, 0)
		ready()
		local e = os.pull{type = "call", pid = 7}
		print("got " .. e.type)
	LUA
	spawn named
	thoxctl terminate named
	ended_with 0
	has_line "$out" "got terminate"
}

@test "an interrupt is an event for who waits for it, and an error for others" {
	service asks <<-'LUA'
		os.pull("interrupt", 0) -- this task asks for it from now on
		ready()
		print("got " .. os.pull("interrupt").type)
	LUA
	spawn asks
	kill -INT "$client"
	ended_with 0
	has_line "$out" "got interrupt"
	service does_not <<-'LUA'
		ready()
		os.pull("call")
	LUA
	spawn does_not
	kill -INT "$client"
	ended_with 130
	has_line "$out" "interrupted!"
}

@test "a child's end is an event, with its code or signal" {
	install_program seven 'os.exit(7)'
	install_program forever 'while true do os.sleep(1) end'
	passes <<-'LUA'
		local pid = os.run_program("seven")
		local e = os.pull{type = "exit", pid = pid}
		is(e.code, 7)
		is(e.signal, nil)
		is(os.wait_exit(pid), 7)
		local nothing, why = os.wait_exit(pid)
		is(nothing, nil)
		is(why, "no such child")
		pid = os.run_program("forever")
		is(select(2, os.wait_exit(pid, 0.1)), "timeout")
		os.kill(pid)
		local code, signal = os.wait_exit(pid)
		is(code, nil)
		is(signal, 9)
		e = os.pull("exit")
		is(e.signal, 9)
	LUA
}

@test "functions serve in tasks of their own, beside a main task that waits" {
	service server <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "sum", function(request, a, b)
		  is(request.name, "sum.of")
		  is(request.ctx, 0)
		  is(math.type(request.pid), "integer")
		  check(request.label == os.label())
		  os.sleep(a / 100)
		  return a + b, request.program
		end)
		bind("sum")
		ready()
		os.pull("never")
	LUA
	spawn server
	passes <<-'LUA'
		local cids = {}
		for i = 20, 1, -1 do cids[i] = os.call(0, "sum.of", i, 1000) end
		for i = 1, 20 do
		  local s, sum, program = os.wait(cids[i])
		  is(s, status.OK)
		  is(sum, 1000 + i)
		  is(program, nil) -- a text has no name that counts
		end
	LUA
}

@test "the process goes on serving when its main function has returned" {
	service goes_on <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "counting", function(request)
		  N = (N or 0) + 1
		  if N == 3 then thox.stop() end
		  return N
		end)
		bind("counting")
		ready()
	LUA
	spawn goes_on
	passes <<-'LUA'
		is(select(2, call("counting.x")), 1)
		is(select(2, call("counting")), 2)
		is(select(2, call("counting.y.z")), 3)
	LUA
	ended_with 0
}

@test "a function's error is the answer: with its status, or with its text" {
	service fails <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "fails", function(request, how)
		  if how == "object" then
		    error{status = status.DENIED, message = "not you"}
		  elseif how == "passed" then
		    thox.invoke({0, "nobody.there"})
		  elseif how == "unsendable" then
		    return {x = print}
		  end
		  error(how)
		end)
		bind("fails")
		ready()
	LUA
	spawn fails
	passes <<-'LUA'
		local s, message = call("fails.x", "object")
		is(s, status.DENIED)
		is(message, "not you")
		s, message = call("fails.x", "a text")
		is(s, status.ERROR)
		check(message:find("fails:%d+: a text"), message)
		s, message = call("fails.x", "passed")
		is(s, status.NOT_FOUND)
		s, message = call("fails.x", "unsendable")
		is(s, status.ERROR)
		check(message:find("args%[1%].x: a function cannot be sent"), message)
		s, message = call("fails.x", {})
		is(s, status.ERROR)
	LUA
	has_line "$out" "a text"
	has_line "$out" "stack traceback:"
	! grep -q "not you" "$out"
}

@test "a function that serves knows when nobody waits any more" {
	service watches <<-'LUA'
		local thox = require "thox"
		local n = 0
		thox.serve(0, "watches", function(request)
		  check(request.deadline > 0)
		  while not request.cancelled() do n = n + 1 end
		  print("cancelled after a while", n > 0)
		  thox.stop()
		end)
		thox.serve(0, "watches.begun", function()
		  while n == 0 do os.sleep(0.001) end
		end)
		bind("watches")
		ready()
	LUA
	spawn watches
	passes <<-'LUA'
		local cid = os.call{name = "watches.x", timeout = 3}
		is(call("watches.begun"), status.OK)
		is(os.wait(cid), status.TIMEOUT)
	LUA
	ended_with 0
	has_line "$out" "cancelled after a while	true"
}

@test "functions hear pushes, and the end of an object" {
	service hears <<-'LUA'
		local thox = require "thox"
		local object = os.context()
		thox.serve(object, "", function(request, ...) return request.name, ... end)
		thox.last(object, function() print("nobody holds it") thox.stop() end)
		thox.serve(0, "hears", function() return object end)
		thox.hear(object, "said", function(request, text)
		  print("heard", request.name, text) io.stdout:flush()
		end)
		bind("hears")
		ready()
	LUA
	spawn hears
	passes <<-'LUA'
		local _, object = call("hears.x")
		local s, name, a, b = os.wait(os.call(object, "any.name", 1, nil))
		is(s, status.OK)
		is(name, "any.name")
		is(a, 1)
		os.push(object, "said.loud", "hello")
		is(os.wait(os.call(object, "x")), status.OK)
		object:close()
	LUA
	ended_with 0
	has_line "$out" "heard	said.loud	hello"
	has_line "$out" "nobody holds it"
}

@test "a function that is to end the process gracefully is called for terminate" {
	service graceful <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "graceful", function() return 1 end)
		thox.terminate(function()
		  os.sleep(0.05)
		  print("saved")
		  os.exit(4)
		end)
		bind("graceful")
		ready()
	LUA
	spawn graceful
	thoxctl terminate graceful
	ended_with 4
	has_line "$out" saved
}

@test "a task that is terminated gets one terminate event, and is removed" {
	passes <<-'LUA'
		local task = require "task"
		local seen = {}
		local id = os.task(function()
		  local guard <close> = setmetatable({}, {__close = function()
		    seen[#seen + 1] = "closed"
		  end})
		  local e = os.pull("call")
		  seen[#seen + 1] = e.type
		  os.pull("call")
		  seen[#seen + 1] = "not reached"
		end)
		local function waits()
		  for _, t in ipairs(task.list()) do
		    if t.id == id then return t.waiting end
		  end
		end
		while not waits() do os.sleep(0.001) end
		task.terminate(id)
		task.wait(id)
		is(table.concat(seen, " "), "terminate closed")
		is(os.pull("terminate", 0), nil)
	LUA
}

@test "hundreds of calls at once, each served in a task" {
	service many <<-'LUA'
		local thox = require "thox"
		local at_once, most = 0, 0
		thox.serve(0, "many", function(request, n)
		  at_once = at_once + 1
		  most = math.max(most, at_once)
		  while most <= 10 do os.sleep(0.001) end -- they come, all at once
		  at_once = at_once - 1
		  return n, most
		end)
		bind("many")
		ready()
	LUA
	spawn many
	passes <<-'LUA'
		local cids, most = {}
		for i = 1, 2000 do cids[i] = os.call(0, "many.x", i) end
		for i = 1, 2000 do
		  local s, n, m = os.wait(cids[i])
		  is(s, status.OK)
		  is(n, i)
		  most = m
		end
		check(most > 10, most)
	LUA
}
