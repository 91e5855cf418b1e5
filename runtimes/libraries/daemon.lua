-- Functions that answer calls, each call in a task of its own, also while the
-- main task waits elsewhere. When the main function returns, the process goes
-- on as long as there are any.

local task = require "task"
local thox = require "thox"

-- How often a millisecond is waited for a function that is still to come.
local TRIES_MAX = 250

-- Whoever is asked for what he does not have says so, or his caller would wait.
local function not_there(request)
	error({ status = os.status.NOT_FOUND, message = "nothing here is called " .. request.name })
end

-- --- on the bus ---------------------------------------------------------------

local functions = {} -- by name: {fn=, at=}, the function and the name that is bound for it
local users = {} -- by bound name: how many functions are there for which it is
local assigner -- the task that assigned the last one
local binding_now = 0

-- A name of several parts binds all but the last, another itself; nothing is
-- bound below what is bound already.
local function binding(name)
	local at = name:match("^(.*)%.") or name
	local above = at
	while above and not users[above] do
		above = above:match("^(.*)%.")
	end
	return above or at
end

-- A name is bound with its first function, and called from then on. Whoever
-- assigns it may be about to assign others: until he waits or has ended.
local function may_come()
	if binding_now > 0 then
		return true
	end
	for _, t in ipairs(task.list()) do
		if t.id == assigner then
			return not t.waiting
		end
	end
	return false
end

local function find(name)
	while name and not functions[name] do
		name = name:match("^(.*)%.")
	end
	return name and functions[name].fn
end

local function not_there_yet(request, ...)
	local fn, tries = find(request.name), 0
	while not fn and tries < TRIES_MAX and may_come() do
		os.sleep(0.001)
		fn, tries = find(request.name), tries + 1
	end
	return (fn or not_there)(request, ...)
end

local function bind(at)
	binding_now = binding_now + 1
	local ok, err = pcall(os.bind, at)
	binding_now = binding_now - 1
	return ok, err
end

local function remove(name)
	local at = functions[name].at
	local left = users[at] - 1

	functions[name] = nil
	users[at] = left > 0 and left or nil
	thox.serve(0, name, users[name] and not_there_yet)
	if left == 0 then
		thox.serve(0, at, nil)
	end
	return left == 0 and at
end

local function add(name, fn)
	if functions[name] then
		functions[name].fn = fn
		thox.serve(0, name, fn)
		return
	end
	local at = binding(name)
	local first = not users[at]

	users[at] = (users[at] or 0) + 1
	functions[name] = { fn = fn, at = at }
	assigner = task.getid()
	if first then
		thox.serve(0, at, not_there_yet)
	end
	thox.serve(0, name, fn)
	if first then
		local ok, err = bind(at)
		if not ok then
			remove(name)
			error(err, 0)
		end
	end
end

local function serve_bus(_, name, fn)
	if fn then
		add(name, fn)
	elseif functions[name] then
		local at = functions[name].at
		if users[at] == 1 then
			os.unbind(at) -- before its calls find nobody
		end
		remove(name)
	end
end

-- --- on a context of one's own ------------------------------------------------

local function serve_context(ctx, name, fn)
	thox.serve(ctx, name, fn)
	thox.serve(ctx, "", not_there)
end

-- --- names to assign to -------------------------------------------------------

local NAME, CONTEXT, SERVE = {}, {}, {}
local Name = {}

local function root(serve, ctx)
	return setmetatable({ [NAME] = "", [CONTEXT] = ctx, [SERVE] = serve }, Name)
end

local function join(name, part)
	if type(part) ~= "string" or not part:find("^[%w_-]+$") then
		error("a part of a name is letters, digits, '_' and '-', not "
			.. (type(part) == "string" and ("%q"):format(part) or "a " .. type(part)), 3)
	end
	return name == "" and part or name .. "." .. part
end

function Name.__index(self, part)
	return setmetatable({
		[NAME] = join(self[NAME], part), [CONTEXT] = self[CONTEXT], [SERVE] = self[SERVE],
	}, Name)
end

function Name.__newindex(self, part, fn)
	local name = join(self[NAME], part)
	if fn ~= nil and type(fn) ~= "function" then
		error(("%s: function expected, got %s"):format(name, type(fn)), 2)
	end
	self[SERVE](self[CONTEXT], name, fn)
end

-- --- the library --------------------------------------------------------------

local M = { rpc = root(serve_bus, 0) }

function M.on(ctx)
	return root(serve_context, ctx)
end

-- A context with these functions. It goes with its last holder, and then
-- `close` is called, which nobody else can.
function M.object(methods)
	local ctx = os.context()
	local id, close = ctx.id, methods.close
	for name, fn in pairs(methods) do
		if name ~= "close" then
			M.on(ctx)[name] = fn
		end
	end
	-- by its number, or the function itself would keep it
	thox.last(ctx, function()
		os.close(id)
		if close then
			close()
		end
	end)
	return ctx
end

M.stop = thox.stop

-- daemon.on_terminate = function() … end
return setmetatable(M, {
	__newindex = function(_, key, fn)
		if key ~= "on_terminate" then
			error("daemon has no " .. tostring(key), 2)
		end
		thox.terminate(fn)
	end,
})
