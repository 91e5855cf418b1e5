---@meta storage

---Functions take a storage context, such as `storage.open` answers; without
---one it is the program's own storage.

---@class Stream
local Stream = {}

---That many bytes, fewer at the end, and there nil; without `n` the rest.
---@param n? integer
---@return string?
function Stream:read(n) end
---@param text string
---@return Stream
function Stream:write(text) end
---@param whence? "set"|"cur"|"end"
---@param offset? integer
---@return integer position
function Stream:seek(whence, offset) end
---To `n` bytes; without `n` what lies behind the position goes.
---@param n? integer
function Stream:truncate(n) end
---What was written is on the disk.
function Stream:sync() end
function Stream:close() end

---@class DeleteOptions
---@field if_version? integer only if that is its version; 0: none is there
---@field sync? boolean return when it is on the disk

---@class SetOptions: DeleteOptions
---@field ttl? number seconds until it is removed

---@class IncrementOptions
---@field sync? boolean

---@class ListOptions
---@field keys? boolean without the values
---@field from? string begin with this key

---@class TransactionOptions
---@field sync? boolean
---@field tries? integer before it fails, 100 by default

---@class Keys
local Keys = {}

---@param key string
---@return Value value nil: there is none
---@return integer version 0: there is none
---@return number? ttl seconds left
function Keys:get(key) end
---@param key string
---@param value Value
---@param options? SetOptions
---@return integer|false version false: it is not `if_version`
---@return integer? present the version that it has instead
function Keys:set(key, value, options) end
---@param key string
---@param options? DeleteOptions
---@return boolean? existed nil: its version is not `if_version`
---@return integer? present the version that it has instead
function Keys:delete(key, options) end
---@param key string
---@param n? number 1 by default
---@param options? IncrementOptions
---@return number sum
---@return integer version
function Keys:increment(key, n, options) end
---`for key, value, version, ttl in keys:list("prefix") do`, in order.
---@param prefix? string
---@param options? ListOptions
---@return fun(): string?, Value, integer?, number?
function Keys:list(prefix, options) end
---What was written is on the disk.
function Keys:flush() end

---@class Watch
local Watch = {}
function Watch:close() end

---`fn(key, value, version)` for each key that changes, value nil when it is
---gone; `fn()` when more may have changed than is known.
---@param prefix? string
---@param fn fun(key?: string, value?: Value, version?: integer)
---@return Watch
function Keys:watch(prefix, fn) end

---@class Transaction
local Transaction = {}
---@param key string
---@return Value
function Transaction:get(key) end
---@param key string
---@param value Value
---@param options? {ttl?: number}
function Transaction:set(key, value, options) end
---@param key string
function Transaction:delete(key) end

---All of it or nothing; `fn` is run again when others wrote what it read.
---@param fn fun(t: Transaction): ...
---@param options? TransactionOptions
---@return any ... what `fn` returned
function Keys:transaction(fn, options) end

---A lock is a context: a process that dies lets go of it.
---@class Lock: Context

---@class LockOptions
---@field timeout? number seconds, 30 by default
---@field shared? boolean with others who share it
---@field ctx? Context

---@class LockState
---@field name string
---@field held boolean false: waits for it
---@field shared boolean
---@field seconds number how long

---@class StorageState
---@field program string
---@field keys integer
---@field keys_bytes integer
---@field limit_bytes integer
---@field locks integer
---@field version integer
---@field stream_bytes? integer

local storage = {}

---The program's own stream, or the one of a storage context.
---@param ctx? Context
---@return Stream
function storage.stream(ctx) end

---The whole stream at once; nil when there is none.
---@param ctx? Context
---@return string?
function storage.get(ctx) end

---Replace it: all or nothing, and on the disk when this returns.
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

---@param ctx? Context
---@return LockState[]
function storage.locks(ctx) end

---@param ctx? Context
---@return StorageState
function storage.stat(ctx) end

---Another program's storage: policy must allow it.
---@param program string
---@return Context
function storage.open(program) end

return storage
