---@meta sandbox

local sandbox = {}

---@class FilterOptions
---@field allow? string[] patterns of names
---@field deny? string[]
---@field log? fun(request: Request, ...: Value)

---A context to give to a child as its context 0: what the child asks for is
---filtered, and passed on as the child.
---@param options FilterOptions
---@return Context
function sandbox.filter(options) end

---The same, but names are changed on the way.
---@param names table<string, string>
---@return Context
function sandbox.translate(names) end

return sandbox
