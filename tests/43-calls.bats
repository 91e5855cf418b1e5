#!/usr/bin/env bats
# Calls between programs: what arrives, how it ends, who waits for whom.

load helper
load talk

setup_file() {
	start_thox '[thoxd]' 'mount = no' 'grace-time = 30s' \
		'[exec]' 'allow-bind = fs.** **'
	export mnt thox_sessions
	# Answers with what it gets, in the ways that its name says.
	service echo <<-'LUA'
		bind("echo")
		ready()
		local late = {}
		while true do
		  local e = os.pull("call")
		  local what, args = e.name:match("^echo%.(.*)$"), e.args
		  if what == "back" then
		    os.answer(e.cid, status.OK, table.unpack(args, 1, args.n))
		  elseif what == "status" then
		    os.answer(e.cid, args[1], "said " .. args[1], args[2])
		  elseif what == "later" then
		    late[#late + 1] = e
		  elseif what == "flush" then
		    for i = #late, 1, -1 do os.answer(late[i].cid, 0, late[i].args[1]) end
		    late = {}
		    os.answer(e.cid, status.OK)
		  elseif what == "deadline" then
		    os.answer(e.cid, status.OK, e.deadline)
		  elseif what == "who" then
		    os.answer(e.cid, status.OK, e.pid, e.program, e.service, e.ctx)
		  elseif what == "die" then
		    os.exit(3)
		  elseif what == "bulk" then
		    os.answer(e.cid, status.OK, ("x"):rep(args[1]))
		  end
		end
	LUA
}

teardown_file() {
	stop_thox
}

teardown() {
	end_clients
}

@test "every value comes back as what it was" {
	spawn echo
	passes <<-'LUA'
		local function same(a, b)
		  if type(a) ~= "table" then return rawequal(a, b) or a ~= a and b ~= b end
		  for k, v in pairs(a) do if not same(v, b[k]) then return false end end
		  for k in pairs(b) do if a[k] == nil then return false end end
		  return true
		end
		local function back(...)
		  local t = table.pack(call("echo.back", ...))
		  is(t[1], status.OK)
		  is(t.n, 1 + select("#", ...))
		  for i = 1, select("#", ...) do
		    local v = select(i, ...)
		    is(math.type(t[i + 1]), math.type(v))
		    check(same(v, t[i + 1]), "value", i)
		  end
		end
		back()
		back(nil)
		back(nil, 1, nil, nil)
		back(true, false, 0, -1, 1.0, -0.0, 0/0, 1/0, math.maxinteger, math.mininteger)
		back("", "\0\255", ("x"):rep(100000), "\u{20ac}")
		back({}, {1, 2, 3}, {1, nil, 3}, {x = {y = {z = 1.5}}}, {[1.5] = true, [-1] = "a"})
		local deep = 1
		for _ = 1, 64 do deep = {deep} end
		back(deep)
		is(math.type(select(2, call("echo.back", 3.0))), "float")
	LUA
}

@test "what cannot be sent is an error that says where" {
	spawn echo
	passes <<-'LUA'
		local function fails(message, ...)
		  local ok, e = pcall(os.call, ...)
		  check(not ok and e:find(message, 1, true), tostring(e))
		end
		fails("args[2].x.y: a function cannot be sent", 0, "echo.back", 1, {x = {y = print}})
		local loop = {}
		loop.me = loop
		fails("a table that contains itself", 0, "echo.back", loop)
		fails("a name is 1 to 128", 0, "no name", 1)
		fails("a name is 1 to 128", 0, "a..b")
		fails("no such context", 99, "a")
		fails("context expected", "0", "a")
		fails("'name' is not", {ctx = 0})
		-- and the process goes on
		is(call("echo.back", 1), status.OK)
	LUA
}

@test "an answer has the status that it was given" {
	spawn echo
	passes <<-'LUA'
		for s = 1, 8 do
		  local got, message, more = call("echo.status", s, {s})
		  is(got, s)
		  is(message, "said " .. s)
		  is(more[1], s)
		end
		local got, message = call("nobody.there")
		is(got, status.NOT_FOUND)
		check(message:find("nobody"), message)
	LUA
}

@test "the caller is whom thoxd says it is" {
	spawn echo
	install_program asker 'print(select(2, os.wait(os.call(0, "echo.who"))))'
	run -0 thox-exec asker
	[[ $output == *$'\tasker\tnil\t0' ]]
}

@test "calls are answered in any order, each to its own task" {
	spawn echo
	passes <<-'LUA'
		local cids = {}
		for i = 1, 10 do cids[i] = os.call(0, "echo.later", i) end
		local task, tasks, called, answers = require "task", {}, {}, {}
		for t = 1, 20 do
		  tasks[t] = os.task(function()
		    local cid = os.call(0, "echo.later", "task " .. t)
		    called[t] = true
		    local s, value = os.wait(cid)
		    answers[t] = s == 0 and value
		  end)
		end
		for t = 1, 20 do while not called[t] do os.sleep(0.001) end end
		is(call("echo.flush"), status.OK)
		for i = 10, 1, -1 do
		  local s, value = os.wait(cids[i])
		  is(s, status.OK)
		  is(value, i)
		end
		for t = 1, 20 do
		  task.wait(tasks[t])
		  is(answers[t], "task " .. t)
		end
	LUA
}

@test "an answer is an event of the task that called, and of no other" {
	spawn echo
	passes <<-'LUA'
		local seen
		os.task(function() seen = os.pull("answer", 0.3) end)
		os.sleep(0)
		local cid = os.call(0, "echo.back", 7, nil)
		local e = os.pull("answer")
		is(e.cid, cid)
		is(e.status_code, status.OK)
		is(e.args[1], 7)
		is(e.args.n, 2)
		local ok, why = pcall(os.wait, cid)
		check(not ok and why:find("was taken"), why)
		os.sleep(0.4)
		is(seen, nil)
	LUA
}

@test "a call is answered once" {
	service twice <<-'LUA'
		bind("twice")
		ready()
		local e = os.pull("call")
		is(os.answer(e.cid, status.OK, 1), true)
		local ok, why = pcall(os.answer, e.cid, status.OK, 2)
		check(not ok and why:find("has been answered"), why)
		ok, why = pcall(os.answer, 12345, status.OK)
		check(not ok and why:find("no such call"), why)
		ok, why = pcall(os.answer, e.cid, 99)
		check(not ok)
	LUA
	spawn twice
	passes <<-'LUA'
		local s, value = call("twice.x")
		is(s, status.OK)
		is(value, 1)
	LUA
	ended_with 0
}

@test "when the callee dies its calls are answered CLOSED, and the next resolve again" {
	spawn echo
	passes <<-'LUA'
		local a, b = os.call(0, "echo.later", 1), os.call(0, "echo.die")
		is(os.wait(b), status.CLOSED)
		local s, message = os.wait(a)
		is(s, status.CLOSED)
		check(message:find("ended before it answered"), message)
		repeat s = call("echo.back") until s ~= status.CLOSED
		is(s, status.NOT_FOUND)
	LUA
	ended_with 3
	spawn echo
	passes <<-'LUA'
		is(call("echo.back"), status.OK)
	LUA
}

@test "when a deadline passes the caller gets TIMEOUT and the callee a cancel" {
	# One that nobody has pulled yet is just dropped: so they say that it is.
	service slow <<-'LUA'
		bind("slow")
		ready()
		local function take()
			local e = os.pull("call")
			os.answer(os.pull("call").cid, status.OK)
			return e
		end
		local e = take()
		check(e.deadline > 0 and e.deadline < 3.1, tostring(e.deadline))
		local c = os.pull("cancel")
		is(c.cid, e.cid)
		is(os.answer(e.cid, status.OK), false)
		local f = take()
		is(os.pull("cancel").cid, f.cid)
		local g = take()
		is(os.pull("cancel").cid, g.cid)
	LUA
	spawn slow
	passes <<-'LUA'
		local cid = os.call{name = "slow.x", timeout = 3}
		is(call("slow.taken"), status.OK)
		local s, message = os.wait(cid)
		is(s, status.TIMEOUT)
		check(message:find("no answer in 3 s"), message)
		cid = os.call(0, "slow.x")
		is(call("slow.taken"), status.OK)
		is(os.wait(cid, 0.1), status.TIMEOUT)
		cid = os.call(0, "slow.x")
		is(call("slow.taken"), status.OK)
		os.cancel(cid)
		check(not pcall(os.wait, cid))
	LUA
	ended_with 0
}

@test "calls made while serving inherit what is left of the deadline" {
	spawn echo
	service between <<-'LUA'
		bind("between")
		ready()
		while true do
		  local e = os.pull("call")
		  os.answer(e.cid, call("echo.deadline"))
		  is(select(2, call("echo.deadline")), nil)
		end
	LUA
	spawn between
	passes <<-'LUA'
		local s, left = os.wait(os.call{name = "between.x", timeout = 100})
		is(s, status.OK)
		check(left > 50 and left <= 100.01, tostring(left))
		s, left = os.wait(os.call{name = "between.x"})
		is(left, nil)
	LUA
}

@test "a caller that dies is a cancel for the callee" {
	service patient <<-'LUA'
		bind("patient")
		ready()
		local e = os.pull("call")
		print("called") io.stdout:flush()
		is(os.pull("cancel").cid, e.cid)
		is(os.answer(e.cid, 0, 1), false)
	LUA
	spawn patient
	local patient=$client said=$out
	start_client -e 'os.wait(os.call(0, "patient.x"))'
	wait_until has_line "$said" called
	kill -KILL "$client"
	client=$patient out=$said
	ended_with 0
}

@test "messages go up to 16 MiB, and one more byte is TOO_LARGE" {
	spawn echo
	passes <<-'LUA'
		local size = (16 << 20) - 100
		local text = ("0123456789abcdef"):rep(size // 16)
		local s, back = call("echo.back", text)
		is(s, status.OK)
		check(back == text)
		local message
		s, message = call("echo.back", text .. ("x"):rep(200))
		is(s, status.TOO_LARGE)
		check(message:find("message_bytes"), message)
		s, message = call("echo.bulk", 17 << 20)
		is(s, status.TOO_LARGE)
		check(message:find("message_bytes"), message)
		is(call("echo.back", 1), status.OK)
	LUA
}

@test "who floods a callee that is stopped waits, and nobody else notices" {
	service flooded <<-'LUA'
		bind("flooded")
		ready()
		while true do
		  local e = os.pull("call")
		  os.answer(e.cid, status.OK, #e.args[1])
		end
	LUA
	spawn echo
	spawn flooded
	thoxctl pause flooded
	start_client -e '
		local n, all = 0
		os.task(function()
		  for i = 1, 2000 do os.call(0, "flooded.x", ("x"):rep(10000)) n = i end
		  for _ = 1, 2000 do
		    local e = os.pull("answer")
		    if e.status_code ~= 0 or e.args[1] ~= 10000 then error("wrong") end
		  end
		  print("all")
		end)
		local before
		repeat before = n os.sleep(0.2) until n == before and n > 0
		print("stuck", n < 2000, collectgarbage("count") < 20000)
		print(os.wait(os.call(0, "echo.back", "alive")))
		io.stdout:flush()'
	wait_until has_line "$out" "0	alive"
	has_line "$out" "stuck	true	true"
	passes <<-'LUA'
		is(call("echo.back"), status.OK)
	LUA
	thoxctl resume flooded
	ended_with 0
	has_line "$out" all
}

@test "a callee whose caller takes no answers goes on serving others" {
	spawn echo
	start_client -e '
		os.wait(os.call(0, "echo.back"))
		for _ = 1, 100 do os.call(0, "echo.bulk", 1 << 20) end
		print("ready") io.stdout:flush()
		local t = os.time() + 1000
		require("task").atomic(function() while os.time() < t do end end)'
	wait_until has_line "$out" ready
	local caller
	caller=$(running_pid -e)
	thoxctl pause "$caller"
	passes <<-'LUA'
		for _ = 1, 10 do
		  is(os.wait(os.call{name = "echo.back", timeout = 20}), status.OK)
		end
	LUA
	thoxctl kill "$caller" # it does not end when asked to
}

@test "a task that ends takes its calls with it" {
	service slow_one <<-'LUA'
		bind("slow_one")
		ready()
		local function take(name) return os.pull{type = "call", name = name} end
		local e = take("slow_one.x")
		os.answer(take("slow_one.taken").cid, status.OK)
		is(os.pull("cancel").cid, e.cid)
		print("cancelled")
		os.answer(take("slow_one.cancelled").cid, status.OK)
	LUA
	spawn slow_one
	passes <<-'LUA'
		local task = require "task"
		local id = os.task(function() os.wait(os.call(0, "slow_one.x")) end)
		is(call("slow_one.taken"), status.OK)
		task.kill(id)
		-- before this process ends, which would cancel it, too
		is(call("slow_one.cancelled"), status.OK)
	LUA
	ended_with 0
	has_line "$out" cancelled
}

@test "thousands of calls at once are answered each" {
	spawn echo
	passes <<-'LUA'
		for round = 1, 3 do
		  local cids = {}
		  for i = 1, 5000 do cids[i] = os.call(0, "echo.back", i) end
		  for i = 1, 5000 do
		    local s, value = os.wait(cids[i])
		    is(s, status.OK)
		    is(value, i)
		  end
		end
	LUA
}

@test "a busy callee answers, also from the middle of a computation" {
	service busy <<-'LUA'
		bind("busy")
		os.task(function() while true do end end)
		ready()
		while true do
		  local e = os.pull("call")
		  os.answer(e.cid, status.OK, e.args[1] + 1)
		end
	LUA
	spawn busy
	passes <<-'LUA'
		for i = 1, 500 do
		  local s, value = call("busy.x", i)
		  is(s, status.OK)
		  is(value, i + 1)
		end
	LUA
}

@test "who talks with one other without pause hears all the rest, too" {
	service hammer <<-'LUA'
		local function strike(n)
		  for i = 1, n do
		    local s, value = call("echo.back", i)
		    if s == status.CLOSED or s == status.NOT_FOUND then return false end
		    is(value, i)
		  end
		  return true
		end
		local slept = 0
		strike(1000)
		os.task(function()
		  for i = 1, 20 do os.sleep(0.0005) slept = i end
		end)
		repeat strike(100) until slept == 20
		ready()
		repeat until not strike(1000)
		print("closed") io.stdout:flush()
		is(call("gate.enter"), status.OK) -- a link that is new
		while true do os.pull() end
	LUA
	service gate <<-'LUA'
		bind("gate")
		ready()
		while true do
		  local e = os.pull("call")
		  print("entered") io.stdout:flush()
		  os.answer(e.cid, status.OK)
		end
	LUA
	spawn gate
	local gate=$out
	spawn echo
	local echo=$client
	spawn hammer
	local first=$client
	spawn hammer # two of them beside each other, and a third
	local second=$client said=$out
	passes <<-'LUA'
		for i = 1, 200 do is(select(2, call("echo.back", i)), i) end
	LUA
	kill -TERM "$first" # it waits for nothing but answers
	client=$first
	ended_with 143
	kill -TERM "$echo" # it waits for nothing but calls
	client=$echo
	ended_with 143
	wait_until has_line "$said" closed
	wait_until has_line "$gate" entered
	kill -TERM "$second"
	client=$second
	ended_with 143
}

@test "a name that is taken, and what lies below it, is not free" {
	spawn echo
	passes <<-'LUA'
		local s, message = call("bind", "echo")
		check(s ~= status.OK and #message > 0, s)
		s, message = call("bind", "echo.more")
		check(s ~= status.OK and #message > 0, s)
		is(call("bind", "echoes"), status.OK)
	LUA
}

@test "the longest prefix provides a name, before and after others resolved it" {
	service outer <<-'LUA'
		bind("fs")
		ready()
		while true do
		  local e = os.pull("call")
		  os.answer(e.cid, status.OK, "outer", e.name)
		end
	LUA
	service inner <<-'LUA'
		bind("fs.dir")
		ready()
		while true do
		  local e = os.pull("call")
		  os.answer(e.cid, status.OK, "inner", e.name)
		end
	LUA
	spawn outer
	service asks <<-'LUA'
		local function who(name)
		  local s, who, called = call(name)
		  is(called, name)
		  return who
		end
		is(who("fs.read"), "outer")
		is(who("fs.dir.list"), "outer")
		is(who("fs"), "outer")
		ready()
		repeat os.sleep(0.01) until who("fs.dir.list") == "inner"
		is(who("fs.dir"), "inner")
		is(who("fs.read"), "outer")
		is(who("fs.directory"), "outer")
		print("seen") io.stdout:flush()
		repeat os.sleep(0.01)
		until select(2, call("fs.dir.list")) == "outer"
	LUA
	spawn asks
	local asks=$client said=$out
	spawn inner
	wait_until has_line "$said" seen
	passes <<-'LUA'
		is(select(2, call("fs.dir.list")), "inner")
		is(select(2, call("fs.read")), "outer")
		is(select(2, call("fs.dir.list")), "inner")
	LUA
	kill -KILL "$client"
	client=$asks out=$said
	ended_with 0
}

@test "a million random values come back through calls" {
	spawn echo
	passes <<-'LUA'
		local random, floor = math.random, math.floor
		local kinds = {
		  function() return random(0) end,
		  function() return random(-300, 70000) end,
		  function() return (random() - 0.5) * 10.0 ^ random(-300, 300) end,
		  function() return floor(random() * 1000) + 0.0 end,
		  function() return random() < 0.5 end,
		  function() return string.pack("I8", random(0)):rep(random(0, 9)) end,
		  function() return ("\u{20ac}a"):rep(random(0, 20)) end,
		}
		local function value(depth)
		  local kind = random(1, depth < 4 and 9 or 7)
		  if kind <= 7 then return kinds[kind](), 1 end
		  local t, n = {}, 1
		  for i = 1, random(0, 6) do
		    local v, m = value(depth + 1)
		    t[kind == 8 and i or kinds[random(1, 7)]()] = v
		    n = n + m
		  end
		  return t, n
		end
		local function same(a, b)
		  if type(a) ~= "table" then
		    return a == b and math.type(a) == math.type(b) and type(a) == type(b)
		  end
		  if type(b) ~= "table" then return false end
		  for k, v in next, a do if not same(v, b[k]) then return false end end
		  for k in next, b do if a[k] == nil then return false end end
		  return true
		end
		math.randomseed(20240229)
		local total = 0
		while total < 1000000 do
		  local sent, n = {}, 200
		  for i = 1, n do
		    local m
		    sent[i], m = value(0)
		    total = total + m
		  end
		  local got = table.pack(call("echo.back", table.unpack(sent, 1, n)))
		  is(got[1], status.OK)
		  is(got.n, 1 + n)
		  for i = 1, n do check(same(sent[i], got[i + 1]), "after", total) end
		end
	LUA
}

@test "a process calls a name of its own as any other" {
	passes <<-'LUA'
		bind("own")
		os.task(function()
		  while true do
		    local e = os.pull("call")
		    os.task(function()
		      if e.name == "own.twice" then
		        os.answer(e.cid, os.wait(os.call(0, "own.once", e.pid)))
		      else
		        os.answer(e.cid, status.OK, e.name, e.pid, e.args[1])
		      end
		    end)
		  end
		end)
		local s, name, pid, through = call("own.twice")
		is(s, status.OK)
		is(name, "own.once")
		is(pid, os.pid())
		is(through, os.pid())
		is(call("unbind", "own"), status.OK)
		-- the word to forget the way comes by itself
		local tries = 0
		while call("own.once") ~= status.NOT_FOUND do
		  os.sleep(0.01)
		  tries = tries + 1
		  check(tries < 1000, "the name leads somewhere still")
		end
		finish()
		os.exit(0) -- the other task waits on
	LUA
	run -0 thox-exec -e '
		local daemon, rpc = require "daemon", require "rpc"
		function daemon.rpc.own.one() return rpc.own.two() + 1 end
		function daemon.rpc.own.two() return 2 end
		print(rpc.own.one())
		daemon.stop()'
	[ "$output" = 3 ]
}
