-- What the clients of thox and of redis have in common, a library of both.
--
--   PROGRAM get|set|sync SECONDS [SOCKET] NUMBER
--
-- Calls, with keys of its own by NUMBER and 100 bytes, for SECONDS from when
-- standard input ends. Prints the median time of a call in microseconds, and
-- calls a second. The clock is asked once for several: on one of the sides to
-- ask it is a call, too.
local each <const>, names <const> = 10, 1000
local value <const> = ("x"):rep(100)

local function run(call, clock, key, seconds)
	local times, n = {}, 0
	local begin = clock()
	local now = begin
	repeat
		for _ = 1, each do
			n = n % names + 1
			call(key[n], value)
		end
		local after = clock()
		times[#times + 1] = (after - now) / each
		now = after
	until now - begin >= seconds
	return times, #times * each / (now - begin)
end

return function(side)
	local kind, seconds = arg[1], tonumber(arg[2])
	local key, mine = {}, arg[#arg]

	for i = 1, names do -- they are there, and warm
		key[i] = ("key:%s:%d"):format(mine, i)
		side.set(key[i], value)
	end
	assert(side.get(key[1]) == value)
	print("ready")
	io.stdout:flush()
	assert(not io.read())

	local times, rate = run(side[kind], side.clock, key, seconds)
	table.sort(times)
	print(("%.1f %.0f"):format(times[(#times + 1) // 2] * 1e6, rate))
end
