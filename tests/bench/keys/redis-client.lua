-- A client of the redis whose socket is the third argument: see client.lua.
-- Whether a set is synced was the server's choice.
local redis = require("redis").connect({ scheme = "unix", path = arg[3] })

local function set(key, value)
	redis:set(key, value)
end

require("client")({
	clock = require("socket").gettime,
	get = function(key)
		return redis:get(key)
	end,
	set = set,
	sync = set,
})
