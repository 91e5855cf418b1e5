---@meta rpc

---Calls by name, `rpc.greeter.greet("you")`: on context 0, waiting for the
---answer; raises a CallError unless it is OK.
---@class Rpc
---@field [string] any
local rpc = {}

---The same on another context: `rpc.on(ctx).read(10)`.
---@param ctx Context|integer
---@return Rpc
function rpc.on(ctx) end

---@class RpcOptions
---@field timeout? number seconds
---@field ctx? Context|integer

---The same with options: `rpc.with{timeout=2}.greeter.greet("you")`.
---@param options RpcOptions
---@return Rpc
function rpc.with(options) end

return rpc
