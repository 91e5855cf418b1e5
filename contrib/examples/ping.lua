-- A service: `ping.echo` answers what it was sent, `ping.greet` greets.
--
--   thox-exec -d ping
--   thoxctl call ping.greet world
--   thox-exec ping-client 1000
--
-- The main function returns at once; the process goes on, because it has
-- handlers. `request` says who calls: thoxd's word, not the caller's.

local daemon = require "daemon"

function daemon.rpc.ping.echo(_, ...)
	return ...
end

function daemon.rpc.ping.greet(request, who)
	return ("hello %s, from process %d to process %d"):format(
		who or "nobody", os.pid(), request.pid)
end
