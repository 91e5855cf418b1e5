-- Greets whoever its arguments name; GREETING in the environment changes how.
--
--   thox-exec hello world
--   thox-exec --env GREETING=Ahoy hello Ada Grace

local greeting = os.getenv("GREETING") or "Hello"
local names = { ... }

if #names == 0 then
	names[1] = "world"
end
print(("%s, %s!"):format(greeting, table.concat(names, " and ")))
