-- A queue of jobs. Who takes one has a lease; if he dies or dawdles it ends,
-- and another takes the job. A job is gone when it is done.
--
--   thox-exec jobs put 'sweep the floor'
--   thox-exec jobs work 30           takes jobs, with leases of 30 seconds
--   thox-exec jobs list

local keys = require("storage").keys()

local function put(text)
	local number = keys:increment("number")
	keys:set(("job/%09d"):format(number), text, { sync = true })
	return number
end

-- The first job that nobody has: its key and text, or nil
local function take(seconds)
	for key in keys:list("job/", { keys = true }) do
		local text = keys:transaction(function(t)
			local job = t:get(key)
			if job and not t:get("lease/" .. key) then
				t:set("lease/" .. key, os.pid(), { ttl = seconds })
				return job
			end
		end)
		if text then
			return key, text
		end
	end
end

-- False: the lease is another's by now, who does it again.
local function done(key)
	return keys:transaction(function(t)
		local mine = t:get("lease/" .. key) == os.pid()
		if mine then
			t:delete(key)
			t:delete("lease/" .. key)
		end
		return mine
	end, { sync = true })
end

local command, argument = arg[1], arg[2]
if command == "put" then
	print(put(argument))
elseif command == "list" then
	for key, text in keys:list("job/") do
		local worker = keys:get("lease/" .. key)
		print(text, worker and "process " .. worker or "waits")
	end
elseif command == "work" then
	local changed = require("task").queue()
	keys:watch("", function() changed:put(true) end)
	while true do
		local key, text = take(tonumber(argument) or 30)
		if key then
			print("works on " .. text)
			io.stdout:flush()
			if text:find("^hard") then
				os.sleep(3600) -- this one takes its time
			end
			print(done(key) and "has done " .. text or "was too slow")
			io.stdout:flush()
		else
			changed:get() -- a new job, or the end of a lease
		end
	end
else
	error("put TEXT, list or work SECONDS", 0)
end
