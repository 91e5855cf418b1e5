#!/usr/bin/env bats
# Whoever stands between a child and what it may call: by the library
# `sandbox`, and by hand.

load helper
load talk

source_dir=${THOX_SOURCE_DIR:-$BATS_TEST_DIRNAME/..}

setup_file() {
	start_thox '[thoxd]' 'mount = no' 'grace-time = 500ms' \
		'[exec]' 'allow-run = **'
	export mnt thox_sessions
	service echo <<-'LUA'
		local thox = require "thox"
		bind("echo")
		bind("mirror")
		thox.serve(0, "", function(request, ...)
		  return request.name, request.pid, request.program, ...
		end)
		ready()
	LUA
	# Keeps a value in its own storage, and tells it.
	service diary <<-'LUA'
		if arg[1] then
		  is(call("storage.keys.set", "page", arg[1]), status.OK)
		end
		print((select(2, call("storage.keys.get", "page"))))
	LUA
	install_program between <"$source_dir/contrib/examples/between.lua"
}

teardown_file() {
	stop_thox
}

teardown() {
	end_clients
}

# Runs @text behind a context 0, and returns what it prints.
prelude+='
local sandbox = require "sandbox"
local function out_of(text, options)
  local r, w = os.pipe()
  options.stdout = w
  options.name = options.name or "child"
  local pid = os.run_code(text, options)
  local text = r:read("a")
  os.wait_exit(pid)
  return text, pid
end
'

# --- filter --------------------------------------------------------------------

@test "a filter refuses, names its pattern, and passes the rest on as the child" {
	spawn echo
	passes <<-'LUA'
		local text, pid = out_of([[
		  local function try(...) print(os.wait(os.call(0, ...))) end
		  try("echo.one", 1, "x")
		  try("echo.secret.two")
		  try("random.randint", 7, 8)
		  try("bind", "mine")
		  os.push(0, "echo.secret", 1)
		]], {context = sandbox.filter{allow = {"echo.**", "random.*"}, deny = {"echo.secret.**"}}})
		is(text, ("0\techo.one\t%d\tnil\t1\tx\n"):format(pid) ..
		  "3\tthe sandbox denies echo.secret.**\n" ..
		  "0\t7\n" ..
		  "3\tthe sandbox allows no bind\n")
	LUA
}

@test "a child reads its own storage through a filter, not that of who filters" {
	run -0 thox-exec diary "the child's"
	install_program logger <<-'LUA'
		os.wait(os.call(0, "storage.keys.set", "page", "the logger's"))
		local ctx = require "sandbox".filter{log = {"storage.**"}}
		os.wait_exit(os.run_program("diary", {context = ctx}))
		print((select(2, os.wait(os.call(0, "storage.keys.get", "page")))))
	LUA
	run -0 --separate-stderr thox-exec logger
	[ "$output" = $'the child\'s\nthe logger\'s' ]
	# shellcheck disable=SC2154 # of bats
	[[ "$stderr" == "info: diary["*"] call storage.keys.get: OK" ]]
}

