---@meta log

local log = {}

---@param format string as of string.format
---@param ... any
function log.debug(format, ...) end
---@param format string
---@param ... any
function log.info(format, ...) end
---@param format string
---@param ... any
function log.warn(format, ...) end
---@param format string
---@param ... any
function log.error(format, ...) end

return log
