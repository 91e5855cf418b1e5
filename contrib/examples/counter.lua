-- A counter that goes on where it was, whatever ended it.
--
--   thox-exec counter 5     counts on to five more
--   thox-exec counter       counts until somebody ends it: kill -9 it
--
-- With sync each number is on the disk before it is printed, so none is
-- printed twice, also after a power cut.

local keys = require("storage").keys()

for _ = 1, tonumber(arg[1]) or math.huge do
	print((keys:increment("count", 1, { sync = true })))
	io.stdout:flush()
end
