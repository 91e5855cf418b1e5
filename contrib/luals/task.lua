---@meta task

---@class TaskQueue
local TaskQueue = {}

---Waits while the queue is full.
---@param value any
function TaskQueue:put(value) end

---The next value; nil at the timeout, or when it is closed and empty.
---@param timeout? number seconds
---@return any
function TaskQueue:get(timeout) end

function TaskQueue:close() end

---@class TaskInfo
---@field id integer
---@field name? string
---@field waiting? string

local task = {}

---@param fn function
---@param name? string
---@return integer id
function task.start(fn, name) end

---@param name string
---@return integer?
function task.getid(name) end

---A table of the task's own.
---@param id? integer
---@return table
function task.getstate(id) end

---@return TaskInfo[]
function task.list() end

---Wait for a task's end.
---@param id integer
---@param timeout? number seconds
---@return boolean ok
---@return any ... what it returned, or its error
function task.wait(id, timeout) end

---@param id integer
function task.kill(id) end

---Give the task one `terminate` event, then remove it.
---@param id integer
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
