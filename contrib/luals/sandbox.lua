---@meta sandbox

local sandbox = {}

---@class SandboxEntry
---@field kind "call"|"push"|"listen"
---@field name string
---@field pid integer
---@field program? string
---@field service? string
---@field args table with `n`
---@field status? integer of a call, which is told when it is answered
---@field message? any why it failed

---@class FilterOptions
---@field allow? string[] patterns of names: nothing else is passed on
---@field deny? string[] patterns of names that are not
---@field log? boolean|string[]|fun(entry: SandboxEntry) true: by the library `log`

---A context to give to a child as its context 0: what the child asks for is
---filtered, and passed on as the child.
---@param options FilterOptions
---@return Context
function sandbox.filter(options) end

---The same, but names are changed on the way: `{old = "new"}`.
---@param names table<string, string>
---@return Context
function sandbox.translate(names) end

return sandbox
