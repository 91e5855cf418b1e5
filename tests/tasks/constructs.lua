-- Every construct through which Lua calls Lua by way of C, or could be
-- stopped in the middle of, each with a result that is known: it is computed
-- once alone, and then again and again by tasks that stop each other.
local task = require "task"

local wanted = tonumber((...))

local function fold(h, x)
	return (h * 31 + x) % 1000000007
end

-- A sequence of numbers that is the same each time.
local function numbers(n, seed)
	local t, x = {}, seed
	for i = 1, n do
		x = (x * 1103515245 + 12345) % 2147483648
		t[i] = x
	end
	return t
end

local works = {}

function works.sort()
	local t, h = numbers(60, 7), 0
	table.sort(t, function(a, b)
		return a < b
	end)
	for i = 1, #t do
		assert(i == 1 or t[i - 1] <= t[i])
		h = fold(h, t[i])
	end
	return h
end

function works.gsub()
	local depth = 0
	local function nest(s, n)
		depth = depth + n
		if n == 0 then
			return s
		end
		return (s:gsub("%w+", function(w)
			return nest(w:upper() .. n, n - 1) .. "-"
		end))
	end
	return nest("one two three", 5) .. depth
end

function works.metamethods()
	local mt = {}
	mt.__index = function(t, k)
		return rawget(t, 1) + k
	end
	mt.__newindex = function(t, k, v)
		rawset(t, k, v + 1)
	end
	mt.__add = function(a, b)
		return setmetatable({ a[1] + b[1] }, mt)
	end
	mt.__concat = function(a, b)
		return (type(a) == "table" and a[1] or a) .. "/" ..
			(type(b) == "table" and b[1] or b)
	end
	mt.__eq = function(a, b)
		return a[1] == b[1]
	end
	mt.__lt = function(a, b)
		return a[1] < b[1]
	end
	mt.__le = function(a, b)
		return a[1] <= b[1]
	end
	mt.__len = function(a)
		local n = 0
		for _ = 1, a[1] do
			n = n + 1
		end
		return n
	end
	mt.__unm = function(a)
		return setmetatable({ -a[1] }, mt)
	end
	mt.__call = function(a, x, ...)
		if x == 0 then
			return a[1] + select("#", ...)
		end
		return a(x - 1, x, ...)
	end
	mt.__tostring = function(a)
		return "<" .. a[1] .. ">"
	end
	local a, b = setmetatable({ 3 }, mt), setmetatable({ 4 }, mt)
	local c = a + b + a
	c.x = 5
	return table.concat({
		c[1], c.x, c[9], a .. b, a .. "z", "y" .. b, tostring(a == b),
		tostring(a < b), tostring(a <= b), #c, (-c)[1], a(6),
		tostring(c), ("%s|%s"):format(a, b),
	}, " ")
end

