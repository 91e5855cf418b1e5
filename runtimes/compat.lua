-- compat: what programs for Lua 5.1, 5.2 and 5.3 need, and what later versions
-- add to the library, on Lua 5.4. man/thox-runtimes.7 says for each function
-- what one gets, and what cannot be had.
--
-- It runs once, in the zygote; nothing is left to do in each process.
-- luacheck: ignore 122 142 143 (it is here to change Lua's own tables)

local primitives = ...
local getenv_of, setenv_of = primitives.getfenv, primitives.setfenv

local G = _G
local error, type, select, next, pairs = error, type, select, next, pairs
local getmetatable, setmetatable, tostring = getmetatable, setmetatable, tostring
local getinfo = debug.getinfo
local floor, ceil, tointeger, math_type = math.floor, math.ceil, math.tointeger, math.type
local find, gsub, raw_format = string.find, string.gsub, string.format
local pack, unpack = table.pack, table.unpack

-- The error of a wrong argument, said of the line that called `name`; depth: how
-- many functions of this file lie between it and bad().
local function bad(n, name, what, depth)
	error("bad argument #" .. n .. " to '" .. name .. "' (" .. what .. ")", 2 + (depth or 1))
end

-- --- numbers as texts: a float that is whole has no fraction before 5.3 --------

local function without_fraction(v)
	local whole = math_type(v) == "float" and tointeger(v)
	if whole == 0 and 1 / v < 0 then
		return "-0"
	end
	-- "%.14g" writes more digits than that with an exponent.
	if whole and whole < 100000000000000 and whole > -100000000000000 then
		return whole
	end
	return v
end

local raw_tostring, raw_print, raw_write = tostring, print, io.write

-- The name that it has in error messages is the global's.
function G.tostring(...)
	local v = ...
	if math_type(v) == "float" then
		return raw_tostring(without_fraction(v))
	end
	return raw_tostring(...)
end

local function map_floats(...)
	local values = pack(...)
	for i = 1, values.n do
		values[i] = without_fraction(values[i])
	end
	return values
end

function G.print(...)
	local values = map_floats(...)
	return raw_print(unpack(values, 1, values.n))
end

function io.write(...)
	local values = map_floats(...)
	return raw_write(unpack(values, 1, values.n))
end

-- What C's (long) makes of a number; as it is when that cannot be said.
local function truncated(v)
	if math_type(v) ~= "float" then
		return v
	end
	return tointeger(v < 0 and ceil(v) or floor(v)) or v
end

local takes_integer = { d = true, i = true, c = true, x = true, X = true, o = true, u = true }

function string.format(format, ...)
	if type(format) ~= "string" or not find(format, "%%[-+ #0-9.]*[dicxXousq]") then
		return raw_format(format, ...)
	end
	local values = pack(...)
	local n = 0
	format = gsub(format, "%%([-+ #0-9.]*)(.)", function(flags, conversion)
		if conversion == "%" then
			return nil
		end
		n = n + 1
		if takes_integer[conversion] then
			values[n] = truncated(tonumber(values[n]) or values[n])
		elseif conversion == "s" then
			values[n] = without_fraction(values[n])
		end
		if conversion == "u" then
			return "%" .. flags .. "d"
		end
		return nil
	end)
	return raw_format(format, unpack(values, 1, values.n))
end

-- --- the three streams by their older names ---------------------------------------

local function check_stream(file, name, stream)
	if file ~= nil and file ~= io[stream] then
		error("io." .. name .. ": a program has no files but its three streams", 3)
	end
	return io[stream]
end

function io.input(file)
	return check_stream(file, "input", "stdin")
end

function io.output(file)
	return check_stream(file, "output", "stdout")
end

function io.flush()
	return io.stdout:flush()
end

function io.close(file)
	return (file or io.stdout):close()
end

-- There is one locale.
function os.setlocale(locale)
	if locale == nil or locale == "" or locale == "C" or locale == "POSIX" then
		return "C"
	end
	return nil
end

-- --- basic functions ------------------------------------------------------------

G.unpack = unpack

function G.loadstring(text, name)
	if type(text) ~= "string" then
		bad(1, "loadstring", "string expected, got " .. type(text))
	end
	return load(text, name or text)
end

function G.gcinfo()
	return floor(collectgarbage("count"))
end

-- A table that says so: Lua text cannot make a userdata.
function G.newproxy(meta)
	if meta == true then
		meta = {}
	elseif meta then
		meta = getmetatable(meta)
	end
	return setmetatable({}, meta or nil)
end

local raw_ipairs = ipairs

function G.ipairs(...)
	local meta = getmetatable((...))
	local own = type(meta) == "table" and meta.__ipairs
	if own then
		return own((...))
	end
	return raw_ipairs(...)
end

-- --- environments of functions -----------------------------------------------------

-- Of functions that use no global, and so have nowhere to keep one.
local remembered = setmetatable({}, { __mode = "k" })

-- The function that getfenv and setfenv are about; level counts from their caller.
local function function_of(f, name)
	if type(f) == "function" then
		return f
	end
	local level = tointeger(f == nil and 1 or f)
	if not level then
		bad(1, name, "function or level expected, got " .. type(f), 2)
	elseif level < 0 then
		bad(1, name, "level must be non-negative", 2)
	elseif level == 0 then
		return nil
	end
	local info = getinfo(level + 2, "f")
	if not info then
		bad(1, name, "invalid level", 2)
	end
	return info.func
end

function G.getfenv(f)
	local func = function_of(f, "getfenv")
	local env = func and (getenv_of(func) or remembered[func])
	return env or G
end

function G.setfenv(f, env)
	local func = function_of(f, "setfenv")
	if type(env) ~= "table" then
		bad(2, "setfenv", "table expected, got " .. type(env))
	end
	if not func then
		error("'setfenv' cannot change the environment of the thread (level 0)", 2)
	elseif getinfo(func, "S").what == "C" then
		error("'setfenv' cannot change environment of given object", 2)
	end
	if not setenv_of(func, env) then
		remembered[func] = env
	end
	return func
end

-- --- modules -------------------------------------------------------------------------

-- The table at a dotted path of the globals, made where there is none.
local function table_at(path)
	local at = G
	for part in string.gmatch(path, "[^.]+") do
		local inner = rawget(at, part)
		if inner == nil then
			inner = {}
			at[part] = inner
		elseif type(inner) ~= "table" then
			return nil
		end
		at = inner
	end
	return at
end

function G.module(name, ...)
	if type(name) ~= "string" then
		bad(1, "module", "string expected, got " .. type(name))
	end
	local m = package.loaded[name]
	if type(m) ~= "table" then
		m = table_at(name)
		if not m then
			error("name conflict for module '" .. name .. "'", 2)
		end
		package.loaded[name] = m
	end
	if m._NAME == nil then
		m._M, m._NAME = m, name
		m._PACKAGE = string.match(name, "^(.*%.)[^.]*$") or ""
	end
	local caller = getinfo(2, "f")
	if caller and getinfo(caller.func, "S").what ~= "C" then
		setenv_of(caller.func, m)
	end
	for i = 1, select("#", ...) do
		select(i, ...)(m)
	end
	return m
end

function package.seeall(m)
	if type(m) ~= "table" then
		bad(1, "seeall", "table expected, got " .. type(m))
	end
	local meta = getmetatable(m) or {}
	meta.__index = G
	return setmetatable(m, meta)
end

package.loaders = package.searchers

-- --- table, string, math ---------------------------------------------------------------

function table.getn(t)
	return #t
end

function table.setn()
	error("'setn' is obsolete", 2)
end

function table.maxn(t)
	local most = 0
	for key in pairs(t) do
		if type(key) == "number" and key > most then
			most = key
		end
	end
	return most
end

function table.foreach(t, fn)
	for key, value in next, t do
		local result = fn(key, value)
		if result ~= nil then
			return result
		end
	end
	return nil
end

function table.foreachi(t, fn)
	for i = 1, #t do
		local result = fn(i, t[i])
		if result ~= nil then
			return result
		end
	end
	return nil
end

-- Lua 5.5: room ahead cannot be had here, and nothing but time hangs on it.
function table.create(items, fields)
	for n, v in raw_ipairs({ items, fields or 0 }) do
		local whole = tointeger(v)
		if not whole then
			bad(n, "create", "number expected, got " .. type(v))
		elseif whole < 0 or whole > 0x7fffffff then
			bad(n, "create", "out of range")
		end
	end
	if items == nil then
		bad(1, "create", "number expected, got no value")
	end
	return {}
end

string.gfind = string.gmatch

local raw_offset = utf8.offset

-- Lua 5.5: and where the character ends.
function utf8.offset(s, ...)
	local first = raw_offset(s, ...)
	if not first then
		return nil
	end
	return first, (raw_offset(s, 2, first) or first + 1) - 1
end

math.mod = math.fmod

local atan = math.atan

function math.atan2(y, x)
	if not tonumber(x) then
		bad(2, "atan2", "number expected, got " .. (x == nil and "no value" or type(x)))
	end
	return atan(y, x)
end

function math.pow(x, y)
	return x ^ y
end

function math.log10(x)
	return math.log(x, 10)
end

function math.cosh(x)
	return (math.exp(x) + math.exp(-x)) / 2
end

function math.sinh(x)
	-- Near zero the difference would lose all digits.
	if x > -1e-5 and x < 1e-5 then
		return x + x * x * x / 6
	end
	return (math.exp(x) - math.exp(-x)) / 2
end

function math.tanh(x)
	if x > 20 or x < -20 then
		return x > 0 and 1.0 or -1.0
	elseif x > -1e-5 and x < 1e-5 then
		return x - x * x * x / 3
	end
	local e = math.exp(2 * x)
	return (e - 1) / (e + 1)
end

function math.ldexp(m, e)
	-- In two steps, since 2^e alone may be out of range.
	local half = e // 2
	return m * 2.0 ^ half * 2.0 ^ (e - half)
end

function math.frexp(x)
	if x == 0 or x ~= x or x == math.huge or x == -math.huge then
		return x + 0.0, 0
	end
	local e = 0
	local m = x < 0 and -x or x + 0.0
	while m >= 1 do
		local step = m >= 0x1p64 and 64 or 1
		m, e = m / 2.0 ^ step, e + step
	end
	while m < 0.5 do
		local step = m < 0x1p-64 and 64 or 1
		m, e = m * 2.0 ^ step, e - step
	end
	return x < 0 and -m or m, e
end

-- Floats are taken as Lua 5.1 took them.
local raw_random = math.random

function math.random(...)
	local m, n = ...
	if select("#", ...) == 0 then
		return raw_random()
	elseif n == nil then
		return raw_random(floor(m))
	end
	return raw_random(floor(m), floor(n))
end

-- --- bit32 (Lua 5.2) -------------------------------------------------------------------

local MASK = 0xffffffff

-- Any number, modulo 2^32.
local function word(v, n, name)
	local number = tonumber(v)
	if not number then
		bad(n, name, "number expected, got " .. type(v), 2)
	end
	if math_type(number) == "float" then
		number = tointeger(floor(number % 4294967296.0 + 0.5)) or 0
	end
	return number & MASK
end

local function whole(v, n, name)
	return tointeger(tonumber(v)) or bad(n, name, "number has no integer representation", 2)
end

local bit32 = {}

function bit32.band(...)
	local r = MASK
	for i = 1, select("#", ...) do
		r = r & word(select(i, ...), i, "band")
	end
	return r
end

function bit32.bor(...)
	local r = 0
	for i = 1, select("#", ...) do
		r = r | word(select(i, ...), i, "bor")
	end
	return r
end

function bit32.bxor(...)
	local r = 0
	for i = 1, select("#", ...) do
		r = r ~ word(select(i, ...), i, "bxor")
	end
	return r
end

function bit32.btest(...)
	return bit32.band(...) ~= 0
end

function bit32.bnot(x)
	return ~word(x, 1, "bnot") & MASK
end

-- Positive: to the left. Lua's own shifts give 0 from 64 on.
local function shift(x, by)
	return by >= 32 and 0 or (x << by) & MASK
end

function bit32.lshift(x, by)
	return shift(word(x, 1, "lshift"), whole(by, 2, "lshift"))
end

function bit32.rshift(x, by)
	return shift(word(x, 1, "rshift"), -whole(by, 2, "rshift"))
end

function bit32.arshift(x, by)
	x, by = word(x, 1, "arshift"), whole(by, 2, "arshift")
	if by <= 0 or x < 0x80000000 then
		return shift(x, -by)
	end
	return by >= 32 and MASK or (x >> by | ~(MASK >> by)) & MASK
end

local function rotate(x, by)
	by = by % 32
	return (x << by | x >> (32 - by)) & MASK
end

function bit32.lrotate(x, by)
	return rotate(word(x, 1, "lrotate"), whole(by, 2, "lrotate"))
end

function bit32.rrotate(x, by)
	return rotate(word(x, 1, "rrotate"), -whole(by, 2, "rrotate"))
end

-- The mask of a field, and where it begins.
local function field(first, width, n, name)
	first = whole(first, n, name)
	width = width == nil and 1 or whole(width, n + 1, name)
	if first < 0 then
		bad(n, name, "field cannot be negative", 2)
	elseif width < 1 then
		bad(n + 1, name, "width must be positive", 2)
	elseif first + width > 32 then
		error("trying to access non-existent bits", 3)
	end
	return (1 << width) - 1, first
end

function bit32.extract(x, first, width)
	local mask, at = field(first, width, 2, "extract")
	return word(x, 1, "extract") >> at & mask
end

function bit32.replace(x, v, first, width)
	local mask, at = field(first, width, 3, "replace")
	x, v = word(x, 1, "replace"), word(v, 2, "replace")
	return x & ~(mask << at) & MASK | (v & mask) << at
end

G.bit32 = bit32
package.loaded.bit32 = bit32
