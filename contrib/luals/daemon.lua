---@meta daemon

---What a handler gets before the caller's values.
---@class Request
---@field name string
---@field pid integer thoxd's word, as are program and service
---@field program? string
---@field service? string
---@field label string
---@field ctx Context|integer 0 is context 0
---@field deadline? number seconds left
---@field cancelled fun(): boolean nobody waits for the answer any more

---@alias Handler fun(request: Request, ...: Value): Value ...

local daemon = {}

---Handlers by name: `function daemon.rpc.greeter.greet(request, who) … end`
---also binds `greeter`.
---@type table<string, any>
daemon.rpc = {}

---Handlers of an own context: `daemon.on(ctx).next = fn`.
---@param ctx Context
---@return table<string, Handler>
function daemon.on(ctx) end

---A context with these methods; `close` runs when its last holder is gone.
---@param methods table<string, Handler>
---@return Context
function daemon.object(methods) end

---Serve no more once the main function has returned.
function daemon.stop() end

---Before the process ends because it is asked to; it does not when this stops
---the serving.
---@type fun()?
daemon.on_terminate = nil

return daemon
