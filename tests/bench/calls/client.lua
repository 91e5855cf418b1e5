-- Calls NAME with a string of BYTES; prints for each round the microseconds of
-- one of COUNT calls. `*` in NAME: all that are bound so, in turn.
--
--   thox-exec client NAME BYTES COUNT ROUNDS
local rpc = require "rpc"

local names, bytes = arg[1], tonumber(arg[2])
local count, rounds = tonumber(arg[3]), tonumber(arg[4])
local text = ("x"):rep(bytes)
local clock = rpc.clock
local functions = {}

local function find(name)
	local fn = rpc
	for part in name:gmatch("[^.]+") do
		fn = fn[part]
	end
	functions[#functions + 1] = fn
end

local first, last = names:match("^(.*)%*(.*)$")
if first then
	for _, bound in ipairs(rpc.bus.list()) do
		if bound.name:sub(1, #first) == first then
			find(bound.name .. last)
		end
	end
else
	find(names)
end

local value
for _, fn in ipairs(functions) do -- finds its way, and warms up
	value = fn(text)
end
for _ = 1, rounds do
	local begin, n = clock(), #functions
	local contexts = {}
	if type(value) == "userdata" then
		for i = 1, count do
			contexts[i] = functions[1](text)
		end
	elseif n == 1 then
		local fn = functions[1]
		for _ = 1, count do
			fn(text)
		end
	else
		for i = 1, count do
			functions[i % n + 1](text)
		end
	end
	print(("%.3f"):format((clock() - begin) / count * 1e6))
	for _, context in ipairs(contexts) do
		context:close()
	end
	if #contexts > 0 then
		os.sleep(0.3) -- until they are closed for all: that is no part of sharing
	end
end
