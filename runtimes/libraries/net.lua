-- The service-name bus: one value goes there, one comes back, and what goes
-- wrong is returned, not raised.

local thox = require "thox"

local TIMEOUT = 0.5 -- seconds, where a call says nothing of it

local M = {}

local serving, listening = {}, {} -- by name

local function check_handler(handler)
	if type(handler) ~= "function" then
		error("a handler is a function, not a " .. type(handler), 3)
	end
end

-- Or the error would be said of a line here.
local function check_name(name)
	if type(name) ~= "string" then
		error("a name is wanted, not a " .. type(name), 3)
	end
	if #name > 128 or not name:find("^[%w_.-]+$") or ("." .. name .. "."):find("..", 1, true) then
		error(("no name: %q"):format(name), 3)
	end
end

-- Is it another machine that is meant? Then why it cannot be reached.
local function no_link(options)
	local label = options and options.to
	if label ~= nil and label ~= os.label() then
		return "no link to " .. tostring(label)
	end
end

-- handler(payload, request) -> result
function M.serve(name, handler)
	check_name(name)
	check_handler(handler)
	thox.serve(0, name, function(request, payload)
		return (handler(payload, request))
	end)
	if serving[name] then
		return
	end
	local ok, err = pcall(os.bind, name)
	if not ok then
		thox.serve(0, name, nil)
		error(err, 2)
	end
	serving[name] = true
end

-- handler(payload, request): nobody waits for it
function M.listen(name, handler)
	check_name(name)
	check_handler(handler)
	thox.hear(0, name, function(request, payload)
		handler(payload, request)
	end)
	listening[name] = true
	os.listen(0, name)
end

-- true, result | false, message, status; {to = label, timeout = seconds}
function M.call(name, payload, options)
	check_name(name)
	local why = no_link(options)
	if why then
		return false, why, os.status.NOT_FOUND
	end
	local cid = os.call {
		name = name,
		args = { payload, n = 1 },
		timeout = options and options.timeout or TIMEOUT,
	}
	local status, result = os.wait(cid)
	if status == os.status.OK then
		return true, result
	end
	return false, result, status
end

-- To every listener but this process: true | false, message, status
function M.send(name, payload, options)
	check_name(name)
	local why = no_link(options)
	if why then
		return false, why, os.status.NOT_FOUND
	end
	os.push(0, name, payload)
	return true
end

local function stop(name)
	if serving[name] then
		serving[name] = nil
		os.unbind(name)
		thox.serve(0, name, nil)
	end
	if listening[name] then
		listening[name] = nil
		os.listen(0, name, false)
		thox.hear(0, name, nil)
	end
end

-- Without a name: all of them.
function M.stop(name)
	if name then
		stop(name)
		return
	end
	for _, names in ipairs { serving, listening } do
		while next(names) do
			stop((next(names)))
		end
	end
end

-- require("net")() is what some programs write.
return setmetatable(M, {
	__call = function()
		return M
	end,
})
