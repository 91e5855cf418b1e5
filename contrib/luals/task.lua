---@meta task

---@class TaskQueue
local TaskQueue = {}

---Waits while the queue is full; an error when it is closed.
---@param value any
---@param timeout? number seconds
---@return true? ok
---@return string? why "timeout"
function TaskQueue:put(value, timeout) end

---The next value; nil at the timeout, or when it is closed and empty.
---@param timeout? number seconds
---@return any
---@return string? why "closed" or "timeout"
function TaskQueue:get(timeout) end

function TaskQueue:close() end

---@class TaskInfo
---@field id integer
---@field name? string
---@field waiting? string what for
---@field preempted integer how often it was interrupted

local task = {}

---@param fn function
---@param name? string
---@return integer id
function task.start(fn, name) end

---This task without a name.
---@param name? string
---@return integer?
function task.getid(name) end

---A table of the task's own.
---@param id? integer
---@return table?
function task.getstate(id) end

---@return TaskInfo[]
function task.list() end

---Wait for a task's end.
---@param id integer
---@param timeout? number seconds
---@return boolean? ok nil at the timeout
---@return any ... what it returned, its error, or "timeout"
function task.wait(id, timeout) end

---@param id integer
---@return boolean there
function task.kill(id) end

---Give the task one `terminate` event, then remove it.
---@param id integer
---@return boolean there
function task.terminate(id) end

---Run it without a switch to another task; waiting inside is an error.
---@param fn function
---@param ... any
---@return any ...
function task.atomic(fn, ...) end

---@param size? integer
---@return TaskQueue
function task.queue(size) end

---From now on tasks and handlers of this process switch only where they wait.
---@param on boolean
function task.cooperative(on) end

return task
