#!/usr/bin/env bats
# Functions that serve: what the libraries are made of, and how long a process
# goes on for them.

load helper
load talk

setup_file() {
	start_thox '[thoxd]' 'mount = no' 'grace-time = 30s' \
		'[exec]' 'allow-bind = **'
	export mnt thox_sessions
	# Holds what it is given.
	service holder <<-'LUA'
		bind("holder")
		ready()
		local held
		while true do
		  local e = os.pull("call")
		  if e.name == "holder.take" then
		    held = e.args[1]
		    os.answer(e.cid, status.OK)
		  elseif e.name == "holder.use" then
		    local cid = os.call(held, "x", table.unpack(e.args, 1, e.args.n))
		    os.answer(e.cid, os.wait(cid))
		  elseif e.name == "holder.drop" then
		    held = nil
		    collectgarbage()
		    os.answer(e.cid, status.OK)
		  end
		end
	LUA
}

teardown_file() {
	stop_thox
}

setup() {
	clients=()
}

teardown() {
	end_clients
}

@test "a function serves beside a main task that waits elsewhere" {
	service served <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "served", function(request, ...)
		  return request.name, request.pid, select("#", ...), ...
		end)
		thox.serve(0, "served.more", function() return "more" end)
		bind("served")
		ready()
		os.pull("nothing of this kind")
	LUA
	spawn served
	passes <<-'LUA'
		local s, name, pid, n, a, b = call("served.a.b", 1, nil)
		is(s, status.OK)
		is(name, "served.a.b")
		is(pid, os.pid())
		is(n, 2)
		is(a, 1)
		is(b, nil)
		is(select(2, call("served.more.or.less")), "more")
		is(select(2, call("served.moreover")), "served.moreover")
	LUA
}

@test "when the main function has returned the process goes on until it is stopped" {
	service goes_on <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "goes_on.on", function() return "on" end)
		thox.serve(0, "goes_on.stop", function() thox.stop() return "stopped" end)
		bind("goes_on")
		ready()
	LUA
	spawn goes_on
	passes <<-'LUA'
		for _ = 1, 3 do is(select(2, call("goes_on.on")), "on") end
		is(select(2, call("goes_on.stop")), "stopped")
	LUA
	ended_with 0
}

@test "it goes on until its last function is taken away" {
	service removed <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "removed.remove", function()
		  thox.serve(0, "removed.remove", nil)
		end)
		bind("removed")
		ready()
	LUA
	spawn removed
	passes <<-'LUA'
		is(call("removed.remove"), status.OK)
	LUA
	ended_with 0
}

@test "it goes on while somebody holds a context of it, and no longer" {
	service owner <<-'LUA'
		local thox = require "thox"
		local ctx = os.context()
		thox.serve(ctx, "x", function(_, n) return n + 1 end)
		is(call("holder.take", ctx), status.OK)
		ready()
	LUA
	spawn holder
	spawn owner
	passes <<-'LUA'
		is(select(2, call("holder.use", 1)), 2)
		collectgarbage()
		is(select(2, call("holder.use", 2)), 3)
		is(call("holder.drop"), status.OK)
	LUA
	ended_with 0
}

@test "a context that nobody got keeps nothing going" {
	passes <<-'LUA'
		local thox = require "thox"
		kept = os.context()
		thox.serve(kept, "x", print)
		-- thoxd takes no context here
		is(call("bind", kept), status.INVALID)
	LUA
}

@test "the owner is told once when the last holder has gone" {
	service told <<-'LUA'
		local thox = require "thox"
		local ctx, n = os.context(), 0
		thox.serve(ctx, "x", function() return n end)
		thox.last(ctx, function() n = n + 1 end)
		is(call("holder.take", ctx), status.OK)
		is(select(2, call("holder.use")), 0)
		is(call("holder.drop"), status.OK)
		while n == 0 do os.sleep(0.01) end
		is(call("holder.take", ctx), status.OK)
		is(select(2, call("holder.use")), 1)
		is(call("holder.drop"), status.OK)
		while n == 1 do os.sleep(0.01) end
		is(n, 2)
		print("ok")
	LUA
	spawn holder
	run -0 thox-exec told
	[[ $output == ok ]]
}

@test "the owner is told, too, when nobody ever got it" {
	passes <<-'LUA'
		local thox = require "thox"
		local n = 0
		for _ = 1, 10 do
		  local ctx = os.context()
		  thox.serve(ctx, "x", print)
		  thox.last(ctx, function() n = n + 1 end)
		end
		collectgarbage()
		while n < 10 do os.sleep(0.01) end
	LUA
}

@test "thousands of contexts that nobody got leave room for others" {
	passes <<-'LUA'
		local thox = require "thox"
		for _ = 1, 10000 do
		  local ctx = os.context()
		  thox.serve(ctx, "x", print)
		  ctx = nil
		  if _ % 1000 == 0 then collectgarbage() end
		end
	LUA
}

