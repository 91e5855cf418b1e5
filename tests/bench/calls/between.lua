-- Runs a program and stands between it and what it calls.
--
--   thox-exec between PROGRAM [ARG...]
local sandbox = require "sandbox"

local pid = os.run_program(arg[1], {
	context = sandbox.filter { deny = { "never.**" } }, args = { table.unpack(arg, 2) },
})
os.exit((os.wait_exit(pid)) or 1)
