std = "lua54"
max_line_length = 100
-- What programs have: the standard that users get.
stds.thox = dofile("contrib/luacheck/thox.lua")
files["contrib/examples"] = { std = "thox" }
files["tests/tasks"] = { std = "thox" }
files["tests/bench/calls"] = { std = "thox" }
files["tests/mesh"] = { std = "thox" }
files["runtimes/libraries"] = { std = "thox" }
-- Declarations without bodies, which define what others read.
files["contrib/luals"] = {
	globals = { "os" }, unused_args = false, unused = false, max_line_length = false,
}
