-- What outlives a process: one stream of bytes, keys and locks, kept for each
-- program by thox-storaged. Functions take a storage context, or nil for the
-- program's own storage. thox-storage(7) describes it, also the calls below.

local thox = require "thox"

local invoke, take_file = thox.invoke, thox.file

local PIECE = 1 << 20 -- bytes of a stream in one call
local TRIES = 100 -- of a transaction, where it says nothing of them
local PAUSE = 0.001 -- seconds, longer with each try
local AGAIN = 1 -- seconds before another try to watch

-- --- calls --------------------------------------------------------------------

-- What invoke() takes: context, name, timeout, and what it is a field of.
local function call_of(ctx, name)
	return { ctx, "storage." .. name, false, false }
end

local function check_context(ctx)
	if ctx == nil then
		return 0
	end
	if type(ctx) ~= "userdata" and math.type(ctx) ~= "integer" then
		error("a storage context is wanted, not a " .. type(ctx), 3)
	end
	return ctx
end

local Failure = {
	__tostring = function(e)
		return ("%s: ERROR: %s"):format(e.name, e.message)
	end,
}

-- --- keys ---------------------------------------------------------------------

local Keys = {}
Keys.__index = Keys

local methods = { "get", "set", "delete", "increment", "list", "transaction", "flush", "watch" }

local function new_keys(ctx)
	local self = { ctx = ctx, calls = {} }
	for _, method in ipairs(methods) do
		self.calls[method] = call_of(ctx, "keys." .. method)
	end
	self.to_get, self.to_set = self.calls.get, self.calls.set
	return setmetatable(self, Keys)
end

-- value, version, seconds left; nil, 0 when there is none
function Keys:get(key)
	return invoke(self.to_get, key)
end

local function check_value(value)
	if value == nil then
		error("nil is no value; delete() removes a key", 3)
	end
end

-- version | false, version when that is not if_version; {ttl, if_version, sync}
function Keys:set(key, value, options)
	check_value(value)
	return invoke(self.to_set, key, value, options)
end

-- was it there? | nil, version when that is not if_version; {if_version, sync}
function Keys:delete(key, options)
	return invoke(self.calls.delete, key, options)
end

-- sum, version; {sync}
function Keys:increment(key, by, options)
	return invoke(self.calls.increment, key, by == nil and 1 or by, options)
end

-- for key, value, version, seconds left in keys:list("a") do; in their order.
-- {keys = true}: without the values
function Keys:list(prefix, options)
	local call = self.calls.list
	local asked = { keys = options and options.keys, from = options and options.from }
	local page, at

	prefix = prefix or ""
	return function()
		while not page or at > page.n do
			if page and page[1] == nil then
				return nil
			end
			page = table.pack(invoke(call, prefix, asked))
			asked.from, at = page[1], 2
		end
		local i = at
		at = at + 4
		return page[i], page[i + 1], page[i + 2], page[i + 3]
	end
end

-- What was written is on the disk.
function Keys:flush()
	invoke(self.calls.flush)
end

-- --- transactions -------------------------------------------------------------

-- Nobody waits for one: what it reads is noted with its version, what it
-- writes is kept, and in the end all is written if all that it read still is as
-- it was. Else it is run again.

local Transaction = {}
Transaction.__index = Transaction

local function check_running(t)
	if t.over then
		error("the transaction is over", 3)
	end
end

function Transaction:get(key)
	check_running(self)
	local write = self.writes[key]
	if write then
		return write.value
	end
	local read = self.reads[key]
	if not read then
		read = table.pack(invoke(self.keys.to_get, key))
		self.reads[key] = read
	end
	return read[1]
end

function Transaction:set(key, value, options)
	check_running(self)
	check_value(value)
	self.writes[key] = { value = value, ttl = options and options.ttl }
end

function Transaction:delete(key)
	check_running(self)
	self.writes[key] = {}
end

-- True when it is done, or there is nothing to do.
local function finish(t, writes, options)
	local args = { { sync = options and options.sync }, 0 }
	local n, reads = 2, 0

	for key, read in pairs(t.reads) do
		args[n + 1], args[n + 2] = key, read[2]
		n, reads = n + 2, reads + 1
	end
	args[2] = reads
	for key, write in pairs(writes) do
		if write.value == nil then
			args[n + 1], args[n + 2] = "delete", key
			n = n + 2
		else
			args[n + 1], args[n + 2], args[n + 3], args[n + 4] = "set", key, write.value, write.ttl
			n = n + 4
		end
	end
	return n == 2 or invoke(t.keys.calls.transaction, table.unpack(args, 1, n)) ~= false