@test "what is logged: calls with their outcome, pushes, listening" {
	passes <<-'LUA'
		local seen = {}
		out_of([[
		  os.wait(os.call(0, "clock"))
		  os.wait(os.call(0, "no.body", 1, nil))
		  os.listen(0, "news")
		  os.push(0, "news.now")
		  os.wait(os.call(0, "clock"))
		]], {context = sandbox.filter{log = function(e)
		  check(e.pid > 1 and e.program == nil)
		  seen[#seen + 1] = table.concat({e.kind, e.name, tostring(e.status), e.args.n}, " ")
		end}})
		table.sort(seen) -- what is not waited for has no order
		is(table.concat(seen, "\n"), "call clock 0 0\ncall clock 0 0\n" ..
		  "call no.body 2 2\nlisten news nil 1\npush news.now nil 0")
	LUA
}

@test "pushes come and go through a filter, but what it refuses" {
	passes <<-'LUA'
		-- one that listens behind a filter, one that pushes behind another
		local go = os.context()
		local r, w = os.pipe()
		os.run_code([[
		  local go = ...
		  os.listen(0, "chat")
		  os.listen(0, "secret")
		  os.pull("push") -- now it is known that this one listens
		  os.push(go, "go")
		  local got = {}
		  repeat
		    local e = os.pull("push")
		    if e.name ~= "chat.sync" then
		      got[#got + 1] = ("%s %d %s\n"):format(e.name, e.args[1], e.args[2][1])
		    end
		  until #got == 2
		  table.sort(got)
		  io.write(table.unpack(got))
		]], {args = {go}, stdout = w, context = sandbox.filter{deny = {"secret", "chat.hidden"}}})
		local listens = false
		os.task(function()
		  while not listens do os.push(0, "chat.sync") os.sleep(0.05) end
		end)
		os.pull("push")
		listens = true
		os.run_code([[
		  for i, name in ipairs{"chat.hidden", "secret", "chat.no", "chat.one", "chat.two"} do
		    os.push(0, name, i, {name})
		  end
		  os.wait(os.call(0, "clock"))
		]], {context = sandbox.filter{deny = {"chat.no"}}})
		is(r:read("a"), "chat.one 4 chat.one\nchat.two 5 chat.two\n")
	LUA
}

@test "contexts in calls and answers get through, and are not kept on the way" {
	service holds <<-'LUA'
		local daemon = require "daemon"
		function daemon.rpc.holds.make()
		  return daemon.object{
		    ask = function() return "asked" end,
		    close = function() print("closed") io.stdout:flush() end,
		  }
		end
		function daemon.rpc.holds.use(_, ctx)
		  local given <close> = ctx
		  return (require "rpc".on(given).give())
		end
		ready()
	LUA
	spawn holds
	passes <<-'LUA'
		local ctx = sandbox.filter{}
		collectgarbage("stop") -- what is kept stays kept
		local out = out_of([[
		  local rpc, daemon = require "rpc", require "daemon"
		  do
		    local object <close> = rpc.holds.make()
		    print(rpc.on(object).ask())
		  end
		  local mine = daemon.object{
		    give = function() return "given" end,
		    close = function() print("mine is closed") end,
		  }
		  print(rpc.holds.use(mine))
		  mine = nil
		]], {context = ctx})
		-- its end may be heard before the answer
		check(out == "asked\ngiven\nmine is closed\n"
		  or out == "asked\nmine is closed\ngiven\n", out)
	LUA
	wait_until has_line "$out" closed
}

@test "what is asked again and again is answered as the first time" {
	service maker <<-'LUA'
		local daemon = require "daemon"
		local n = 0
		function daemon.rpc.maker.make()
		  return daemon.object{
		    ask = function() return "asked" end,
		    close = function() n = n + 1 print("closed " .. n) io.stdout:flush() end,
		  }
		end
		function daemon.rpc.maker.use(_, ctx)
		  local given <close> = ctx
		  return (require "rpc".on(given).give())
		end
		function daemon.rpc.maker.fail() error({status = os.status.INVALID, message = "bad"}) end
		function daemon.rpc.maker.large(_, text) return text .. text end
		ready()
	LUA
	spawn maker
	passes <<-'LUA'
		local ctx = sandbox.filter{deny = {"maker.no"}}
		collectgarbage("stop") -- what is kept stays kept
		local out = out_of([[
		  local rpc, daemon = require "rpc", require "daemon"
		  local large = ("x"):rep(50000)
		  local function try(...)
		    local e = select(2, pcall(...))
		    io.write(e.status, " ", e.message, " ")
		  end
		  for i = 1, 4 do
		    local object <close> = rpc.maker.make()
		    local mine = daemon.object{give = function() return "given" end}
		    io.write(rpc.on(object).ask(), " ", rpc.maker.use(mine), " ")
		    try(rpc.maker.fail)
		    try(rpc.maker.no)
		    io.write(tostring(rpc.maker.large(large) == large .. large), "\n")
		  end
		]], {context = ctx})
		is(out, ("asked given 7 bad 3 the sandbox denies maker.no true\n"):rep(4))
	LUA
	wait_until has_line "$out" "closed 4"
}

@test "it waits and is given up with whoever called" {
	service slow <<-'LUA'
		bind("slow")
		ready()
		local e = os.pull{type = "call", name = "slow.down"}
		-- it travels in whole milliseconds, rounded up
		print("called", e.deadline ~= nil and e.deadline < 60.002) io.stdout:flush()
		local asked = os.pull{type = "call", name = "slow.taken"}
		os.answer(asked.cid, status.OK)
		os.pull{type = "cancel", cid = e.cid}
		print("cancelled") io.stdout:flush()
	LUA
	spawn slow
	passes <<-'LUA'
		is(out_of([[
		  local cid = os.call{ctx = 0, name = "slow.down", timeout = 60}
		  -- the other way is not held up by it
		  print(os.wait(os.call(0, "random.randint", 1, 2)))
		  os.wait(os.call(0, "slow.taken"))
		  os.cancel(cid)
		  print(os.wait(os.call(0, "random.randint", 2, 3)))
		]], {context = sandbox.filter{}}), "0\t1\n0\t2\n")
	LUA
	has_line "$out" "called	true"
	wait_until has_line "$out" cancelled
}

# --- translate -----------------------------------------------------------------

@test "names are translated, at the longest that fits, there and back" {
	spawn echo
	passes <<-'LUA'
		local ended = false
		os.task(function()
		  while not ended do os.push(0, "echo.news", "n") os.sleep(0.05) end
		end)
		local text = out_of([[
		  local function try(...) print((select(2, os.wait(os.call(0, ...))))) end
		  try("old") try("old.x.y") try("old.special.z") try("older") try("echo.plain")
		  os.listen(0, "old")
		  local e = os.pull("push")
		  print(e.name, e.args[1])
		]], {context = sandbox.translate{old = "echo", ["old.special"] = "mirror"}})
		ended = true
		is(text, "echo\necho.x.y\nmirror.z\nnobody provides it\necho.plain\nold.news\tn\n")
	LUA
}

@test "whoever translates may give each child other names for the same" {
	spawn echo
	passes <<-'LUA'
		local text = [[print((select(2, os.wait(os.call(0, "it")))))]]
		is(out_of(text, {context = sandbox.translate{it = "echo.a"}}), "echo.a\n")
		is(out_of(text, {context = sandbox.translate{it = "mirror.b"}}), "mirror.b\n")
	LUA
}

# --- nothing gets around -------------------------------------------------------

@test "children of the child are behind it, too, however they are started" {
	spawn echo
	passes <<-'LUA'
		local seen = {}
		local text = out_of([[
		  local leaf = 'io.write(tostring((os.wait(os.call(0, "echo.no")))), " ", tostring((os.wait(os.call(0, "echo.yes")))), "\\n")'
		  local node = 'local leaf = ... os.wait_exit(os.run_code(leaf))'
		  os.wait_exit(os.run_code(leaf))
		  os.wait_exit(os.run_code(node, {args = {leaf}}))
		  -- and one that the child stands in front of itself
		  local sandbox = require "sandbox"
		  os.wait_exit(os.run_code(leaf, {context = sandbox.filter{}}))
		  os.wait_exit(os.run_code(node, {args = {leaf}, context = sandbox.filter{}}))
		  os.wait_exit(os.run_code(leaf, {context = sandbox.filter{deny = {"echo.yes"}}}))
		]], {context = sandbox.filter{deny = {"echo.no"}, log = function(e)
		  if e.kind == "call" and e.name:find("^echo") then seen[#seen + 1] = e.name end
		end}})
		is(text, ("3 0\n"):rep(4) .. "3 3\n")
		is(table.concat(seen, " "), ("echo.no echo.yes "):rep(4) .. "echo.no")
	LUA
}

@test "the context 0 of one is of no use to another" {
	spawn echo
	passes <<-'LUA'
		local ctx = sandbox.filter{}
		is(out_of([[print(os.wait(os.call(..., "echo.x")))]], {args = {ctx}}):match("^3\tthe sandbox was not given to process %d+\n$") ~= nil, true)
	LUA
}

@test "a child keeps its context 0 when nobody else holds that any more" {
	spawn echo
	passes <<-'LUA'
		local r, w = os.pipe()
		local reader, writer = os.pipe()
		local pid = os.run_code([[io.read() print((os.wait(os.call(0, "echo.x"))))]],
		  {stdin = reader, stdout = w, context = sandbox.filter{}})
		for _ = 1, 3 do collectgarbage() end
		writer:write("now\n") writer:close()
		is(r:read("a"), "0\n")
	LUA
}

@test "whoever stands between goes on while the child lives, and no longer" {
	spawn echo
	run -0 timeout 60 thox-exec -e '
		local sandbox = require "sandbox"
		os.run_code([[print((os.wait(os.call(0, "echo.x"))))]], {context = sandbox.filter{}})'
	[ "$output" = 0 ]
	# the child ends with it, when it ends before: no way around is left
	run -0 thox-exec -e '
		local sandbox = require "sandbox"
		local r, w = os.pipe()
		local pid = os.run_code([[print("there") io.stdout:flush() os.pull("nothing")]],
		  {context = sandbox.filter{}, stdout = w})
		print(pid, r:read("l"))
		os.exit(0)'
	[[ $output == *there ]]
	wait_until is_gone "${output%%$'\t'*}"
}

@test "a filter that cannot be is refused" {
	passes <<-'LUA'
		local function fails(part, fn, ...)
		  local ok, err = pcall(fn, ...)
		  check(not ok and err:find(part, 1, true), tostring(err))
		end
		fails("a table of options is wanted", sandbox.filter)
		fails("no such option: allows", sandbox.filter, {allows = {}})
		fails("deny is a list of patterns, not string", sandbox.filter, {deny = "x"})
		fails("allow: no pattern of names: a..b", sandbox.filter, {allow = {"a..b"}})
		fails("log: no pattern of names: **.a", sandbox.filter, {log = {"**.a"}})
		fails("names are wanted", sandbox.translate, {old = 1})
		fails("names are wanted", sandbox.translate)
	LUA
}

# --- by hand --------------------------------------------------------------------

@test "twenty lines stand between, log, refuse, translate and pass on" {
	spawn echo
	install_program asks <<-'LUA'
		print((select(2, os.wait(os.call(0, "echo.x", ...)))))
		print(math.type((select(2, os.wait(os.call(0, "clock")))))) -- random.random
		print(select(2, os.wait(os.call(0, "clock"))) < 1)
		print(os.wait(os.call(0, "process.run", {code = ""})))
		os.exit(7)
	LUA
	run -7 --separate-stderr thox-exec between asks a b
	[ "$output" = $'echo.x\nfloat\ntrue\n3\tprocess.run is not for you' ]
	# shellcheck disable=SC2154 # of bats
	[ "$stderr" = $'asks asks for echo.x\nasks asks for random.random\nasks asks for random.random\nasks asks for process.run' ]
	[ "$(sed -n '/^local ctx/,$p' "$source_dir/contrib/examples/between.lua" | wc -l)" -le 20 ]
}
