-- The globals of a program under thox, as a standard of luacheck. In a
-- .luacheckrc:
--
--     stds.thox = dofile("/usr/share/thox/luacheck/thox.lua")
--     std = "thox"
--
-- What a program has not (io.open, os.execute, dofile, package.loadlib, …) is
-- not in it, so luacheck tells before the program does.

local function fields(names)
	local t = {}
	for name in names:gmatch("%S+") do
		t[name] = {}
	end
	return { fields = t }
end

-- A table to which a program may add, such as handlers or `daemon.rpc`.
local function open(names)
	local t = fields(names)
	t.other_fields = true
	return t
end

return {
	globals = { "_ENV" },
	read_globals = {
		_G = { other_fields = true, read_only = false },
		_VERSION = {},
		arg = { other_fields = true },
		assert = {},
		collectgarbage = {},
		error = {},
		getmetatable = {},
		ipairs = {},
		load = {},
		next = {},
		pairs = {},
		pcall = {},
		print = {},
		rawequal = {},
		rawget = {},
		rawlen = {},
		rawset = {},
		require = {},
		select = {},
		setmetatable = {},
		tonumber = {},
		tostring = {},
		type = {},
		warn = {},
		xpcall = {},
		coroutine = fields("close create isyieldable resume running status wrap yield"),
		debug = fields("getinfo traceback"),
		io = {
			fields = {
				lines = {},
				read = {},
				stderr = open("write lines read"),
				stdin = open("write lines read"),
				stdout = open("write lines read"),
				type = {},
				write = {},
			},
		},
		math = fields("abs acos asin atan ceil cos deg exp floor fmod huge log max maxinteger "
			.. "min mininteger modf pi rad random randomseed sin sqrt tan tointeger type ult"),
		os = {
			fields = {
				-- of Lua
				clock = {}, date = {}, difftime = {}, exit = {}, getenv = {}, time = {},
				-- contexts and names
				context = {}, close = {}, revoke = {}, bind = {}, unbind = {}, up = {},
				-- calls and events
				call = {}, wait = {}, answer = {}, cancel = {}, push = {}, listen = {},
				pull = {}, queue = {}, alarm = {},
				status = fields("OK ERROR NOT_FOUND DENIED CLOSED TIMEOUT CANCELLED INVALID "
					.. "TOO_LARGE"),
				-- processes
				run_program = {}, run_code = {}, wait_exit = {}, pipe = {}, kill = {},
				terminate = {}, pid = {}, name = {}, label = {}, ready = {}, alive = {},
				-- the store
				get_program = {}, get_library = {}, get_runtime = {},
				set_program = {}, set_library = {}, set_runtime = {},
				secret = {},
				-- tasks
				task = {}, sleep = {},
			},
		},
		package = {
			fields = {
				config = {},
				loaded = { other_fields = true, read_only = false },
				path = {},
				preload = { other_fields = true, read_only = false },
				searchers = { other_fields = true, read_only = false },
			},
		},
		string = fields("byte char find format gmatch gsub len lower match pack packsize rep "
			.. "reverse sub unpack upper"),
		table = fields("concat insert move pack remove sort unpack"),
		utf8 = fields("char charpattern codepoint codes len offset"),
	},
}
