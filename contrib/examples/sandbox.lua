-- Shows what a program has here, and what it has not: run it with plain
-- lua5.4 and with thox-exec, and compare.
--
--   thox-exec sandbox
--   lua5.4 contrib/examples/sandbox.lua
--
-- (It asks for what is not there, which luacheck would rightly mind.)
-- luacheck: std lua54

local function report(what, fn)
	local ok, result = pcall(fn)
	print(("%-28s %s"):format(what, ok and result and "yes" or "no"))
end

report("compute", function() return 6 * 7 == 42 end)
report("read standard input", function() return io.stdin ~= nil end)
report("use a library", function() return require("string") == string end)
report("open a file", function() return io.open("/etc/passwd") end)
report("run a command", function() return io.popen("id") end)
report("remove a file", function() return os.remove ~= nil end)
report("see your environment", function() return os.getenv("HOME") end)
report("load bytecode", function()
	return load(string.dump(function() end))
end)
report("load C code", function() return package.loadlib ~= nil end)
