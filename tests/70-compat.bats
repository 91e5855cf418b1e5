#!/usr/bin/env bats
# The runtime `compat`: programs for other versions of Lua.

load helper

setup_file() {
	start_thox '[thoxd]' 'mount = no'
	export mnt thox_sessions
}

teardown_file() {
	stop_thox
}

# compat TEXT: what it prints under the runtime, in $output
compat() {
	run -0 thox-exec -r compat -e "$1"
}

@test "it is there from the start, and a program's first line may choose it" {
	run -0 thoxctl store ls runtimes/
	assert_output_has compat "built in"
	install_program old $'#!/usr/bin/env -S thox-exec -r compat\nprint(unpack({4, 5}))'
	run -0 thox-exec old
	[[ $output == $'4\t5' ]]
	install_program other 'print(unpack({6, 7}))'
	run -0 thox-exec 'compat#other'
	[[ $output == $'6\t7' ]]
	run -1 thox-exec other
}

@test "numbers are written as Lua 5.1 writes them" {
	compat 'print(10 / 2, tostring(3.0), 2^53, 1e15, 1e100, 0.1, -0.0, 7, "8.0")'
	[[ $output == $'5\t3\t9.007199254741e+15\t1e+15\t1e+100\t0.1\t-0\t7\t8.0' ]]
	compat 'io.write(6 / 2, " ", 0.5, "\n")'
	[[ $output == "3 0.5" ]]
	compat 'print(string.format("%d %i %s %5.1f %u %x %% %q", 3.7, -3.7, 4.0, 2.5, 7, 255.9, "a"))'
	[[ $output == '3 -3 4   2.5 7 ff % "a"' ]]
}

@test "functions of Lua 5.1 are there" {
	compat 'print(loadstring("return ...", "name")(1), table.getn({1, 2}), table.maxn({[3.5] = 1, [7] = 2}))'
	[[ $output == $'1\t2\t7' ]]
	compat 'print(table.foreach({a = 1}, function(k, v) return k .. v end), table.foreachi({5, 6}, function(i, v) if v == 6 then return i end end))'
	[[ $output == $'a1\t2' ]]
	compat 'print(math.pow(2, 3), math.log10(1000), math.mod(5, 3), string.gfind("a b", "%a")(), gcinfo() > 10)'
	[[ $output == $'8\t3\t2\ta\ttrue' ]]
	compat 'print(math.cosh(0), math.sinh(1), math.tanh(1), math.frexp(10), math.ldexp(0.625, 4))'
	[[ $output == $'1\t1.1752011936438\t0.76159415595576\t0.625\t10' ]]
	compat 'print(math.frexp(-10)) print(math.frexp(0)) print(math.ldexp(1, -1074) > 0, math.random(1.5, 1.9))'
	[[ $output == $'-0.625\t4\n0\t0\ntrue\t1' ]]
}

@test "a function's environment can be read and set, and no other changes with it" {
	compat 'local function f() x = 1 return y end
		local function g() return x end
		local env = setmetatable({y = 5}, {__index = _G})
		assert(setfenv(f, env) == f)
		print(f(), env.x, x, g(), getfenv(f) == env, getfenv(g) == _G, getfenv() == _G)'
	[[ $output == $'5\t1\tnil\tnil\ttrue\ttrue\ttrue' ]]
	compat 'local function inner() local env = getfenv(2) return env end
		local function outer() local env = inner() return env end
		local env = {inner = inner}
		setfenv(outer, env)
		print(outer() == env)
		setfenv(1, {print = print, here = "yes"})
		print(here)'
	[[ $output == $'true\nyes' ]]
	compat 'print(select(2, pcall(setfenv, math.abs, {})))'
	[[ $output == *"cannot change environment of given object" ]]
	compat 'print(select(2, pcall(setfenv, 0, {})))'
	[[ $output == *"level 0"* ]]
	run -1 thox-exec -r compat -e 'local x = 1
		setfenv(x)'
	assert_output_has "-e:2: bad argument #2 to 'setfenv'"
}

