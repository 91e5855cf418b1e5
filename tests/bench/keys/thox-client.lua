-- A client of thox's keys: see client.lua.
local keys = require("storage").keys()
local sync <const> = { sync = true }

require("client")({
	clock = require("rpc").clock,
	get = function(key)
		return keys:get(key)
	end,
	set = function(key, value)
		keys:set(key, value)
	end,
	sync = function(key, value)
		keys:set(key, value, sync)
	end,
})
