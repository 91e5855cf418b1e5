#!/usr/bin/env bats
# Programs that mean harm, or might as well: each meets an error that names
# the cause, and the rest of the instance goes on.

load helper

setup() { start_thox; }

teardown() {
	# Whatever a program did, the next one runs.
	run -0 thox-exec -e 'print("alive")'
	[[ $output == alive ]]
	stop_thox
}

# hits_cpu_limit TEXT
hits_cpu_limit() {
	run -124 thox-exec --cpu 1s -e "$1"
	assert_output_has "CPU time limit of 1 s"
}

# hits_memory_limit TEXT
hits_memory_limit() {
	run -137 thox-exec --memory 16M -e "$1"
	assert_output_has "memory limit of 16 MiB"
}

@test "a loop without end meets the CPU limit, wherever it is" {
	hits_cpu_limit 'while true do end'
	hits_cpu_limit 'while true do pcall(error) end'
	hits_cpu_limit 'local function f() return f() end f()'
	hits_cpu_limit 'coroutine.wrap(function() while true do end end)()'
}

@test "a loop inside a function of the library meets the CPU limit" {
	hits_cpu_limit 'string.rep("", 1e18)'
	hits_cpu_limit 'string.find(("a"):rep(1e5), (".-"):rep(20) .. "b")'
	hits_cpu_limit 'table.concat(setmetatable({}, {__len = function() return 1e15 end, __index = function() return "" end}))'
	hits_cpu_limit 'table.move({}, 1, math.maxinteger - 1, 2)'
}

@test "a loop in a finaliser, a collection or an error's text meets the CPU limit" {
	hits_cpu_limit 'setmetatable({}, {__gc = function() while true do end end}) collectgarbage()'
	hits_cpu_limit 'setmetatable({}, {__gc = function() while true do end end})'
	hits_cpu_limit 'while true do collectgarbage() end'
	hits_cpu_limit 'error(setmetatable({}, {__tostring = function() while true do end end}))'
}

@test "allocation without end meets the memory limit" {
	hits_memory_limit 'local t = {} while true do t[#t + 1] = {} end'
	hits_memory_limit 'local s = "x" while true do s = s .. s end'
	hits_memory_limit 'local t = {} while true do t[#t + 1] = ("x"):rep(1000) .. #t end'
	hits_memory_limit 'local t = {} while true do local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co) t[#t + 1] = co end'
	hits_memory_limit 'local function f() return coroutine.wrap(f)() end local t = {} while true do t[#t + 1] = coroutine.wrap(function() end) end'
	hits_memory_limit 'local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) end'
}

@test "one request that is too large is an error that a program may handle" {
	run -0 thox-exec --memory 16M -e 'print(pcall(string.rep, "x", 1e9)) print("goes on")'
	[[ $output == $'false\tnot enough memory\ngoes on' ]]
}

@test "deep recursion is an error or a crash that stays inside" {
	run -1 thox-exec -e 'local function f() return 1 + f() end f()'
	assert_output_has "stack overflow"
	run -1 thox-exec -e 'local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k + 1] end return t[1]'
	run -1 thox-exec -e 'string.gsub("x", "x", function() local function f(s) return s:gsub(".", f) end f("x") end)'
	run -1 thox-exec -e 'local function f() return coroutine.wrap(f)() end f()'
	assert_output_has "stack overflow"
}

@test "a pattern made to overflow the C stack is too complex" {
	run -0 thox-exec -e 'print(pcall(string.find, ("a"):rep(3e5), (".-"):rep(1e5) .. "b"))'
	assert_output_has "pattern too complex"
}

@test "100 MB of ( are too much text, and 10 MB too deep" {
	run -126 bash -c 'head -c 100M /dev/zero | tr "\0" "(" | thox-exec -'
	assert_output_has "16 MiB"
	run -1 bash -c 'head -c 10M /dev/zero | tr "\0" "(" | thox-exec -'
	assert_output_has "stdin: C stack overflow"
}

@test "a NUL and compiled Lua are refused, as texts and by load" {
	run -1 thox-exec - < <(printf 'print(1)\n\0')
	assert_output_has ":2: " "NUL"
	run -1 thox-exec - < <(printf '\033Lua\x54\0')
	assert_output_has "compiled Lua is refused"
	run -0 thox-exec -e 'print(load("\27Lua")) print(string.dump, loadfile, dofile)'
	assert_output_has "attempt to load a binary chunk" $'nil\tnil\tnil'
}

@test "a crash of the interpreter is told with its signal" {
	run thox-exec -e 'x = {} x.a = x print(pcall(load("return x" .. (".a"):rep(1e5) .. ".b.c")))'
	# A newer Lua does not crash by it.
	[[ $status -eq 0 ]] || {
		assert_status 139
		assert_output_has "Lua interpreter crashed" SIGSEGV
	}
}

@test "known crashes of Lua harm nobody, whatever they do to themselves" {
	local text

	for text in \
		'local o = setmetatable({}, {__concat = function(a, b) local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end f(180000) return "z" end}) local function g() return "a" .. "b" .. o end print(g())' \
		'local co for i = 1, 1e5 do local prev = co co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() if prev then coroutine.close(prev) end end}) coroutine.yield() end) coroutine.resume(co) end coroutine.close(co)' \
		'local f = string.gmatch(("a"):rep(9), ("a?"):rep(2e5)) pcall(f) pcall(f)' \
		'local t = setmetatable({}, {__mode = "k"}) setmetatable(t, {__newindex = function(_, k, v) rawset(t, {}, ("x"):rep(1e5)) t[k .. "x"] = v end}) pcall(function() t.a = 1 end)'; do
		run thox-exec --memory 64M --cpu 5s --timeout 20s -e "$text"
		case $status in
		0 | 1 | 124 | 132 | 137 | 139) ;;
		*) assert_status 139 ;;
		esac
		run -0 thox-exec -e 'print("alive")'
	done
}

@test "an error value with a hostile text or name is told as what it is" {
	run -1 thox-exec -e 'error(setmetatable({}, {__tostring = function() return 5 end}))'
	assert_output_has "error object is a table value"
	run -1 thox-exec -e 'error(setmetatable({}, {__tostring = error}))'
	run -1 thox-exec -e 'error(setmetatable({}, {__name = ("x"):rep(1e6)}))'
	run -1 thox-exec -e 'error()'
	assert_output_has "error object is a nil value"
	run -1 thox-exec -e 'print(setmetatable({}, {__name = 5, __tostring = function() error("inside") end}))'
	assert_output_has inside
}

@test "a program cannot close what is not its own, nor go on after its end" {
	run -0 thox-exec -e 'io.stdin:close() io.stdout:close() io.stderr:close() local t = {} for i = 1, 100 do t[i] = pcall(io.write, "x") end'
	[[ -z $output ]]
	run -0 thox-exec -e 'local x <close> = setmetatable({}, {__close = function() os.exit(3) end}) os.exit(0)'
	run -3 thox-exec -e 'local x <close> = setmetatable({}, {__close = function() os.exit(3) end}) os.exit(0, true)'
}