@test "an error with a status is the answer, any other is ERROR and told with a traceback" {
	service errs <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "errs.with", function(_, s) error {status = s, message = "m" .. s} end)
		thox.serve(0, "errs.other", function() error("wrong thing") end)
		thox.serve(0, "errs.value", function() error {1} end)
		thox.serve(0, "errs.answer", function() return print end)
		bind("errs")
		ready()
	LUA
	spawn errs
	passes <<-'LUA'
		for s = 1, 8 do
		  local got, message = call("errs.with", s)
		  is(got, s)
		  is(message, "m" .. s)
		end
		is(call("errs.with", 0), status.ERROR)
		is(call("errs.with", 99), status.ERROR)
		local s, message = call("errs.other")
		is(s, status.ERROR)
		check(message:find("wrong thing"), message)
		is(call("errs.value"), status.ERROR)
		s, message = call("errs.answer")
		is(s, status.ERROR)
		check(message:find("a function cannot be sent"), message)
	LUA
	wait_until has_line "$out" 'wrong thing'
	has_line "$out" "stack traceback"
	[[ $(grep -c '^stack traceback' "$out") -eq 3 ]]
}

@test "before a process is terminated a function may do its work, once" {
	service polite <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "polite", print)
		thox.terminate(function()
		  os.sleep(0.2)
		  io.stderr:write("bye\n")
		end)
		ready()
	LUA
	spawn polite
	thoxctl terminate polite
	thoxctl terminate polite || true
	ended_with 143
	[[ $(grep -c bye "$out") -eq 1 ]]
}

@test "a function that stops the serving ends the process its own way" {
	service calm <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "calm", print)
		thox.terminate(thox.stop)
		ready()
	LUA
	spawn calm
	thoxctl terminate calm
	ended_with 0
	service exits <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "exits", print)
		thox.terminate(function() os.exit(7) end)
		ready()
	LUA
	spawn exits
	thoxctl terminate exits
	ended_with 7
}

@test "an error of the function that is told of it does not keep the process" {
	service clumsy <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "clumsy", print)
		thox.terminate(function() error("oh no") end)
		ready()
	LUA
	spawn clumsy
	thoxctl terminate clumsy
	ended_with 143
	has_line "$out" "oh no"
}

@test "pushes of the bus come to a function" {
	service hears <<-'LUA'
		local thox = require "thox"
		thox.hear(0, "news", function(request, text)
		  print(request.name, request.program, request.pid > 0, text)
		  io.stdout:flush()
		end)
		os.listen(0, "news")
		is(call("clock"), status.OK) -- it has come to thoxd
		ready()
	LUA
	spawn hears
	service pushes <<-'LUA'
		os.push(0, "news.local", "rain")
		is(call("clock"), status.OK)
	LUA
	run -0 thox-exec pushes
	wait_until has_line "$out" "news.local	pushes	true	rain"
}

@test "an owner hears who listens, and can push to one holder" {
	service speaker <<-'LUA'
		local thox = require "thox"
		local ctx = os.context()
		thox.listened(ctx, function(request, on)
		  thox.tell(ctx, request.pid, "hello.there", request.name, on)
		  if not on then print("off") io.stdout:flush() end
		end)
		thox.serve(0, "speaker.get", function() return ctx end)
		bind("speaker")
		ready()
	LUA
	service listener <<-'LUA'
		local _, ctx = call("speaker.get")
		os.listen(ctx, "hello")
		local e = os.pull("push", 20)
		is(e.name, "hello.there")
		is(e.args[1], "hello")
		is(e.args[2], true)
		ready()
		e = os.pull("push", tonumber(arg[1]))
		is(e, nil)
		os.listen(ctx, "hello", false)
		is(os.pull("push", 0.1), nil)
	LUA
	spawn speaker
	local heard=$out
	spawn listener 1
	local first=$client said=$out
	spawn listener 0
	ended_with 0
	client=$first out=$said
	ended_with 0
	wait_until has_line "$heard" off
}

@test "what is called is written as a call, and errors are of the caller's line" {
	passes <<-'LUA'
		local thox = require "thox"
		local object = {}
		local method = setmetatable({0, "clock", false, object}, {__call = thox.invoke})
		object.clock = method
		check(method() > 0)
		local ok, e = pcall(function() local t = object:clock() return t end)
		check(not ok and e:find("^%-e:%d+: a call is written with '.'"), e)
		ok, e = pcall(function() local t = method(print) return t end)
		check(not ok and e:find("^%-e:%d+: args%[1%]: a function"), e)
		local slow = setmetatable({0, "alarm", 0.1}, {__call = thox.invoke})
		ok, e = pcall(slow, 60)
		is(e.status, status.TIMEOUT)
		is(e.name, "alarm")
		-- thoxd's word for it, or this process's own
		check(tostring(e):find("^alarm: TIMEOUT: "), tostring(e))
		local nobody = setmetatable({0, "nobody.here"}, {__call = thox.invoke})
		ok, e = pcall(nobody)
		is(tostring(e), "nobody.here: NOT_FOUND: nobody provides it")
	LUA
}

