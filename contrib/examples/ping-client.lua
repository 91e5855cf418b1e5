-- The client of ping: how long do calls take?
--
--   thox-exec ping-client [ROUNDS [BYTES]]

local rpc = require "rpc"

local rounds = tonumber(arg[1]) or 100
local payload = ("x"):rep(tonumber(arg[2]) or 64)

print(rpc.ping.greet(os.name()))
local start = rpc.clock()
for _ = 1, rounds do
	assert(rpc.ping.echo(payload) == payload)
end
local seconds = rpc.clock() - start
print(("%d calls of %d bytes: %.1f microseconds each"):format(
	rounds, #payload, seconds / rounds * 1e6))
