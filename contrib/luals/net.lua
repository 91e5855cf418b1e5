---@meta net

---@class NetOptions
---@field to? string the label of a machine: this one without it
---@field timeout? number seconds; 0.5 without it

---The service-name bus.
---@class Net
---@overload fun(): Net
local net = {}

---Bind the name and answer.
---@param name string
---@param handler fun(payload: Value, request: Request): Value
function net.serve(name, handler) end

---@param name string
---@param payload? Value
---@param options? NetOptions
---@return boolean ok
---@return Value result or the message
---@return integer? status unless ok
function net.call(name, payload, options) end

---To every listener; waits for none.
---@param name string
---@param payload? Value
---@param options? NetOptions
---@return boolean ok
---@return string? message unless ok
---@return integer? status
function net.send(name, payload, options) end

---@param name string
---@param handler fun(payload: Value, request: Request)
function net.listen(name, handler) end

---@param name? string everything without it
function net.stop(name) end

return net
