-- What jq prints for a plain path, in a fraction of the time that jq takes to
-- start: a string, a number, true, false or null. Tests ask for these often.
--
-- usage: lua5.4 at.lua [-r] '.[0].instances[0].pid // 0' <JSON
local raw = arg[1] == "-r"
local path, default = arg[raw and 2 or 1], nil
local text, at = io.read("a"), 1

local function wrong(what)
	io.stderr:write("at.lua: ", what, "\n")
	os.exit(2)
end

-- take(PATTERN): the text goes on with it, and is past it now.
local function take(pattern)
	local _, last, found = text:find("^" .. pattern, at)
	if last then
		at = last + 1
	end
	return last and found
end

local function skip()
	take("[ \t\r\n]*()")
end

local function take_code()
	return tonumber(take("u(%x%x%x%x)") or wrong("a bad escape"), 16)
end

local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
	['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local function take_escape()
	local plain = escapes[take('([bfnrt"\\/])')]
	if plain then
		return plain
	end
	local code = take_code()
	if code >= 0xd800 and code < 0xdc00 and take("(\\)") then
		code = 0x10000 + (code - 0xd800) * 0x400 + take_code() - 0xdc00
	end
	return utf8.char(code)
end

local function take_string()
	local parts = {}
	while not take('(")') do
		parts[#parts + 1] = take('([^"\\]+)') or take("(\\)") and take_escape()
			or wrong("an open string")
	end
	return table.concat(parts)
end

local take_value

-- Up to the closing sign, with commas between.
local function take_items(closing, item)
	local all = {}
	skip()
	while not take(closing) do
		local key, value = item(all)
		all[key] = value
		skip()
		take("(,)")
		skip()
	end
	return all
end

local function member()
	local name = take('(")') and take_string() or wrong("no name")
	skip()
	return take("(:)") and name or wrong("no colon"), take_value()
end

local function element(all)
	all.n = (all.n or 0) + 1
	return all.n - 1, take_value()
end

-- A string as a table of itself: what is not one is printed as it stands.
function take_value()
	skip()
	if take("({)") then
		return take_items("(})", member)
	elseif take("(%[)") then
		return take_items("(%])", element)
	elseif take('(")') then
		return { string = take_string() }
	end
	return take("([%w.+-]+)") or wrong("not JSON")
end

-- One step of the path; null has nothing in it.
local function step(value, key)
	if value == nil or value == "null" then
		return nil
	end
	return type(value) == "table" and value[key] or nil
end

local function follow(value)
	local rest = path
	while rest ~= "" and rest ~= "." do
		local index, after = rest:match("^%.?%[(%d+)%](.*)$")
		if index then
			value, rest = step(value, math.tointeger(index)), after
		else
			local name
			name, rest = rest:match("^%.([%w_]+)(.*)$")
			value = step(value, name or wrong("not a plain path: " .. path))
		end
	end
	return value or "null"
end

local function show(value)
	if default and (value == "null" or value == "false") then
		print(default)
	elseif type(value) == "string" then
		print(value)
	elseif not value.string then
		wrong("not a plain value: " .. path)
	elseif raw then
		print(value.string)
	else
		print('"' .. value.string:gsub('["\\]', "\\%0"):gsub("\n", "\\n")
			.. '"')
	end
end

if path:find(" // ", 1, true) then
	path, default = path:match("^(.-) // (%w+)$")
end
skip()
while at <= #text do
	show(follow(take_value()))
	skip()
end
