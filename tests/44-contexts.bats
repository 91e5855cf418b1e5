#!/usr/bin/env bats
# Contexts: made, shared, passed on, closed, withdrawn.

load helper
load talk

setup_file() {
	start_thox '[thoxd]' 'mount = no' 'grace-time = 500ms' \
		'[limits]' 'descriptors = 4000'
	export mnt thox_sessions
	# Hands out contexts that count, and passes on what it is given.
	service counters <<-'LUA'
		bind("counters")
		ready()
		local counts, passed = {}, nil
		local opened, closed = 0, 0
		while true do
		  local e = os.pull()
		  if e.type == "open" then
		    opened = opened + 1
		  elseif e.type == "close" then
		    closed = closed + 1
		  elseif e.type == "call" and e.name == "counters.new" then
		    local ctx = os.context()
		    counts[ctx.id] = {n = 0, ctx = ctx}
		    os.answer(e.cid, 0, ctx)
		  elseif e.type == "call" and e.name == "counters.seen" then
		    os.answer(e.cid, 0, opened, closed)
		  elseif e.type == "call" and e.name == "counters.close" then
		    local id = e.args[1]
		    os.close(counts[id].ctx)
		    os.answer(e.cid, 0)
		  elseif e.type == "call" and e.name == "counters.revoke" then
		    os.revoke(counts[e.args[1]].ctx, e.args[2])
		    os.answer(e.cid, 0)
		  elseif e.type == "call" and e.name == "counters.keep" then
		    passed = e.args[1]
		    os.answer(e.cid, 0)
		  elseif e.type == "call" and e.name == "counters.give" then
		    os.answer(e.cid, 0, passed)
		  elseif e.type == "call" and e.name == "id" then
		    os.answer(e.cid, 0, e.ctx.id)
		  elseif e.type == "call" and e.name == "next" then
		    local c = counts[e.ctx.id]
		    c.n = c.n + 1
		    os.answer(e.cid, 0, c.n, e.pid)
		  elseif e.type == "call" then
		    os.answer(e.cid, status.NOT_FOUND, "no " .. e.name)
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

@test "a context comes in an answer, and calls go to its owner" {
	spawn counters
	passes <<-'LUA'
		local s, a = call("counters.new")
		is(s, status.OK)
		check(tostring(a):match("^context: %d+$"), tostring(a))
		is(math.type(a.id), "integer")
		local _, b = call("counters.new")
		check(a ~= b and a.id ~= b.id)
		is(select(2, os.wait(os.call(a, "next"))), 1)
		is(select(2, os.wait(os.call(a, "next"))), 2)
		is(select(2, os.wait(os.call(b, "next"))), 1)
		is(select(2, os.wait(os.call(a.id, "next"))), 3)
		is(os.wait(os.call(a, "other.name")), status.NOT_FOUND)
	LUA
}

@test "contexts lie anywhere in a table, and the same one is the same value" {
	spawn counters
	service mirror <<-'LUA'
		bind("mirror")
		ready()
		while true do
		  local e = os.pull("call")
		  os.answer(e.cid, 0, table.unpack(e.args, 1, e.args.n))
		end
	LUA
	spawn mirror
	passes <<-'LUA'
		local _, a = call("counters.new")
		local _, b = call("counters.new")
		local s, t, again = call("mirror.x", {a, {x = {y = b}}, a}, a)
		is(s, status.OK)
		is(t[1], t[3])
		is(t[1], again)
		check(t[1] ~= t[2].x.y)
		is(select(2, os.wait(os.call(t[1], "next"))), 1)
		is(select(2, os.wait(os.call(a, "next"))), 2)
		is(select(2, os.wait(os.call(t[2].x.y, "next"))), 1)
	LUA
}

@test "a context of the caller's own can be called back" {
	service calls_back <<-'LUA'
		bind("back")
		ready()
		while true do
		  local e = os.pull("call")
		  local s, value = os.wait(os.call(e.args[1], "twice", e.args[2]))
		  os.answer(e.cid, s, value)
		end
	LUA
	spawn calls_back
	passes <<-'LUA'
		local mine = os.context()
		local id = os.task(function()
		  while true do
		    local e = os.pull{type = "call", ctx = mine}
		    os.answer(e.cid, 0, e.args[1] * 2)
		  end
		end)
		for i = 1, 20 do
		  local s, value = call("back.x", mine, i)
		  is(s, status.OK)
		  is(value, 2 * i)
		end
		require("task").kill(id)
	LUA
}

@test "a holder passes it on: the link is the owner's, and outlives who passed" {
	spawn counters
	service middle <<-'LUA'
		bind("middle")
		ready()
		local e = os.pull("call")
		local _, ctx = call("counters.new")
		is(select(2, os.wait(os.call(ctx, "next"))), 1)
		os.answer(e.cid, 0, ctx)
		os.pull("call")
	LUA
	spawn middle
	passes <<-'LUA'
		local _, ctx = call("middle.x")
		is(select(2, os.wait(os.call(ctx, "next"))), 2)
		call("middle.x")
		os.sleep(0.1)
		local s, n, pid = os.wait(os.call(ctx, "next"))
		is(s, status.OK)
		is(n, 3)
	LUA
}

@test "open and close tell the owner who holds it" {
	service owner <<-'LUA'
		local ctx = os.context()
		bind("owner")
		ready()
		local e = os.pull("call")
		os.answer(e.cid, 0, ctx)
		local o = os.pull("open")
		is(o.ctx, ctx)
		is(o.pid, e.pid)
		local c = os.pull("close")
		is(c.ctx, ctx)
		is(c.pid, e.pid)
		is(os.pull({"open", "close"}, 0.1), nil)
	LUA
	spawn owner
	passes <<-'LUA'
		local _, ctx = call("owner.x")
		ctx:close()
		is(tostring(ctx), "context: closed")
		local s, message = os.wait(os.call(ctx, "next"))
		is(s, status.CLOSED)
		ctx:close()
		check(not pcall(os.push, ctx, "x"))
	LUA
	ended_with 0
}

@test "it is given up at the end of a scope, by the collector, and by death" {
	spawn counters
	passes <<-'LUA'
		local function gone(n)
		  local opened, closed
		  for _ = 1, 500 do
		    opened, closed = select(2, call("counters.seen"))
		    if opened - closed == n then return end
		    os.sleep(0.01)
		  end
		  error("held are " .. opened - closed .. " instead of " .. n, 2)
		end
		do
		  local a <close> = select(2, call("counters.new"))
		  gone(1)
		end
		gone(0)
		for i = 1, 10 do call("counters.new") end
		collectgarbage() collectgarbage()
		gone(0)
		KEPT = select(2, call("counters.new"))
		gone(1)
	LUA
	passes <<-'LUA'
		for _ = 1, 500 do
		  local opened, closed = select(2, call("counters.seen"))
		  if opened == closed then return end
		  os.sleep(0.01)
		end
		error("not given up by death")
	LUA
}

@test "a call in flight keeps a context that nobody refers to" {
	service lazy <<-'LUA'
		bind("lazy")
		ready()
		local ctx = os.context()
		local e = os.pull("call")
		os.answer(e.cid, 0, ctx)
		e = os.pull{type = "call", name = "slow"}
		os.sleep(0.2)
		os.answer(e.cid, 0, "done")
		os.pull("close")
	LUA
	spawn lazy
	passes <<-'LUA'
		local cid = os.call(select(2, call("lazy.x")), "slow")
		collectgarbage() collectgarbage()
		local s, value = os.wait(cid)
		is(s, status.OK)
		is(value, "done")
		collectgarbage() collectgarbage()
	LUA
	ended_with 0
}

@test "the owner closes for all" {
	spawn counters
	passes <<-'LUA'
		local _, ctx = call("counters.new")
		local id = select(2, os.wait(os.call(ctx, "id")))
		local pending = os.call(ctx, "next")
		os.wait(pending)
		is(call("counters.close", id), status.OK)
		local e = os.pull("close", 20)
		is(e.ctx, ctx)
		is(tostring(ctx), "context: closed")
		is(os.wait(os.call(ctx, "next")), status.CLOSED)
	LUA
}

@test "revoking takes it from a holder, and from all who have it of him" {
	spawn counters
	service holder <<-'LUA'
		bind("holder")
		local _, ctx = call("counters.new")
		ready()
		while true do
		  local e = os.pull("call")
		  if e.name == "holder.id" then
		    os.answer(e.cid, os.wait(os.call(ctx, "id")))
		  elseif e.name == "holder.give" then
		    os.answer(e.cid, 0, ctx)
		  elseif e.name == "holder.pid" then
		    os.answer(e.cid, 0, select(3, os.wait(os.call(ctx, "next"))))
		  else
		    os.answer(e.cid, 0, (os.wait(os.call(ctx, "next"))))
		  end
		end
	LUA
	spawn holder
	passes <<-'LUA'
		local _, id = call("holder.id")
		local _, pid = call("holder.pid")
		local _, ctx = call("holder.give")
		is(call("counters.keep", ctx), status.OK)
		is(os.wait(os.call(ctx, "next")), status.OK)
		is(call("counters.revoke", id, pid), status.OK)
		is(os.pull("close", 20).ctx, ctx)
		is(os.wait(os.call(ctx, "next")), status.CLOSED)
		is(select(2, call("holder.use")), status.CLOSED)
	LUA
}

@test "a thousand contexts in one process" {
	spawn counters
	passes <<-'LUA'
		local held = {}
		for i = 1, 1000 do
		  local s, ctx = call("counters.new")
		  is(s, status.OK)
		  held[i] = ctx
		end
		for i = 1, 1000 do is(select(2, os.wait(os.call(held[i], "next"))), 1) end
		for i = 1, 1000 do is(select(2, os.wait(os.call(held[1000], "next"))), 1 + i) end
		for i = 1, 1000 do held[i]:close() end
		for _ = 1, 500 do
		  local opened, closed = select(2, call("counters.seen"))
		  if opened == closed then return end
		  os.sleep(0.01)
		end
		error("not closed")
	LUA
}

@test "numbers lead nowhere that were not given" {
	spawn counters
	passes <<-'LUA'
		local _, ctx = call("counters.new")
		check(not pcall(os.call, ctx.id + 1, "next"))
		check(not pcall(os.call, -1, "next"))
		check(not pcall(os.call, 1 << 40, "next"))
		local id = ctx.id
		ctx:close()
		is(os.wait(os.call(id, "next")), status.CLOSED)
		-- a context is no table and shows no more than its number
		is(getmetatable(ctx), "context")
		check(not pcall(function() ctx.id = 7 end))
	LUA
}

@test "a push goes to the holders that listen, and back to the owner" {
	service caster <<-'LUA'
		local ctx = os.context()
		bind("caster")
		ready()
		while true do
		  local e = os.pull({"call", "push"})
		  if e.type == "push" then
		    os.push(ctx, "echo." .. e.args[1], e.pid, table.unpack(e.args))
		  elseif e.name == "caster.get" then
		    os.answer(e.cid, 0, ctx)
		  elseif e.name == "sync" then
		    os.answer(e.cid, 0)
		  else
		    os.push(ctx, "news.local", 1, {x = "y"})
		    os.push(ctx, "other", 2)
		    os.push(ctx, "news", 3)
		    os.answer(e.cid, 0)
		  end
		end
	LUA
	spawn caster
	passes <<-'LUA'
		local _, ctx = call("caster.get")
		-- over the link that the listening goes over, too
		local function sync() is(os.wait(os.call(ctx, "sync")), 0) end
		os.listen(ctx, "news")
		sync()
		call("caster.go")
		local e = os.pull("push")
		is(e.ctx, ctx)
		is(e.name, "news.local")
		is(e.args[2].x, "y")
		is(os.pull("push").args[1], 3)
		os.listen(ctx, "news", false)
		os.listen(ctx, "other")
		sync()
		call("caster.go")
		is(os.pull("push").args[1], 2)
		os.listen(ctx, "echo")
		os.push(ctx, "up", "a", 7)
		e = os.pull("push")
		is(e.name, "echo.a")
		is(e.args[1], os.pid())
		is(e.args[3], 7)
		is(os.pull("push", 0.1), nil)
	LUA
}

@test "a context can be pushed" {
	service giver <<-'LUA'
		local ctx, gift = os.context(), os.context()
		bind("giver")
		ready()
		while true do
		  local e = os.pull("call")
		  if e.name == "giver.get" then
		    os.answer(e.cid, 0, ctx)
		  elseif e.name == "sync" then
		    os.answer(e.cid, 0)
		  elseif e.name == "giver.go" then
		    os.push(ctx, "gift", gift)
		    os.answer(e.cid, 0)
		  else
		    is(e.ctx, gift)
		    os.answer(e.cid, 0, "thanks")
		  end
		end
	LUA
	spawn giver
	passes <<-'LUA'
		local _, ctx = call("giver.get")
		os.listen(ctx, "gift")
		os.wait(os.call(ctx, "sync"))
		call("giver.go")
		local gift = os.pull("push").args[1]
		is(select(2, os.wait(os.call(gift, "use"))), "thanks")
	LUA
}

@test "pushes to who does not keep up are dropped and counted" {
	service flooder <<-'LUA'
		local ctx = os.context()
		bind("flooder")
		ready()
		while true do
		  local e = os.pull("call")
		  if e.name == "flooder.get" then
		    os.answer(e.cid, 0, ctx)
		  elseif e.name == "sync" then
		    os.answer(e.cid, 0)
		  elseif e.name == "end" then -- and what was lost before
		    os.push(ctx, "flood", "end")
		    os.answer(e.cid, 0)
		  else
		    for i = 1, 20000 do os.push(ctx, "flood", i) end
		    os.answer(e.cid, 0)
		  end
		end
	LUA
	spawn flooder
	passes <<-'LUA'
		local _, ctx = call("flooder.get")
		os.listen(ctx, "flood")
		os.wait(os.call(ctx, "sync"))
		-- not pulled meanwhile, so that both sides have to drop
		is(call("flooder.go"), status.OK)
		os.wait(os.call(ctx, "sync"))
		local got, lost, last = 0, 0, 0
		while true do
		  local e = os.pull({"push", "lost"}, 0.2)
		  if not e then
		    os.wait(os.call(ctx, "end")) -- if there is room for it now
		  elseif e.type == "lost" then
		    is(e.name, "flood")
		    is(e.ctx, ctx)
		    lost = lost + e.count
		  elseif e.args[1] == "end" then
		    break
		  else
		    got = got + 1
		    check(e.args[1] > last, "out of order")
		    last = e.args[1]
		  end
		end
		check(got > 100 and lost > 0, got, lost)
		is(got + lost, 20000)
	LUA
}
