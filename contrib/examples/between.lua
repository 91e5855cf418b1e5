-- Runs a program and stands between it and all that it asks for: tells each
-- call, renames some, refuses others, and passes the rest on in its name.
--
--   thox-exec --allow run='**' --allow call='**' between ping-client 10
--
-- (What it does for calls, the library `sandbox` does for all that there is.)

local program = assert(arg[1], "usage: between PROGRAM [ARG...]")
local renamed = { ["clock"] = "random.random" }
local refused = { ["process.run"] = true }

local ctx = os.context()
os.task(function()
	while true do
		local call = os.pull("call")
		os.task(function()
			local name = renamed[call.name] or call.name
			io.stderr:write(("%s asks for %s\n"):format(program, name))
			if refused[name] then
				return os.answer(call.cid, os.status.DENIED, name .. " is not for you")
			end
			os.answer(call.cid, os.wait(os.call {
				ctx = os.up(call.pid), name = name, args = call.args, timeout = call.deadline,
			}))
		end)
	end
end)
os.exit(os.wait_exit(os.run_program(program, { args = { table.unpack(arg, 2) }, context = ctx })))
