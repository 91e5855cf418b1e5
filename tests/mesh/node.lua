-- One of many that call each other in every way, while others are killed. Each
-- call must end in some way: `mesh.nK.rest` is answered when all have that it
-- makes of itself, `mesh.nK.stop` when those have, too, that others made it make.
--
--   thox-exec node K OTHERS
local daemon = require "daemon"
local rpc = require "rpc"
local task = require "task"

local TASKS, PAUSE, KEPT = 3, 0.03, 8
local own, others = tonumber(arg[1]), tonumber(arg[2])
local random, status = math.random, os.status
local mine = daemon.rpc.mesh["n" .. own]
local pending = {} -- a key for each call: a count is not safe from other tasks
local made, wrong = false, nil
local stopping = false
local tasks = {}
local kept = {} -- contexts of others, in a ring

-- How a call to one that may die may end.
local expected = {
	[status.NOT_FOUND] = true, [status.CLOSED] = true, [status.TIMEOUT] = true,
	[status.CANCELLED] = true,
}

-- Whoever passes a context on may have lost it just now, and who serves may be
-- asked to end.
local function may_be(message)
	return message:find("this context is closed", 1, true)
		or message:find("^the task that .* was ended$")
end

-- Any but itself.
local function peer(calls)
	return (calls or rpc).mesh["n" .. (own + random(others)) % (others + 1)]
end

-- fn(...) is a call: its values, or nothing when it went wrong as it may.
local function try(fn, ...)
	local call = {}
	made = true
	pending[call] = true
	local results = table.pack(pcall(fn, ...))
	pending[call] = nil
	if results[1] then
		return table.unpack(results, 2, results.n)
	end
	local err = results[2]
	if type(err) ~= "table" or not expected[err.status] and not may_be(err.message) then
		wrong = wrong or tostring(err)
	end
end

local function keep(context)
	local i = random(1, KEPT)
	if kept[i] then
		kept[i]:close()
	end
	kept[i] = context
end

local function counter()
	local n = 0
	return daemon.object {
		next = function()
			n = n + 1
			return n
		end,
	}
end

-- --- what others ask for ------------------------------------------------------

function mine.echo(_, ...)
	return ...
end

function mine.context()
	return counter()
end

function mine.back(_, context)
	return try(rpc.on(context).next)
end

function mine.pass()
	return kept[random(1, KEPT)]
end

function mine.forward(_, hops)
	if hops > 0 then
		return try(peer().forward, hops - 1)
	end
	return hops
end

function mine.busy(_, n)
	local sum = 0
	for i = 1, n do
		sum = sum + i
	end
	return sum
end

function mine.rest()
	stopping = true
	for _, id in ipairs(tasks) do
		task.wait(id)
	end
end

function mine.stop()
	while next(pending) do
		os.sleep(0.01)
	end
	for i = 1, KEPT do
		keep(nil)
		kept[i] = nil
	end
	collectgarbage()
	collectgarbage()
	return made, wrong or "as expected"
end

-- --- what it does by itself ---------------------------------------------------

local ways = {
	function()
		local n = random(1 << 30)
		local got = try(peer().echo, n)
		if got ~= nil and got ~= n then
			wrong = wrong or "not what was sent"
		end
	end,
	function()
		local text = ("x"):rep(random(100000))
		local got = try(peer().echo, text, { text })
		if got ~= nil and got ~= text then
			wrong = wrong or "not the text that was sent"
		end
	end,
	function()
		local context = try(peer().context)
		if context and try(rpc.on(context).next) and random() < 0.5 then
			keep(context)
		elseif context then
			context:close()
		end
	end,
	function() try(peer().back, counter()) end,
	function()
		local context = try(peer().pass)
		if type(context) == "userdata" then
			try(rpc.on(context).next)
			keep(context)
		end
	end,
	function() try(peer().forward, 4) end,
	function() try(peer().busy, 20000) end,
	function() try(peer(rpc.with { timeout = 0.0001 }).busy, 50000) end,
	function() os.push(0, "mesh.news", own, { counter() }) end,
}

local function begin()
	for i = 1, TASKS do
		tasks[i] = os.task(function()
			while not stopping do
				ways[random(#ways)]()
				os.sleep(random() * PAUSE)
			end
		end)
	end
end

mine.begin = begin
os.listen(0, "mesh.news")
if own > 0 then -- the first is told to
	begin()
end
print("ready")
print("pid " .. os.pid())
io.stdout:flush()
while true do -- the news come, and go, with their contexts
	os.pull("push")
	collectgarbage("step")
end
