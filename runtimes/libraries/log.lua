-- Lines for whoever looks after the program, on standard error. In a service,
-- or in the background, each has a level in front that keepers of logs
-- understand, elsewhere a word:
--
--     log.error("%s is not there", name)    <3>greeter is not there
--                                           error: greeter is not there

local levels = { debug = 7, info = 6, warn = 4, error = 3 }
local in_service = require "thox".service() ~= nil

local M = {}

for name, level in pairs(levels) do
	local head = in_service and ("<%d>"):format(level) or name .. ": "

	-- Without values the text is taken as it is. Each line of it gets the
	-- level, or the others would have another.
	M[name] = function(format, ...)
		local text = format
		if type(text) ~= "string" then
			error("a format is wanted, not a " .. type(text), 2)
		end
		if select("#", ...) > 0 then
			local ok, result = pcall(text.format, text, ...)
			if not ok then
				error(result, 2)
			end
			text = result
		end
		text = text:gsub("\n+$", ""):gsub("\n", "\n" .. head)
		io.stderr:write(head, text, "\n")
	end
end

return M