end

-- fn(t) -> …, with t:get(), t:set(), t:delete(): all of it or nothing, as if
-- nobody else wrote meanwhile. An error in it ends it. {sync, tries}
function Keys:transaction(fn, options)
	local tries = options and options.tries or TRIES

	for try = 1, tries do
		local t = setmetatable({ keys = self, reads = {}, writes = {} }, Transaction)
		local results = table.pack(pcall(fn, t))
		local ok = results[1]
		t.over = true
		-- What failed may have failed of things that do not belong together.
		if finish(t, ok and t.writes or {}, options) then
			if not ok then
				error(results[2], 0)
			end
			return table.unpack(results, 2, results.n)
		end
		os.sleep(PAUSE * math.random() * math.min(try, 20))
	end
	error(setmetatable({
		status = os.status.ERROR,
		name = "storage.keys.transaction",
		message = ("others wrote what it read, %d times"):format(tries),
	}, Failure), 2)
end

-- --- watches ------------------------------------------------------------------

local SET, LARGE = 0, 2 -- what has become of a key; else it is gone

local Watch = {}
Watch.__index = Watch

-- Begin anew, when thox-storaged has ended: it is started by the call.
local function begin_again(watch)
	while not watch.over do
		local ok, ctx = pcall(invoke, watch.keys.calls.watch, watch.prefix)
		if ok then
			watch.ctx = ctx
			return true
		end
		os.sleep(AGAIN)
	end
	return false
end

local function tell(watch, changes)
	if changes[2] then
		watch.fn()
	end
	for i = 3, changes.n, 4 do
		local key, version, state, value = table.unpack(changes, i, i + 3)
		local known = true
		if state == LARGE then
			known, value, version = pcall(invoke, watch.keys.to_get, key)
		elseif state ~= SET then
			value = nil
		end
		if watch.over then
			return
		elseif known then
			watch.fn(key, value, version)
		else
			watch.fn()
		end
	end
end

local function follow(watch)
	while not watch.over do
		local changes = table.pack(pcall(invoke, { watch.ctx, "next", false, false }))
		if changes[1] then
			tell(watch, changes)
		elseif watch.over then
			return
		elseif watch.keys.ctx ~= 0 then
			error(changes[2], 0) -- the storage's context has ended as well
		elseif begin_again(watch) then
			watch.fn()
		end
	end
end

-- fn(key, value, version) for each key below the prefix that changes, value nil
-- when it is gone; fn() when more may have changed than is known: look at all.
function Keys:watch(prefix, fn)
	if type(fn) ~= "function" then
		error("a function is wanted, not a " .. type(fn), 2)
	end
	local watch = setmetatable({
		keys = self, prefix = prefix or "", fn = fn,
		ctx = invoke(self.calls.watch, prefix or ""),
	}, Watch)
	os.task(follow, watch)
	return watch
end

function Watch:close()
	if not self.over then
		self.over = true
		self.ctx:close()
	end
end
Watch.__close = Watch.close

-- --- the stream ---------------------------------------------------------------

-- Bytes of a process's own stream go by a descriptor of the file, which comes
-- with the context of `stream.open`; where there is none, or its limit is met,
-- as calls.

local Stream = {}
Stream.__index = Stream

local function new_stream(ctx)
	local self = { at = 0, calls = {} }
	for _, method in ipairs { "open", "read", "write", "truncate", "size", "sync" } do
		self.calls[method] = call_of(ctx, "stream." .. method)
	end
	return setmetatable(self, Stream)
end

local function check_open(s)
	if not s.calls then
		error("the stream is closed", 3)
	end
end

local function check_count(n, what)
	if math.tointeger(n) == nil or n < 0 then
		error(what .. " is a number of bytes", 3)
	end
	return math.tointeger(n)
end

local function drop_file(s)
	if s.file then
		s.file:close()
		s.file_ctx:close()
		s.file, s.file_ctx, s.writes = nil, nil, nil
	end
end

