---@meta
-- The API of programs under thox, for the Lua language server: point
-- `Lua.workspace.library` at this folder, and set `Lua.runtime.version` to
-- "Lua 5.4".
--
-- What Lua has and thox has not (io.open, os.execute, …) the server knows
-- nothing of; luacheck with contrib/luacheck/thox.lua does.

---------------------------------------------------------------------------
-- Contexts
---------------------------------------------------------------------------

---Where calls happen: one process owns it and answers, others hold it and
---call. Closed by `close`, at the end of a `<close>` variable's scope, or
---when it is collected.
---@class Context
---@field id integer
local Context = {}

---Give it up: the owner closes it for everybody, a holder for itself.
function Context:close() end

---What can be sent: nil, booleans, integers, floats, strings of any bytes,
---tables of these (at most 64 deep, no cycles), contexts.
---@alias Value nil|boolean|integer|number|string|table|Context

---A context of this process's own.
---@return Context
function os.context() end

---@param ctx Context|integer
function os.close(ctx) end

---A holder of an own context loses it, and all who got it through that holder.
---@param ctx Context|integer
---@param pid integer
function os.revoke(ctx, pid) end

---The context that stands for a child's own identity, storage and policy; it
---was started with `context`.
---@param pid integer
---@return Context?
function os.up(pid) end

---------------------------------------------------------------------------
-- Names
---------------------------------------------------------------------------

---@class BindOptions
---@field fallback? boolean serve only while nobody else does

---Provide a name and what lies below it. An error when it is taken or not
---allowed.
---@param name string
---@param options? BindOptions
function os.bind(name, options) end

---@param name string
function os.unbind(name) end

---------------------------------------------------------------------------
-- Calls
---------------------------------------------------------------------------

---What a call that failed raises; `tostring` of it reads
---`greeter.greet: TIMEOUT: no answer in 0.5 s`.
---@class CallError
---@field status integer one of os.status
---@field message string
---@field name string

---@class CallOptions
---@field ctx? Context|integer context 0 without it
---@field name string
---@field args? Value[]
---@field timeout? number seconds

---Send a call; the answer comes to this task, by `os.wait` or as an event.
---@param ctx Context|integer
---@param name string
---@param ... Value
---@return integer cid
---@overload fun(options: CallOptions): integer
function os.call(ctx, name, ...) end

---Wait for the answer of a call.
---@param cid integer
---@param timeout? number seconds
---@return integer status one of os.status
---@return Value ... the values, or the message
function os.wait(cid, timeout) end

---Answer a call that was received, once.
---@param cid integer
---@param status integer one of os.status
---@param ... Value
---@return boolean sent
---@return string? why not: the caller is told as well
function os.answer(cid, status, ...) end

---Give up a call that was made.
---@param cid integer
function os.cancel(cid) end

---A message without an answer: from an own context to its holders that
---listen, on one that is held to its owner, on 0 to all who listen to the name.
---@param ctx Context|integer
---@param name string
---@param ... Value
function os.push(ctx, name, ...) end

---Receive such messages as events.
---@param ctx Context|integer
---@param name string
---@param on? boolean true without it
function os.listen(ctx, name, on) end

---@class Event
---@field type string "call", "answer", "open", "close", "push", "lost", "listen", "cancel", "alarm", "terminate", "interrupt", "reload", "exit", or one's own
---@field cid? integer call, answer, cancel
---@field ctx? Context|integer call, open, close, push, lost, listen; 0 is context 0
---@field name? string call, push, lost, listen
---@field pid? integer call, open, close, push, listen, exit
---@field program? string as pid, but exit: what the sender runs
---@field service? string as program
---@field on? boolean listen: begins or ceases to
---@field args? table call, answer, push: the values, their number in `n`
---@field deadline? number call: seconds left
---@field status_code? integer answer: one of os.status
---@field count? integer lost
---@field id? integer alarm
---@field code? integer exit
---@field signal? integer exit

---The next event that the filter admits: a type, a sequence of types, or a
---table of fields that must match. nil at the timeout.
---@param filter? string|string[]|table<string, any>
---@param timeout? number seconds
---@return Event?
function os.pull(filter, timeout) end

---Put an event of one's own into this process's queue.
---@param event table with a `type`
function os.queue(event) end

---An `alarm` event after that time.
---@param seconds number
---@return integer id
function os.alarm(seconds) end

---@class Status
---@field OK integer 0
---@field ERROR integer 1: the callee failed
---@field NOT_FOUND integer 2: nobody answers to that name there
---@field DENIED integer 3: policy refused; the message names the rule
---@field CLOSED integer 4: the callee was gone before it answered
---@field TIMEOUT integer 5: the deadline passed
---@field CANCELLED integer 6
---@field INVALID integer 7: bad arguments; the message says which
---@field TOO_LARGE integer 8: a limit was met; the message names it
os.status = {}

---------------------------------------------------------------------------
-- Processes
---------------------------------------------------------------------------

---@class Limits
---@field memory? integer bytes
---@field cpu? number seconds
---@field wall? number seconds
---@field tasks? integer
---@field descriptors? integer

---Patterns of names by kind: call, bind, run, store.
---@class PolicyRules
---@field call? string[]
---@field bind? string[]
---@field run? string[]
---@field store? string[]

---@class Policy
---@field allow? PolicyRules
---@field deny? PolicyRules

---An end of `os.pipe()`.
---@class PipeEnd: file*

---@class RunOptions
---@field args? (string|Context)[]
---@field runtime? string
---@field context? Context becomes the child's context 0
---@field env? table<string, string> those of this process without it
---@field stdin? "inherit"|"null"|PipeEnd|{text: string}
---@field stdout? "inherit"|"null"|PipeEnd
---@field stderr? "inherit"|"null"|PipeEnd
---@field limits? Limits
---@field policy? Policy narrows what this process may

---@class RunCodeOptions: RunOptions
---@field name? string
---@field storage? Context none without it

---@param name string
---@param options? RunOptions
---@return integer pid
function os.run_program(name, options) end

---@param text string
---@param options? RunCodeOptions
---@return integer pid
function os.run_code(text, options) end

---Wait for the end of a child.
---@param pid integer
---@param timeout? number seconds
---@return integer? code
---@return integer|string|nil signal or why there is neither, as at the timeout
function os.wait_exit(pid, timeout) end

---@return PipeEnd reader
---@return PipeEnd writer
function os.pipe() end

---This process.
---@return integer
function os.pid() end

---The program of this process.
---@return string
function os.name() end

---This machine.
---@return string
function os.label() end

---End a child at once.
---@param pid integer
function os.kill(pid) end

---Ask a child to end.
---@param pid integer
function os.terminate(pid) end

---Tell the supervisor that this service is ready.
---@param text? string
function os.ready(text) end

---Tell the watchdog that it is alive.
function os.alive() end

---@param name string
---@return string? text
---@return integer? version
function os.get_program(name) end

---@param name string
---@return string? text
---@return integer? version
function os.get_library(name) end

---@param name string
---@return string? text
---@return integer? version
function os.get_runtime(name) end

---@param name string
---@param text string
---@return integer version
function os.set_program(name, text) end

---@param name string
---@param text string
---@return integer version
function os.set_library(name, text) end

---@param name string
---@param text string
---@return integer version
function os.set_runtime(name, text) end

---A secret that the service's definition grants.
---@param name string
---@return string
function os.secret(name) end

---------------------------------------------------------------------------
-- Tasks
---------------------------------------------------------------------------

---Start a task of this process.
---@param fn function
---@param ... any
---@return integer id
function os.task(fn, ...) end

---@param seconds number
function os.sleep(seconds) end
