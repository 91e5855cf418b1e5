-- Runs a program that may make so many calls a second and no more: those above
-- wait for their turn, and when too many wait, the next is refused.
--
--   thox-exec rate-limit RATE PROGRAM [ARG...]
--
-- To run others, [exec] of thoxd.conf must say so: allow-run = **
--
-- The program needs to know nothing of it: its context 0 is ours, and what we
-- let pass goes to `up`, which stands for the program, its storage and policy.

local rpc = require "rpc"

require("task").cooperative(true) -- no other task between a look and a change

local WAITING_MAX = 100
local rate = tonumber(arg[1])
if not rate or rate <= 0 or not arg[2] then
	io.stderr:write("usage: rate-limit RATE PROGRAM [ARG...]\n")
	os.exit(2)
end

local asked = os.context()
local pid = os.run_program(arg[2], { context = asked, args = { table.unpack(arg, 3) } })
local up = os.up(pid)

local waiting = 0
local free_at = 0 -- when the next call may pass

local function wait_for_turn()
	local now = rpc.clock()
	local at = math.max(free_at, now)

	free_at = at + 1 / rate
	if at > now then
		os.sleep(at - now)
	end
end

local function pass(call)
	waiting = waiting + 1
	wait_for_turn()
	waiting = waiting - 1
	os.answer(call.cid, os.wait(os.call { ctx = up, name = call.name, args = call.args,
		timeout = call.deadline }))
end

while true do
	local event = os.pull { "call", "exit" }
	if event.type == "exit" and event.pid == pid then
		os.exit(event.code or 128 + event.signal)
	elseif event.type == "call" and waiting >= WAITING_MAX then
		os.answer(event.cid, os.status.TOO_LARGE,
			("more than %d calls wait for rate-limit"):format(WAITING_MAX))
	elseif event.type == "call" then
		os.task(pass, event)
	end
end
