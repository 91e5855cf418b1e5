-- Runs a program and writes what it asks for to standard error.
--
--   thox-exec log-calls PROGRAM [ARG...]      (thoxd.conf: [exec] allow-run = **)
local asked = os.context()
local pid = os.run_program(arg[1], { context = asked, args = { table.unpack(arg, 2) } })
local up = os.up(pid) -- stands for the child: what goes there is its doing
while true do
	local event = os.pull { "call", "exit" }
	if event.type == "call" then
		io.stderr:write("asks for ", event.name, "\n")
		os.task(function()
			os.answer(event.cid, os.wait(os.call { ctx = up, name = event.name,
				args = event.args, timeout = event.deadline }))
		end)
	elseif event.pid == pid then
		os.exit(event.code or 128 + event.signal)
	end
end
