-- A context to give to a child as its context 0, which stands between the
-- child and what it may call: it refuses, logs, renames, and passes the rest
-- on in the child's own name.
--
-- Whoever calls is known by his PID, which is thoxd's word; os.up(pid) is the
-- context that stands for him. What a child runs gets the same context 0, and
-- the `up` of what it stands in front of itself is one of ours: nothing that
-- comes of a child gets around.

local thox = require "thox"

local OK, DENIED = os.status.OK, os.status.DENIED

local status_name = {}
for name, status in pairs(os.status) do
	status_name[status] = name
end

-- --- rules: what is refused, why; what it is called further on ----------------

local function first_match(patterns, name)
	for _, pattern in ipairs(patterns) do
		if thox.matches(pattern, name) then
			return pattern
		end
	end
end

-- Why not, or nil.
local function refuse(rules, name)
	local pattern = rules.deny and first_match(rules.deny, name)
	if pattern then
		return "the sandbox denies " .. pattern
	end
	if rules.allow and not first_match(rules.allow, name) then
		return "the sandbox allows no " .. name
	end
end

-- By the longest of the names that it is, or is below.
local function rename(names, name)
	local head = name
	while names and head do
		if names[head] then
			return names[head] .. name:sub(#head + 1)
		end
		head = head:match("^(.*)%.")
	end
	return name
end

-- The context that stands for who calls.
local function up_of(request)
	local up = os.up(request.pid)
	if not up then
		error({
			status = DENIED,
			message = ("the sandbox was not given to process %d"):format(request.pid),
		})
	end
	return up
end

-- --- what comes from the child ------------------------------------------------

local interpose

local function forward(rules, request, fixed, ...)
	local name = rename(rules.names, request.name)
	local up = fixed or up_of(request)
	if name ~= "process.run" then
		return thox.forward(request, up, name, ...)
	end
	local spec = ...
	local own = type(spec) == "table" and spec.context ~= nil
	if type(spec) == "table" and not own then
		spec.context = fixed and interpose(rules) or request.ctx
	end
	local pid, child = thox.run(request, up, name, ...)
	local wrapped = own and child and interpose(rules, child)
	if wrapped then
		return pid, wrapped
	end
	return pid
end

local function serve(rules, request, fixed, ...)
	local why = refuse(rules, request.name)
	if why then
		error({ status = DENIED, message = why })
	end
	return forward(rules, request, fixed, ...)
end

-- The same, for who does not log: what was found out about a name is kept, for
-- so many names, since a child may think of any; and from then on the child's
-- calls of it go on by themselves, where they can.
local NAMES_MAX = 1000

local function quick_serve(rules, fixed)
	local known, n = {}, 0

	return function(request, ...)
		local name = request.name
		local to = known[name]
		if not to and name ~= "process.run" and not refuse(rules, name) then
			if n >= NAMES_MAX then
				known, n = {}, 0
			end
			to = rename(rules.names, name)
			known[name], n = to, n + 1
		end
		if not to then
			return serve(rules, request, fixed, ...)
		end
		local up = fixed or up_of(request)
		thox.relay(request, up, to)
		return thox.forward(request, up, to, ...)
	end
end

-- What the child pushes, and what it listens to, goes on as it was.
local function pass_push(rules, request, fixed, ...)
	if not refuse(rules, request.name) then
		thox.pass(request)
		os.push(fixed or up_of(request), rename(rules.names, request.name), ...)
	end
end

local function pass_listen(rules, request, fixed, on)
	if refuse(rules, request.name) then
		return
	end
	local id, pid = request.ctx.id, request.pid
	local up = fixed or up_of(request)
	thox.hear(up, "", function(push, ...)
		thox.pass(push)
		local name = rename(rules.back, push.name)
		if refuse(rules, name) then
			return
		end
		thox.tell(id, pid, push.name, ...)
		if name ~= push.name then
			thox.tell(id, pid, name, ...)
		end
	end)
	os.listen(up, rename(rules.names, request.name), on)
end

-- --- logging ------------------------------------------------------------------

local function write_line(entry)
	local line = ("%s[%d] %s %s"):format(entry.program or "-", entry.pid, entry.kind, entry.name)
	if entry.status then
		line = line .. ": " .. status_name[entry.status]
	end
	if entry.status and entry.status ~= OK then
		line = line .. ": " .. tostring(entry.message)
	end
	require "log".info("%s", line)
end

local function entry_of(request, kind, ...)
	return {
		kind = kind, name = request.name, pid = request.pid, program = request.program,
		service = request.service, args = table.pack(...),
	}
end

local function logged_serve(rules, request, fixed, ...)
	local entry = entry_of(request, "call", ...)
	local results = table.pack(pcall(serve, rules, request, fixed, ...))
	local err = results[2]
	if results[1] then
		entry.status = OK
	else
		local failed = type(err) == "table"
		entry.status = failed and err.status or os.status.ERROR
		entry.message = failed and err.message or err
	end
	rules.log(entry)
	if not results[1] then
		error(err, 0)
	end
	return table.unpack(results, 2, results.n)
end

local function logged(fn, kind)
	return function(rules, request, fixed, ...)
		rules.log(entry_of(request, kind, ...))
		return fn(rules, request, fixed, ...)
	end
end

-- --- the context --------------------------------------------------------------

-- @fixed: the `up` of all who hold it; nil: each his own. It ends with that, so
-- there is none when that has ended already.
function interpose(rules, fixed)
	local ctx = os.context()
	local id = ctx.id
	local function close()
		os.close(id)
	end
	if fixed and not pcall(thox.last, fixed, close) then
		return nil
	end
	local function bound(fn, kind)
		fn = rules.log and kind and logged(fn, kind) or fn
		return function(request, ...)
			return fn(rules, request, fixed, ...)
		end
	end
	thox.serve(ctx, "", rules.log and bound(logged_serve) or quick_serve(rules, fixed))
	thox.hear(ctx, "", bound(pass_push, "push"))
	thox.listened(ctx, bound(pass_listen, "listen"))
	return ctx
end

-- --- the library --------------------------------------------------------------

local function check_patterns(what, patterns)
	if patterns == nil then
		return
	end
	if type(patterns) ~= "table" then
		error(("%s is a list of patterns, not %s"):format(what, type(patterns)), 3)
	end
	for _, pattern in ipairs(patterns) do
		if not pcall(thox.matches, pattern, "x") then
			error(("%s: no pattern of names: %s"):format(what, tostring(pattern)), 3)
		end
	end
end

-- What is changed afterwards has no effect.
local function copy(patterns)
	return patterns and table.move(patterns, 1, #patterns, 1, {})
end

-- true, patterns of what is logged, or a function that gets each entry
local function logger(log)
	if not log or type(log) == "function" then
		return log or nil
	end
	if log == true then
		return write_line
	end
	return function(entry)
		if first_match(log, entry.name) then
			write_line(entry)
		end
	end
end

local M = {}

-- Patterns as in a policy: `fs.read`, `fs.*`, `fs.**`. What matches `deny`, or
-- nothing of `allow`, is refused. `log`: true, or patterns of what is logged, or
-- a function that gets {kind=, name=, pid=, program=, service=, args=, status=,
-- message=}; kind is "call", "push" or "listen", a call is told when answered.
function M.filter(options)
	if type(options) ~= "table" then
		error("a table of options is wanted: {allow=, deny=, log=}", 2)
	end
	for key in pairs(options) do
		if key ~= "allow" and key ~= "deny" and key ~= "log" then
			error("no such option: " .. tostring(key), 2)
		end
	end
	check_patterns("allow", options.allow)
	check_patterns("deny", options.deny)
	if type(options.log) == "table" then
		check_patterns("log", options.log)
	end
	return interpose({
		allow = copy(options.allow), deny = copy(options.deny), log = logger(options.log),
	})
end

-- Calls, pushes and listening by an old name, or below it, go by the new one.
function M.translate(names)
	if type(names) ~= "table" then
		error("names are wanted: {old = \"new\"}", 2)
	end
	local further, back = {}, {}
	for old, new in pairs(names) do
		if type(old) ~= "string" or type(new) ~= "string" then
			error("names are wanted: {old = \"new\"}", 2)
		end
		further[old], back[new] = new, old
	end
	return interpose({ names = further, back = back })
end

return M