@test "module makes a table of its globals" {
	compat 'module("my.mod", package.seeall)
		function hello() return "hi" end
		print(my.mod.hello(), _NAME, _PACKAGE, package.loaded["my.mod"] == _M)'
	[[ $output == $'hi\tmy.mod\tmy.\ttrue' ]]
	compat 'my = 5 print(select(2, pcall(module, "my.mod")))'
	assert_output_has "name conflict for module 'my.mod'"
}

@test "bit32 does what Lua 5.2's manual says" {
	compat 'print(bit32.band(0xff, 0x0f), bit32.band(), bit32.bor(1, 2, 4), bit32.bxor(5, 1), bit32.bnot(0), bit32.btest(2, 4))'
	[[ $output == $'15\t4294967295\t7\t4\t4294967295\tfalse' ]]
	compat 'print(bit32.lshift(1, 31), bit32.lshift(1, 32), bit32.rshift(256, 8), bit32.lshift(8, -3), bit32.rshift(-1, 31))'
	[[ $output == $'2147483648\t0\t1\t1\t1' ]]
	compat 'print(bit32.arshift(0x80000000, 4), bit32.arshift(0x80000000, 40), bit32.arshift(16, 2), bit32.arshift(1, -3))'
	[[ $output == $'4160749568\t4294967295\t4\t8' ]]
	compat 'print(bit32.lrotate(0x80000001, 1), bit32.rrotate(1, 1), bit32.lrotate(5, 32), bit32.lrotate(1, -1))'
	[[ $output == $'3\t2147483648\t5\t2147483648' ]]
	compat 'print(bit32.extract(0xabcd, 4, 8), bit32.extract(8, 3), bit32.replace(0, 15, 4, 4), bit32.band(2^32 + 5, 2^31 + 7))'
	[[ $output == $'188\t1\t240\t5' ]]
	run -1 thox-exec -r compat -e 'bit32.band({})'
	assert_output_has "-e:1: bad argument #1 to 'band' (number expected, got table)"
	run -1 thox-exec -r compat -e 'bit32.extract(1, 30, 4)'
	assert_output_has "-e:1: trying to access non-existent bits"
}

@test "what later versions add is there, and __ipairs works" {
	compat 'print(type(table.create(5)), utf8.offset("a\xc3\xb1b", 2))'
	[[ $output == $'table\t2\t3' ]]
	run -1 thox-exec -r compat -e 'table.create(-1)'
	assert_output_has "-e:1: bad argument #1 to 'create' (out of range)"
	compat 'local t = setmetatable({}, {__ipairs = function(t)
			return function(_, i) if i < 2 then return i + 1, "v" end end, t, 0 end})
		for i, v in ipairs(t) do print(i, v) end
		for i, v in ipairs({7}) do print(i, v) end'
	[[ $output == $'1\tv\n2\tv\n1\t7' ]]
}

@test "every function that its manual page names is there" {
	# Rows of the table: `name<TAB>…`; a name in parentheses is not to be had.
	local page=${BATS_TEST_DIRNAME}/../man/thox-runtimes.7 name
	mapfile -t names < <(sed -n 's/^\([a-z][a-z0-9_.]*\)|.*/\1/p' "$page")
	[ "${#names[@]}" -gt 30 ]
	for name in "${names[@]}"; do
		echo "$name"
		compat "local at = _G
			for part in ('$name'):gmatch('[^.]+') do at = at[part] end
			print(type(at))"
		[[ $output == function || $output == table ]]
	done
}

