-- The client of chat-room: what it reads it says, and it prints what is said.
--
--   thox-exec chat NICK

local rpc = require "rpc"

local nick = arg[1]
if not nick then
	io.stderr:write("usage: chat NICK\n")
	os.exit(2)
end

io.stdout:setvbuf("line") -- also where it is no terminal
local seat <close> = rpc.chat.join(nick)
os.listen(seat, "said")

-- This task prints while the main one waits for a line.
os.task(function()
	while true do
		local event = os.pull { "push", "lost", "close" }
		if event.type == "push" then
			print(event.args[1])
		elseif event.type == "lost" then
			print(("(%d lines missed)"):format(event.count))
		elseif event.ctx == seat then
			print("the room has closed")
			os.exit(1)
		end
	end
end)

print("here are: " .. table.concat(rpc.chat.members(), ", "))
for line in io.lines() do
	rpc.on(seat).say(line)
end
os.exit(true, true) -- the other task would go on; `true` closes the seat
