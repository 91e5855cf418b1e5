-- Calls as if they were functions: rpc.greeter.greet("you") calls
-- `greeter.greet` on context 0, waits, and returns what was answered. Unless
-- that is OK it raises {status=, message=, name=}.
--
-- rpc.greeter and rpc.greeter.greet are tables, made when they are first asked
-- for and kept, so that a call in a loop finds them as any field. Each is what
-- thox.invoke() takes: context, name, timeout, and what it is a field of.

local NAME_BYTES = 128
local KEPT = 5 -- the key of how many fields are kept
local KEPT_MAX = 256 -- a program may make names up endlessly

local Name = { __call = require "thox".invoke }

local function new(ctx, name, timeout, above)
	return setmetatable({ ctx, name, timeout or false, above, 0 }, Name)
end

local function root(ctx, timeout)
	return new(ctx, "", timeout, false)
end

function Name.__index(above, part)
	if type(part) ~= "string" or not part:find("^[%w_-]+$") then
		error("a part of a name is letters, digits, '_' and '-', not "
			.. (type(part) == "string" and ("%q"):format(part) or "a " .. type(part)), 2)
	end
	local name = above[2] == "" and part or above[2] .. "." .. part
	if #name > NAME_BYTES then
		error("a name has " .. NAME_BYTES .. " bytes at most", 2)
	end
	local below = new(above[1], name, above[3], above)
	if above[KEPT] < KEPT_MAX then
		above[KEPT] = above[KEPT] + 1
		rawset(above, part, below)
	end
	return below
end

function Name.__newindex()
	error("a name is called here; daemon.rpc serves one", 2)
end

function Name.__tostring(self)
	return "call: " .. self[2]
end

local function check_context(ctx)
	if type(ctx) ~= "userdata" and math.type(ctx) ~= "integer" then
		error("a context or its number is wanted, not " .. type(ctx), 3)
	end
	return ctx
end

local M = root(0)

-- rpc.on(ctx).read(10): the same on another context
rawset(M, "on", function(ctx)
	return root(check_context(ctx))
end)

-- rpc.with{timeout = 2}.greeter.greet("you"): seconds; ctx = as with `on`
rawset(M, "with", function(options)
	for key in pairs(options) do
		if key ~= "timeout" and key ~= "ctx" then
			error("no such option: " .. tostring(key), 2)
		end
	end
	local timeout = options.timeout
	if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout or timeout < 0) then
		error("timeout is a number of seconds", 2)
	end
	return root(check_context(options.ctx or 0), timeout)
end)

return M