# Every function and variable of the manuals of Lua 5.0 to 5.5, as far as one
# is not a library of its own.
all_names() {
	cat <<-'NAMES'
		assert collectgarbage dofile error getfenv getmetatable ipairs load
		loadfile loadstring module next pairs pcall print rawequal rawget rawlen
		rawset require select setfenv setmetatable tonumber tostring type unpack
		xpcall warn _G _VERSION gcinfo newproxy
		coroutine.close coroutine.create coroutine.isyieldable coroutine.resume
		coroutine.running coroutine.status coroutine.wrap coroutine.yield
		package.config package.cpath package.loaded package.loaders
		package.loadlib package.path package.preload package.searchers
		package.searchpath package.seeall
		string.byte string.char string.dump string.find string.format
		string.gfind string.gmatch string.gsub string.len string.lower
		string.match string.pack string.packsize string.rep string.reverse
		string.sub string.unpack string.upper
		utf8.char utf8.charpattern utf8.codepoint utf8.codes utf8.len
		utf8.offset
		table.concat table.create table.foreach table.foreachi table.getn
		table.insert table.maxn table.move table.pack table.remove table.setn
		table.sort table.unpack
		math.abs math.acos math.asin math.atan math.atan2 math.ceil math.cos
		math.cosh math.deg math.exp math.floor math.fmod math.frexp math.huge
		math.ldexp math.log math.log10 math.max math.maxinteger math.min
		math.mininteger math.mod math.modf math.pi math.pow math.rad math.random
		math.randomseed math.sin math.sinh math.sqrt math.tan math.tanh
		math.tointeger math.type math.ult
		bit32.arshift bit32.band bit32.bnot bit32.bor bit32.btest bit32.bxor
		bit32.extract bit32.replace bit32.lrotate bit32.lshift bit32.rrotate
		bit32.rshift
		io.close io.flush io.input io.lines io.open io.output io.popen io.read
		io.stderr io.stdin io.stdout io.tmpfile io.type io.write
		os.clock os.date os.difftime os.execute os.exit os.getenv os.remove
		os.rename os.setlocale os.time os.tmpname
		debug.debug debug.getfenv debug.gethook debug.getinfo debug.getlocal
		debug.getmetatable debug.getregistry debug.getupvalue debug.getuservalue
		debug.setcstacklimit debug.setfenv debug.sethook debug.setlocal
		debug.setmetatable debug.setupvalue debug.setuservalue debug.traceback
		debug.upvalueid debug.upvaluejoin
		io.stdin.close io.stdin.flush io.stdin.lines io.stdin.read
		io.stdin.seek io.stdin.setvbuf io.stdin.write
	NAMES
}

@test "what cannot be had is what its manual page says, and no more" {
	local page=${BATS_TEST_DIRNAME}/../man/thox-runtimes.7

	all_names | thox-exec -r compat -e 'for name in io.read("a"):gmatch("%S+") do
		local at = _G
		for part in name:gmatch("[^.]+") do at = type(at) == "table" and at[part]
			or io.type(at) and at[part] or nil end
		if at == nil then print((name:gsub("^io.stdin.", "file:"))) end
	end' | sort >"$BATS_TEST_TMPDIR/missing"
	# The names that the section has in parentheses.
	sed -n '/^.SS What cannot be had/,/^.SH/p' "$page" | tr '\n' ' ' |
		grep -o '([a-z][^()]*)' | tr -d '(),' | tr ' ' '\n' |
		grep -E '^(dofile|loadfile|[a-z]+[.:][a-z]+)$' |
		grep -vxF coroutine.running | sort >"$BATS_TEST_TMPDIR/said"
	diff "$BATS_TEST_TMPDIR/said" "$BATS_TEST_TMPDIR/missing"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/said")" -gt 20 ]
}

@test "the streams go by their older names" {
	run -0 thox-exec -r compat - <<-'LUA'
		io.output():write(io.input() == io.stdin and "same" or "other", "\n")
		io.flush()
		print(pcall(io.input, "x"))
		print(os.setlocale(), os.setlocale("de_DE"))
		print(math.atan2(1, 0) == math.pi / 2, pcall(math.atan2, 1))
		io.close()
	LUA
	[[ ${lines[0]} == same ]]
	[[ ${lines[1]} == *"io.input: a program has no files"* ]]
	[[ ${lines[2]} == $'C\tnil' ]]
	[[ ${lines[3]} == $'true\tfalse\tbad argument #2 to '* ]]
}
