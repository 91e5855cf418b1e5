-- Several of these run, one of them leads; when it ends, the next one does.
--
--   thox-exec -d leader
--   thox-exec -d leader
--   thoxctl locks leader
--   thoxctl logs leader
--
-- The lock is a context: the kernel closes it when its holder dies, of
-- whatever. Only thox-storaged itself can end it before, and says so.

local storage = require "storage"

local function say(what)
	print("process " .. os.pid() .. " " .. what)
	io.stdout:flush()
end

say("stands by")
while true do
	local ok, lock = pcall(storage.lock, "leader", { timeout = 86400 })
	if ok then
		say("leads")
		repeat
			local event = os.pull("close")
		until event.ctx == lock
		say("leads no more")
	elseif lock.status ~= os.status.TIMEOUT and lock.status ~= os.status.CLOSED then
		error(lock, 0)
	end
end
