#!/usr/bin/env bats
# Who may what: rules of thoxd.conf, of an option, of a parent; on every way
# that a call can take.

load helper
load talk

setup_file() {
	start_thox '[thoxd]' 'mount = no' 'grace-time = 500ms' \
		'[exec]' 'deny-call = secret.**' 'allow-run = **' \
		'deny-run = forbidden'
	export mnt thox_sessions
	service fs <<-'LUA'
		bind("fs")
		ready()
		while true do
		  local e = os.pull("call")
		  os.answer(e.cid, status.OK, e.name)
		end
	LUA
	service forbidden <<-'LUA'
	LUA
}

teardown_file() {
	stop_thox
}

teardown() {
	end_clients
}

# The prelude, and a child that makes the calls that its arguments name and
# tells each status and message to who has bound `mine`.
prelude+='
local function denied(rule, s, message)
  is(s, status.DENIED)
  is(message, rule)
end
local child_code = [[
  for _, name in ipairs{...} do
    os.wait(os.call(0, "mine.result", os.wait(os.call(0, name))))
  end
]]
local function pid() return select(2, call("process.info")).pid end
-- The next @n results: a list of {status, message}.
local function results(n)
  local list = {}
  while #list < n do
    local e = assert(os.pull("call", 10), "no result")
    list[#list + 1] = e.args
    os.answer(e.cid, status.OK)
  end
  return list
end
'

says_ok() {
	[[ $output == ok ]] || {
		echo "$output" >&2
		return 1
	}
}

@test "thoxd.conf says what may be done by hand, and a refusal names the rule" {
	passes <<-'LUA'
		denied('rule "deny call secret.**" of [exec] in thoxd.conf',
		  call("secret.read"))
		local s, message = call("program.set", "x", "")
		denied('no rule "allow store" of [exec] in thoxd.conf admits '
		  .. "programs.x", s, message)
		is(call("clock"), status.OK)
	LUA
}

@test "an option narrows it, where a name is asked for and on the way there" {
	spawn fs
	run thox-exec --deny fs.write -e "$prelude"'
		local rule = "rule \"deny call fs.write\" of the options of thox-exec"
		denied(rule, call("fs.write"))
		is(select(2, call("fs.read")), "fs.read")
		is(call("fs.write"), status.DENIED) -- the way is known now
		is(select(2, call("fs.write.all")), "fs.write.all")
		print("ok")'
	says_ok
	run thox-exec --allow fs.read -e "$prelude"'
		is(select(2, call("fs.read")), "fs.read")
		is(call("fs.write"), status.DENIED)
		is(call("fs.read.all"), status.DENIED)
		denied("no rule \"allow call\" of the options of thox-exec admits "
		  .. "other", call("other"))
		is(call("secret.x"), status.DENIED)
		is(call("random.random"), status.OK)
		print("ok")'
	says_ok
}

@test "--no-calls leaves the clock, and nothing else" {
	spawn fs
	run thox-exec --no-calls -e "$prelude"'
		is(call("fs.read"), status.DENIED)
		is(call("bind", "mine"), status.DENIED)
		is(call("bus.list"), status.DENIED)
		is(call("process.run", {code = ""}), status.DENIED)
		is(call("program.get", "fs"), status.DENIED)
		is(call("clock"), status.OK)
		print("ok")'
	says_ok
}

@test "policy holds for what is pushed and heard" {
	service hears <<-'LUA'
		os.listen(0, "chat")
		os.listen(0, "secret")
		call("clock") -- then thoxd has read what came before it
		ready()
		for _ = 1, 2 do
		  local e = os.pull("push")
		  print("heard", e.name)
		end
	LUA
	spawn hears
	thoxctl push chat.one
	thoxctl push secret.two
	thoxctl push secret.one
	run -0 thox-exec -e 'os.push(0, "secret.four") os.push(0, "chat.five")'
	ended_with 0
	[[ $(grep heard "$out") == $'heard\tchat.one\nheard\tchat.five' ]]
}

@test "a child has no more than its parent, whatever it is given" {
	spawn fs
	run thox-exec --deny fs.write -e "$prelude"'
		bind("mine")
		local function run(policy)
		  is(call("process.run", {code = child_code, policy = policy,
		    args = {"fs.write", "fs.read", "secret.x"}}), status.OK)
		  return results(3)
		end
		local option = "rule \"deny call fs.write\" of the options of thox-exec"
		local conf = "rule \"deny call secret.**\" of [exec] in thoxd.conf"
		for _, policy in ipairs{{}, {allow = {call = {"**"}}},
		    {allow = {call = {"fs.write", "fs.read", "secret.x", "mine.**"}}}} do
		  local r = run(policy)
		  denied(option, table.unpack(r[1]))
		  is(r[2][1], status.OK)
		  denied(conf, table.unpack(r[3]))
		end
		local r = run{deny = {call = {"fs.**"}}}
		denied(("rule \"deny call fs.**\" of what process %d lets its child do")
		  :format(pid()), table.unpack(r[2]))
		print("ok")'
	says_ok
}

@test "a grandchild has no more than its parent either" {
	spawn fs
	passes <<-'LUA'
		bind("mine")
		is(call("process.run", {
		  code = [[
		    local code = ...
		    os.wait(os.call(0, "process.run", {code = code,
		      policy = {allow = {call = {"**"}, run = {"**"}}},
		      args = {"fs.write", "fs.read"}}))
		    os.pull("exit")
		  ]],
		  policy = {deny = {call = {"fs.write"}}},
		  args = {child_code},
		}), status.OK)
		local r = results(2)
		is(r[1][1], status.DENIED)
		is(r[2][1], status.OK)
	LUA
}

@test "what forwards for a child acts as the child, no more and no less" {
	spawn fs
	run thox-exec --deny fs.erase -e "$prelude"'
		local zero = os.context()
		local s, child, up = call("process.run", {
		  code = "os.wait(os.call(0, \"never\"))",
		  context = zero,
		  policy = {deny = {call = {"fs.write"}}},
		})
		is(s, status.OK)
		local function on_up(name) return os.wait(os.call(up, name)) end
		denied(("rule \"deny call fs.write\" of what process %d lets its child do")
		  :format(pid()), on_up("fs.write"))
		denied("rule \"deny call fs.erase\" of the options of thox-exec",
		  on_up("fs.erase"))
		is(select(2, on_up("fs.read")), "fs.read")
		is(on_up("fs.write"), status.DENIED)
		is(select(2, call("fs.write")), "fs.write") -- its own right
		call("process.kill", child)
		print("ok")'
	says_ok
}

@test "whom a policy forbids to run a program cannot, nor control others" {
	spawn fs
	passes <<-'LUA'
		denied('rule "deny run forbidden" of [exec] in thoxd.conf',
		  call("process.run", {program = "forbidden"}))
	LUA
	run thox-exec --deny run='**' -e "$prelude"'
		local others = 0
		local _, list = call("process.list")
		for _, p in ipairs(list) do
		  if p.name == "fs" then others = others + 1 end
		  if p.name == "fs" then call("process.kill", p.pid) end
		end
		is(others, 0)
		is(call("process.run", {program = "fs"}), status.DENIED)
		print("ok")'
	says_ok
	run -0 thoxctl call fs.read
}

@test "a program that may not be run cannot be by another form of its name" {
	thoxctl store put runtimes/other - <<<'' >/dev/null
	passes <<-'LUA'
		for _, name in ipairs{"forbidden", "forbidden@1", "forbidden.lua",
		    "native#forbidden", "other#forbidden@1"} do
		  denied('rule "deny run forbidden" of [exec] in thoxd.conf',
		    call("process.run", {program = name}))
		end
		denied('rule "deny run forbidden" of [exec] in thoxd.conf',
		  call("process.run", {program = "forbidden", runtime = "other",
		    policy = {allow = {run = {"**"}}}}))
		-- its text is no secret, but gives nobody its storage or its name
		local s, text = call("program.get", "forbidden")
		is(s, status.OK)
		bind("mine")
		is(call("process.run", {name = "forbidden", args = {"storage.keys.get"},
		  code = text .. child_code}), status.OK)
		is(results(1)[1][1], status.DENIED)
	LUA
}

@test "who may not publish or remove texts cannot, of any kind" {
	passes <<-'LUA'
		for _, name in ipairs{"program.set", "library.set", "runtime.set"} do
		  denied('no rule "allow store" of [exec] in thoxd.conf admits '
		    .. name:gsub("y.set", "ies"):gsub(".set", "s") .. ".mine",
		    call(name, "mine", "return 1"))
		end
		for _, name in ipairs{"program.remove", "library.remove", "runtime.remove"} do
		  is(call(name, "fs"), status.DENIED)
		end
	LUA
	run -0 thoxctl store cat fs
}

@test "no runtime, and no context in an argument, gives a child more" {
	spawn fs
	thoxctl store put runtimes/other - <<<'' >/dev/null
	run thox-exec --deny fs.write -e "$prelude"'
		bind("mine")
		local option = "rule \"deny call fs.write\" of the options of thox-exec"
		is(call("process.run", {code = child_code, args = {"fs.write", "fs.read"},
		  runtime = "other", name = "fs"}), status.OK)
		local r = results(2)
		denied(option, table.unpack(r[1]))
		is(r[2][1], status.OK)
		-- what stands for one child is of the right of that child, for another, too
		local zero = os.context()
		local s, one, up = call("process.run", {code = "os.pull(\"nothing\")", context = zero,
		  policy = {deny = {call = {"fs.read"}}}})
		is(s, status.OK)
		is(call("process.run", {args = {up}, code = [[
		  local up = ...
		  for _, name in ipairs{"fs.write", "fs.read", "fs.list"} do
		    os.wait(os.call(0, "mine.result", os.wait(os.call(up, name))))
		  end]]}), status.OK)
		r = results(3)
		denied(option, table.unpack(r[1]))
		denied(("rule \"deny call fs.read\" of what process %d lets its child do")
		  :format(pid()), table.unpack(r[2]))
		is(r[3][1], status.OK)
		-- and as a context 0 it is no way around either
		is(call("process.run", {context = up, code = child_code .. [[
		  os.wait(os.call(0, "mine.result", os.wait(os.call(0, "process.run",
		    {code = "", policy = {allow = {call = {"**"}}}}))))]],
		  args = {"fs.write", "fs.read", "fs.list"}}), status.OK)
		r = results(3)
		is(r[1][1], status.DENIED)
		is(r[2][1], status.DENIED)
		is(r[3][1], status.OK)
		call("process.kill", one)
		print("ok")'
	says_ok
}

@test "a policy that is none is refused" {
	run -125 thox-exec --deny 'a..b' -e 'return 1'
	passes <<-'LUA'
		is(call("process.run", {code = "", policy = {allow = {calls = {}}}}),
		  status.INVALID)
		is(call("process.run", {code = "", policy = {deny = {call = {"a b"}}}}),
		  status.INVALID)
		is(call("process.run", {code = "", policy = 5}), status.INVALID)
	LUA
}