@test "a request that is kept tells who called, and that nobody waits any more" {
	service keeps <<-'LUA'
		local thox = require "thox"
		local kept
		thox.serve(0, "keeps.it", function(request)
		  kept = request
		  return request.cancelled()
		end)
		thox.serve(0, "keeps.tells", function()
		  collectgarbage()
		  thox.pass(kept)
		  thox.relay(kept, 0, "clock")
		end)
		thox.serve(0, "keeps.fields", function()
		  collectgarbage()
		  return kept.name, kept.pid, kept.program, kept.service, kept.ctx,
		    kept.deadline > 0 and kept.deadline < 60, kept.cancelled(), tostring(kept)
		end)
		thox.serve(0, "keeps.forwards", function()
		  return thox.forward(kept, 0, "clock")
		end)
		bind("keeps")
		ready()
	LUA
	service asks <<-'LUA'
		print(os.pid(), os.wait(os.call{name = "keeps.it", timeout = 60}))
	LUA
	spawn keeps
	run -0 thox-exec asks
	local asker
	read -r asker output <<<"$output"
	[[ $output == 0*false ]] # OK, and it is not given up
	passes "$asker" <<-'LUA'
		local name, pid, program, service, ctx, deadline, told, text =
		  select(2, call("keeps.fields"))
		is(name, "keeps.it")
		is(pid, tonumber(arg[1]))
		is(program, "asks")
		is(service, nil)
		is(ctx, 0)
		is(deadline, true)
		is(told, true)
		is(text, "request: keeps.it")
		local failed, why = call("keeps.forwards")
		is(failed, status.ERROR)
		assert(why:find("of a call that has been answered", 1, true), why)
		failed, why = call("keeps.tells")
		is(failed, status.ERROR)
		assert(why:find("of a call that has been answered", 1, true), why)
	LUA
}

@test "what is forwarded is given up with the call that it is for" {
	service behind <<-'LUA'
		bind("behind")
		ready()
		local taken, given_up = 0, 0
		while given_up < 3 do
		  local e = os.pull({"call", "cancel"})
		  if e.type == "cancel" then
		    given_up = given_up + 1
		  elseif e.name == "behind.taken" then
		    os.answer(e.cid, status.OK, taken)
		  else
		    taken = taken + 1
		  end
		end
		print("all given up")
	LUA
	service forwards <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "forwards", function(request, ...)
		  return thox.forward(request, 0, request.name:gsub("forwards", "behind"), ...)
		end)
		bind("forwards")
		ready()
	LUA
	spawn behind
	local behind=$client said=$out
	spawn forwards
	passes <<-'LUA'
		is(select(2, call("forwards.taken")), 0)
		-- cancelled, too late, and of a caller that dies; one that
		-- nobody has taken yet would just be dropped
		local function until_taken(n)
		  while select(2, call("forwards.taken")) < n do os.sleep(0.001) end
		end
		local cid = os.call(0, "forwards.wait")
		until_taken(1)
		os.cancel(cid)
		cid = os.call{name = "forwards.wait", timeout = 3}
		until_taken(2)
		is(os.wait(cid), status.TIMEOUT)
		os.call(0, "forwards.wait")
		until_taken(3)
	LUA
	client=$behind out=$said
	ended_with 0
	has_line "$out" "all given up"
}

@test "the workers of calls that nobody waits for any more are there for others" {
	service forwards <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "forwards", function(request, ...)
		  return thox.forward(request, 0, request.name:gsub("^forwards%.", ""), ...)
		end)
		bind("forwards")
		ready()
	LUA
	spawn forwards
	passes <<-'LUA'
		for _ = 1, 2000 do os.cancel(os.call(0, "forwards.alarm", 3600)) end
		is(call("forwards.clock"), status.OK)
	LUA
}

@test "who calls a process while it ends hears that it ended" {
	service leaves <<-'LUA'
		local thox = require "thox"
		thox.serve(0, "leaves", function(request) end)
		bind("leaves")
		os.task(function()
		  local guard <close> = setmetatable({}, {__close = function()
		    print("closes")
		    io.stdout:flush()
		    os.pull("nothing")
		  end})
		  os.pull("nothing")
		end)
		os.sleep(0)
		print("ready")
		io.stdout:flush()
		os.exit(0, true)
	LUA
	start_client leaves
	wait_until has_line "$out" closes
	run -1 thoxctl call leaves
	assert_output_has CLOSED "it ended before it answered"
	ended_with 0
}
