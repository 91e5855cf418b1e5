---@meta storage

---@class Stream
local Stream = {}

---@param n? integer
---@return string?
function Stream:read(n) end
---@param text string
function Stream:write(text) end
---@param whence? "set"|"cur"|"end"
---@param offset? integer
---@return integer position
function Stream:seek(whence, offset) end
---@param n? integer
function Stream:truncate(n) end
function Stream:sync() end
function Stream:close() end

---@class SetOptions
---@field ttl? number seconds
---@field if_version? integer
---@field sync? boolean

---@class Keys
local Keys = {}

---@param key string
---@return Value value
---@return integer? version
function Keys:get(key) end
---@param key string
---@param value Value
---@param options? SetOptions
---@return integer version
function Keys:set(key, value, options) end
---@param key string
function Keys:delete(key) end
---@param key string
---@param n? integer
---@return integer
function Keys:increment(key, n) end
---@param prefix? string
---@return string[]
function Keys:list(prefix) end
---@param prefix string
---@param fn fun(key: string, value: Value)
function Keys:watch(prefix, fn) end
---@param fn fun(keys: Keys): any
function Keys:transaction(fn) end

---A lock is a context: a process that dies lets go of it.
---@class Lock: Context

---@class LockOptions
---@field timeout? number seconds
---@field shared? boolean

local storage = {}

---The program's own stream, or the one of a storage context.
---@param ctx? Context
---@return Stream
function storage.stream(ctx) end

---The whole stream at once.
---@param ctx? Context
---@return string
function storage.get(ctx) end

---Replace it atomically.
---@param text string
---@param ctx? Context
function storage.set(text, ctx) end

---@param ctx? Context
---@return Keys
function storage.keys(ctx) end

---@param name string
---@param options? LockOptions
---@return Lock
function storage.lock(name, options) end

---Another program's storage: policy must allow it.
---@param program string
---@return Context
function storage.open(program) end

return storage
