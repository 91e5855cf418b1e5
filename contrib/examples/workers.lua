-- A pool of workers: counts primes in as many processes as are wanted.
--
--   thox-exec workers [COUNT [LIMIT]]
--
-- Each worker is a child whose context 0 is the pool: it can take work and hand
-- in results, and nothing else. One that dies loses its piece, which another
-- gets.

local daemon = require "daemon"

local WORKER = [[
local rpc = require "rpc"

local function is_prime(n)
	for d = 2, math.floor(math.sqrt(n)) do
		if n % d == 0 then return false end
	end
	return n > 1
end

while true do
	local from, to = rpc.take()
	if not from then break end
	local found = 0
	for n = from, to do
		if is_prime(n) then found = found + 1 end
	end
	rpc.done(from, found)
end
]]

-- What one call looks at, no other changes before it is done.
require("task").cooperative(true)

local count = tonumber(arg[1]) or 4
local limit = tonumber(arg[2]) or 100000
local piece = math.max(100, limit // (count * 8))

local todo = {}
for from = 1, limit, piece do
	todo[#todo + 1] = { from = from, to = math.min(from + piece - 1, limit) }
end

local pool = os.context()
local taken = {} -- by the worker's PID
local total = 0
local serve = daemon.on(pool)

function serve.take(request)
	local work = table.remove(todo)

	taken[request.pid] = work
	if work then
		return work.from, work.to
	end
end

function serve.done(request, from, found)
	local work = taken[request.pid]

	if not work or work.from ~= from or math.type(found) ~= "integer" then
		error({ status = os.status.INVALID, message = "that was not your work" }, 0)
	end
	taken[request.pid] = nil
	total = total + found
end

local function start()
	return os.run_code(WORKER, { name = "worker", context = pool })
end

local running = {}
for _ = 1, count do
	running[start()] = true
end
while next(running) do
	local event = os.pull("exit")
	local lost = taken[event.pid]

	running[event.pid] = nil
	taken[event.pid] = nil
	todo[#todo + 1] = lost
	if #todo > 0 then -- or it would not have ended
		running[start()] = true
	end
end
daemon.stop()
print(("%d primes up to %d"):format(total, limit))