local function open_file(s, write)
	drop_file(s)
	if s.indirect then
		return nil
	end
	local ok, ctx = pcall(invoke, s.calls.open, { write = write })
	if not ok then -- it may not be allowed, where reading is
		if type(ctx) ~= "table" or not ctx.status then
			error(ctx, 0)
		end
		s.indirect = ctx.status ~= os.status.CLOSED
		return nil
	elseif not ctx then
		s.indirect = ctx == false
		return nil
	end
	local file = take_file(ctx)
	drop_file(s) -- another task's, which came meanwhile
	if file and s.calls then
		s.file, s.file_ctx, s.writes = file, ctx, write
		return file
	end
	if file then
		file:close()
	end
	ctx:close()
	check_open(s)
	s.indirect = true
end

-- What the method of the file says; nil: there is no file. One that was
-- replaced says nothing: then it is opened again.
local function directly(s, write, method, ...)
	while true do
		local file = (not write or s.writes) and s.file or open_file(s, write)
		if not file then
			return nil
		end
		local result = file[method](file, ...)
		if result then
			return result
		end
		drop_file(s)
	end
end

local function read_by_calls(s, left)
	local parts = {}

	while left > 0 do
		local part = invoke(s.calls.read, s.at, math.min(left, PIECE))
		if part == "" then
			break
		end
		parts[#parts + 1] = part
		s.at, left = s.at + #part, left - #part
	end
	return table.concat(parts)
end

-- That many bytes, fewer at the end, and there nil; without n: the rest
function Stream:read(n)
	check_open(self)
	local left = n == nil and math.maxinteger or check_count(n, "n")
	local text = directly(self, false, "read", self.at, left)

	if text then
		self.at = self.at + #text
	else
		text = read_by_calls(self, left)
	end
	if text == "" and n ~= nil and n > 0 then
		return nil
	end
	return text
end

function Stream:write(text)
	check_open(self)
	if type(text) ~= "string" then
		error("a string is wanted, not a " .. type(text), 2)
	end
	local done = text ~= "" and directly(self, true, "write", self.at, text) or 0
	self.at = self.at + done
	for i = done + 1, #text, PIECE do
		local part = #text <= PIECE and i == 1 and text or text:sub(i, i + PIECE - 1)
		invoke(self.calls.write, self.at, part)
		self.at = self.at + #part
	end
	return self
end

-- "set", "cur" or "end", and an offset -> the position, from 0
function Stream:seek(whence, offset)
	check_open(self)
	whence, offset = whence or "cur", offset or 0
	local base = whence == "set" and 0 or whence == "cur" and self.at
	if whence == "end" then
		base = self.file and self.file:size() or invoke(self.calls.size) or 0
	elseif not base then
		error('whence is "set", "cur" or "end"', 2)
	end
	self.at = check_count(base + offset, "the position")
	return self.at
end

-- To n bytes; without n: what lies behind the position goes
function Stream:truncate(n)
	check_open(self)
	invoke(self.calls.truncate, n == nil and self.at or check_count(n, "n"))
end

-- What was written is on the disk.
function Stream:sync()
	check_open(self)
	invoke(self.calls.sync)
end

function Stream:close()
	drop_file(self)
	self.calls = nil
end
Stream.__close = Stream.close

-- --- the library --------------------------------------------------------------

local M = {}
local own -- the keys of this program

function M.keys(ctx)
	if ctx ~= nil then
		return new_keys(check_context(ctx))
	end
	own = own or new_keys(0)
	return own
end

function M.stream(ctx)
	return new_stream(check_context(ctx))
end

-- The whole stream at once; nil when there is none
function M.get(ctx)
	return invoke(call_of(check_context(ctx), "stream.get"))
end

-- Replace it, all or nothing, and on the disk when this returns
function M.set(text, ctx)
	invoke(call_of(check_context(ctx), "stream.set"), text)
end

-- A context: the lock is held until that is closed. {timeout, shared, ctx}
function M.lock(name, options)
	local passed = {}
	for key, value in pairs(options or {}) do
		passed[key] = value
	end
	passed.ctx = nil
	return invoke(call_of(check_context(options and options.ctx), "lock"), name, passed)
end

-- {{name=, held=, shared=, seconds=}, …}: who holds and who waits
function M.locks(ctx)
	return { invoke(call_of(check_context(ctx), "locks")) }
end

-- {program=, keys=, keys_bytes=, limit_bytes=, stream_bytes=, …}
function M.stat(ctx)
	return invoke(call_of(check_context(ctx), "stat"))
end

-- Another program's storage, as a context: policy must allow it
function M.open(program)
	return invoke(call_of(0, "open"), program)
end

return M