function works.iterators()
	local h = 0
	local function range(n)
		local i = 0
		return function()
			i = i + 1
			if i <= n then
				return i
			end
		end
	end
	for i in range(40) do
		h = fold(h, i)
	end
	local t = setmetatable({}, {
		__pairs = function()
			return function(_, k)
				k = (k or 0) + 1
				if k < 30 then
					return k, k * k
				end
			end
		end,
	})
	for _, v in pairs(t) do
		h = fold(h, v)
	end
	for a, b in ("k1=v1,k2=v2,k3=v3"):gmatch("(%w+)=(%w+)") do
		h = fold(h, #a + #b)
	end
	for _, v in ipairs(setmetatable({}, {
		__index = function(_, i)
			if i < 20 then
				return i
			end
		end,
	})) do
		h = fold(h, v)
	end
	return h
end

function works.errors()
	local h = 0
	local function thrower(n)
		if n == 0 then
			error({ code = 7 })
		end
		local ok, e = pcall(thrower, n - 1)
		assert(not ok)
		e.code = e.code + n
		error(e)
	end
	for i = 1, 8 do
		local ok, e = pcall(thrower, i)
		assert(not ok)
		h = fold(h, e.code)
		local _, m = xpcall(function()
			local x = nil
			return x.y
		end, function(m)
			for _ = 1, 5 do
				m = m .. "!"
			end
			return m
		end)
		h = fold(h, #m)
		assert(select("#", pcall(error)) == 2)
	end
	return h
end

function works.close()
	local log = {}
	local function closing(name, fails)
		return setmetatable({}, {
			__close = function(_, e)
				for _ = 1, 5 do
					log[#log + 1] = name
				end
				log[#log + 1] = tostring(e):gsub("^.*: ", "")
				if fails then
					error(name, 0)
				end
			end,
		})
	end
	local ok, e = pcall(function()
		local _ <close> = closing "a"
		local _ <close> = closing("b", true)
		for i = 1, 3 do
			local _ <close> = closing("c" .. i)
		end
		do
			local _ <close> = closing "d"
		end
		error("e", 0)
	end)
	assert(not ok and e == "b")
	for v in (function()
		local n = 0
		return function()
			n = n + 1
			return n < 4 and n or nil
		end, nil, nil, closing "for"
	end)() do
		log[#log + 1] = v
	end
	return table.concat(log, " ")
end

function works.coroutines()
	local h = 0
	local function tree(n)
		return coroutine.wrap(function()
			if n > 0 then
				for v in tree(n - 1) do
					coroutine.yield(v + 1)
				end
				coroutine.yield(n)
				for v in tree(n - 1) do
					coroutine.yield(v * 2)
				end
			end
		end)
	end
	for v in tree(5) do
		h = fold(h, v)
	end
	local co = coroutine.create(function(...)
		local _ <close> = setmetatable({}, {
			__close = function()
				for i = 1, 5 do
					h = fold(h, i)
				end
			end,
		})
		local n = select("#", ...)
		while true do
			n = n + select("#", coroutine.yield(n))
		end
	end)
	for i = 1, 6 do
		local ok, n = coroutine.resume(co, table.unpack({}, 1, i))
		assert(ok)
		h = fold(h, n)
	end
	assert(coroutine.close(co))
	assert(coroutine.status(co) == "dead")
	-- a coroutine that is resumed inside of a comparator
	local t = numbers(12, 3)
	local less = coroutine.wrap(function(a, b)
		while true do
			a, b = coroutine.yield(a < b)
		end
	end)
	table.sort(t, less)
	for i = 1, #t do
		h = fold(h, t[i])
	end
	return h
end

function works.loading()
	local pieces, i = { "local a = ...", " local b = a * 2", " return", " a + b" }, 0
	local f = assert(load(function()
		i = i + 1
		return pieces[i]
	end, "=pieces"))
	local ok, message = load(function()
		return error("in the reader", 0)
	end)
	-- Lua asks the message handler of whoever calls, too
	return f(7) .. tostring(ok) .. message:match("^[^\n]*")
end

function works.strings()
	local t = {}
	for k = 1, 20 do
		t[k] = ("%d:%s"):format(k, ("x"):rep(k % 5))
	end
	local s = table.concat(t, ",")
	local n = 0
	for _, c in utf8.codes(s .. "äöü€") do
		n = fold(n, c)
	end
	return n .. s:reverse():sub(1, 20)
end

function works.collecting()
	local n = 0
	local weak = setmetatable({}, { __mode = "k" })
	for i = 1, 30 do
		local o = setmetatable({ i }, {
			__gc = function(o)
				for _ = 1, 3 do
					n = n + o[1] - o[1]
				end
			end,
		})
		weak[o] = i
	end
	if math.random(50) == 1 then
		collectgarbage("step")
	end
	return n
end

function works.upvalues()
	local list = {}
	for i = 1, 10 do
		local x = i
		list[i] = {
			function()
				x = x + 1
				return x
			end,
			function()
				return x
			end,
		}
	end
	local h = 0
	for _ = 1, 3 do
		for i = 1, 10 do
			list[i][1]()
			h = fold(h, list[i][2]())
		end
	end
	return h
end

local names, expected = {}, {}
for name, work in pairs(works) do
	names[#names + 1] = name
	expected[name] = work()
end
table.sort(names)

local done, rounds = false, {}
for _, name in ipairs(names) do
	rounds[name] = 0
	task.start(function()
		while not done do
			local result = works[name]()
			if result ~= expected[name] then
				io.stderr:write(name, ": ", tostring(result), " is not ",
					tostring(expected[name]), "\n")
				os.exit(1)
			end
			rounds[name] = rounds[name] + 1
		end
	end, name)
end

local function preempted()
	local n = 0
	for _, t in ipairs(task.list()) do
		n = n + t.preempted
	end
	return n
end

print("ready")
io.stdout:flush()
repeat
	os.sleep(0.02)
until preempted() >= wanted
local n = preempted()
done = true
for _, name in ipairs(names) do
	local id = task.getid(name)
	if id then
		assert(task.wait(id))
	end
	assert(rounds[name] > 0, name)
end
io.stderr:write(n, " pre-emptions\n")
print("done")
