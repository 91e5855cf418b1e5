-- Has COUNT tasks give way to each other in a ring; prints for each round the
-- microseconds from one to the next.
--
--   thox-exec tasks COUNT ROUNDS
local task = require "task"

local count, rounds = tonumber(arg[1]), tonumber(arg[2])
local switches = 200000
local clock = require "rpc".clock
local queues = {}

for i = 1, count do
	queues[i] = task.queue(1)
end
for i = 1, count - 1 do
	task.start(function()
		local from, to = queues[i], queues[i + 1]
		while true do
			to:put(from:get())
		end
	end)
end
for _ = 1, rounds do
	local begin = clock()
	for _ = 1, switches // count do
		queues[1]:put(true)
		queues[count]:get()
	end
	print(("%.3f"):format((clock() - begin) / switches * 1e6))
end
os.exit(0)
