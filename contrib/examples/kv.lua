-- A key-value service, in memory.
--
--   thox-exec -d kv
--   thoxctl call kv.set colour '{"name":"red","rgb":[255,0,0]}'
--   thoxctl call kv.get colour
--   thoxctl listen kv.changed
--
--   kv.get(key) -> value, version | nil     kv.list([prefix]) -> keys
--   kv.set(key, value [, version]) -> version
--   kv.delete(key) -> boolean               kv.increment(key [, n]) -> number
--
-- A set with a version is refused unless the key still has it (0: is not
-- there), so two writers do not undo each other's work. Each change is pushed
-- as kv.changed(key, version) to whoever listens.

local daemon = require "daemon"

-- No other call is served between a look and what follows from it.
require("task").cooperative(true)

local entries = {}
local version = 0

local function invalid(message)
	error({ status = os.status.INVALID, message = message }, 0)
end

local function check_key(key)
	if type(key) ~= "string" or #key == 0 or #key > 200 then
		invalid("a key is a string of 1 to 200 bytes")
	end
	return key
end

local function put(key, value)
	version = version + 1
	entries[key] = value ~= nil and { value = value, version = version } or nil
	os.push(0, "kv.changed", key, version)
	return version
end

function daemon.rpc.kv.get(_, key)
	local entry = entries[check_key(key)]
	if entry then
		return entry.value, entry.version
	end
end

function daemon.rpc.kv.set(_, key, value, expected)
	local entry = entries[check_key(key)]
	local found = entry and entry.version or 0

	if value == nil then
		invalid("a value is wanted; kv.delete removes a key")
	end
	if expected and expected ~= found then
		error(("%s has version %d, not %d"):format(key, found, expected), 0)
	end
	return put(key, value)
end

function daemon.rpc.kv.delete(_, key)
	local there = entries[check_key(key)] ~= nil

	if there then
		put(key, nil)
	end
	return there
end

function daemon.rpc.kv.increment(_, key, n)
	local entry = entries[check_key(key)]
	local value = entry and entry.value or 0

	if math.type(value) == nil or math.type(n or 1) == nil then
		invalid("only numbers can be incremented, by numbers")
	end
	value = value + (n or 1)
	put(key, value)
	return value
end

function daemon.rpc.kv.list(_, prefix)
	local keys = {}

	prefix = prefix or ""
	for key in pairs(entries) do
		if key:sub(1, #prefix) == prefix then
			keys[#keys + 1] = key
		end
	end
	table.sort(keys)
	return keys
end
