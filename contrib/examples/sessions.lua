-- A service that knows who is logged in. A session that nobody asks for ends by
-- itself; a restart of the service ends none.
--
--   thox-exec -d sessions 1800       seconds until an idle session ends
--   thoxctl call sessions.open alice
--   thoxctl call sessions.who ID
--   thoxctl call sessions.close ID

local daemon = require "daemon"
local keys = require("storage").keys()
local idle = { ttl = tonumber(arg[1]) or 1800 }

local function new_id()
	local id = {}
	for i = 1, 4 do
		id[i] = ("%08x"):format(require("rpc").random.randint(0, 1 << 32))
	end
	return table.concat(id)
end

function daemon.rpc.sessions.open(_, user)
	local id
	repeat
		id = new_id()
	until keys:set(id, { user = user }, { ttl = idle.ttl, if_version = 0 })
	return id
end

function daemon.rpc.sessions.who(_, id)
	local session, version = keys:get(id)
	if not session then
		return nil
	end
	-- Used is as good as new; if it has just ended, it stays so.
	keys:set(id, session, { ttl = idle.ttl, if_version = version })
	return session.user
end

function daemon.rpc.sessions.close(_, id)
	return keys:delete(id)
end
