-- A chat room. Whoever joins gets a seat: a context to talk through, which
-- nobody else has. Who gives it up, or dies, has left.
--
--   thox-exec -d chat-room
--   thox-exec chat Ada            (in one terminal)
--   thox-exec chat Grace          (in another)
--
--   chat.join(nick) -> seat       chat.members() -> nicks
--   on a seat: say(text); pushes "said"

local daemon = require "daemon"

-- No other call is served between a look and what follows from it.
require("task").cooperative(true)

local seats = {} -- by nick

local function tell(line)
	for _, seat in pairs(seats) do
		os.push(seat, "said", line) -- dropped for who does not keep up
	end
end

local function refuse(message)
	error({ status = os.status.INVALID, message = message }, 0)
end

function daemon.rpc.chat.join(_, nick)
	if type(nick) ~= "string" or not nick:match("^%w+$") or #nick > 20 then
		refuse("a nick is up to 20 letters and digits")
	end
	if seats[nick] then
		refuse(nick .. " is here already")
	end
	local seat = daemon.object {
		say = function(_, text)
			tell(("%s: %s"):format(nick, (tostring(text):gsub("%c", "?"))))
		end,
		close = function()
			seats[nick] = nil
			tell(nick .. " has left")
		end,
	}
	tell(nick .. " is here")
	seats[nick] = seat
	return seat
end

function daemon.rpc.chat.members()
	local nicks = {}

	for nick in pairs(seats) do
		nicks[#nicks + 1] = nick
	end
	table.sort(nicks)
	return nicks
end
