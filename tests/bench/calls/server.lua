-- Serves NAME, or one of its own in a crowd: what the measurements of calls
-- call. `busy`: and computes without pause.
--
--   thox-exec server [NAME [busy]]
local daemon = require "daemon"

local name = arg[1] or "crowd.p" .. os.pid()
local mine = daemon.rpc
for part in name:gmatch("[^.]+") do
	mine = mine[part]
end

function mine.echo(_, text)
	return text
end

function mine.take()
end

function mine.context()
	return os.context()
end

print "ready"
io.stdout:flush()

while arg[2] == "busy" do
end
