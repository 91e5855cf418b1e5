#!/usr/bin/env bats
# Storage, as programs have it: the library, thoxd and thox-storaged.

load helper
load talk
load services

setup_file() {
	start_thox '[thoxd]' 'mount = no' '[exec]' 'allow-run = **'
	export mnt thox_sessions
}

teardown_file() {
	stop_thox
}

setup() {
	program=
}

teardown() {
	end_clients
}

# As `passes`, but as a program of the store, which has storage of its own:
# `keeper`, or $program.
keeps() {
	local text

	text=$(cat)
	service "${program:-keeper}" <<<"local storage = require 'storage'
local keys = storage.keys()
local function fails(status, fn, ...)
  local ok, err = pcall(fn, ...)
  check(not ok, 'it does not fail')
  is(type(err), 'table')
  is(err.status, status)
  return err
end
local function main() $text
end main() finish()"
	run timeout 120 thox-exec "${program:-keeper}"
	says_ok
}

says_ok() {
	[[ $status -eq 0 && $output == *ok ]] || {
		echo "$output" >&2
		return 1
	}
}

storaged_pid() {
	pgrep -f "^[^ ]*/thox-storaged $THOX_DIR/"
}

# thox-storaged dies as by a bug. Returns when thoxd has seen it: then the name
# is free, or another has it, since somebody asked already.
kill_storaged() {
	local pid

	pid=$(storaged_pid)
	kill -KILL "$pid"
	wait_until storage_is_without "$pid"
}

storage_is_without() {
	local now

	[[ $(thoxctl --json bus) != *'"storage"'* ]] ||
		{ now=$(storaged_pid) && [[ $now != "$1" ]]; }
}

@test "keys outlive the process, with every value that a call can carry" {
	keeps <<-'LUA'
		for i, value in ipairs { true, false, 1, -3, 1 << 62, 0.5, 1e300, "text", "\0\xff" } do
		  check(keys:set("value " .. i, value))
		end
		keys:set("", "the empty key")
		keys:set("\0\xff\n", { 1, 2, { a = { b = "c" } } })
		local version = keys:set("k", "old")
		check(keys:set("k", "new") > version)
	LUA
	keeps <<-'LUA'
		for i, value in ipairs { true, false, 1, -3, 1 << 62, 0.5, 1e300, "text", "\0\xff" } do
		  local got, version, ttl = keys:get("value " .. i)
		  is(got, value)
		  is(math.type(got), math.type(value))
		  check(version > 0)
		  is(ttl, nil)
		end
		is(keys:get(""), "the empty key")
		is(keys:get("\0\xff\n")[3].a.b, "c")
		is(keys:get("k"), "new")
		local value, version = keys:get("nothing")
		is(value, nil)
		is(version, 0)
		is(keys:delete("k"), true)
		is(keys:delete("k"), false)
		is(keys:get("k"), nil)
	LUA
}

@test "compare-and-set, increments, expiry" {
	keeps <<-'LUA'
		local one = keys:set("a", 1, { if_version = 0 })
		check(one)
		local ok, version = keys:set("a", 2, { if_version = 0 })
		is(ok, false)
		is(version, one)
		check(keys:set("a", 2, { if_version = one }))
		ok, version = keys:delete("a", { if_version = one })
		is(ok, nil)
		check(version > one)
		is(keys:get("a"), 2)

		is(keys:increment("n"), 1)
		is(keys:increment("n", 41), 42)
		is(keys:increment("n", -0.5, { sync = true }), 41.5)
		keys:set("text", "x")
		fails(status.INVALID, keys.increment, keys, "text")

		keys:set("short", "lived", { ttl = 0.2 })
		keys:set("long", "lived", { ttl = 1000 })
		local _, _, left = keys:get("long")
		check(left > 900 and left <= 1000)
		while keys:get("short") do os.sleep(0.02) end
		is(keys:get("long"), "lived")
	LUA
}

@test "bad keys, values and options are refused, and say why" {
	keeps <<-'LUA'
		local function says(text, ...)
		  local ok, err = pcall(...)
		  check(not ok, text)
		  check(tostring(err):find(text, 1, true), tostring(err), "-", text)
		end
		says("nil is no value", keys.set, keys, "a")
		says("the key must be a string", keys.get, keys, 5)
		says("the key must be a string", keys.get, keys, {})
		says("a key has at most 1024 bytes", keys.set, keys, ("k"):rep(1025), 1)
		keys:set(("k"):rep(1024), "longest")
		is(keys:get(("k"):rep(1024)), "longest")
		says("a value has at most 1048576 bytes", keys.set, keys, "a", ("v"):rep(1 << 20))
		keys:set("a", ("v"):rep((1 << 20) - 5))
		says("a context cannot be stored", keys.set, keys, "a", { os.context() })
		says("no option `tll`", keys.set, keys, "a", 1, { tll = 5 })
		says("ttl must be", keys.set, keys, "a", 1, { ttl = -1 })
		says("ttl must be", keys.set, keys, "a", 1, { ttl = 0 / 0 })
		says("sync must be true or false", keys.set, keys, "a", 1, { sync = 1 })
		says("if_version must", keys.set, keys, "a", 1, { if_version = "x" })
		says("storage context is wanted", storage.keys, "mine")
		is(#keys:get("a"), (1 << 20) - 5)
	LUA
}

@test "a list comes in order, in pages, below a prefix" {
	keeps <<-'LUA'
		keys:transaction(function(t)
		  for i = 1, 1000 do t:set(("list/%04d"):format(i), i) end
		end)
		for i = 1001, 2500 do keys:set(("list/%04d"):format(i), i) end
		keys:set("list0", "behind")
		keys:set("lis", "before")
		local n = 0
		for key, value, version, ttl in keys:list("list/") do
		  n = n + 1
		  is(key, ("list/%04d"):format(n))
		  is(value, n)
		  check(version > 0)
		end
		is(n, 2500)
		n = 0
		for key, value in keys:list("list/2", { keys = true }) do
		  is(value, nil)
		  n = n + 1
		end
		is(n, 501)
		for key in keys:list("nothing/") do error(key) end
	LUA
}

@test "transactions of many processes at once: nothing is lost or made up" {
	local i

	keeps <<-'LUA'
		for i = 1, 5 do keys:set("account" .. i, 100) end
		keys:set("moves", 0)
	LUA
	service mover <<-'LUA'
		local keys = require("storage").keys()
		ready()
		for _ = 1, 100 do
		  keys:transaction(function(t)
		    local from, to = math.random(5), math.random(4)
		    if to >= from then to = to + 1 end
		    local a, b = t:get("account" .. from), t:get("account" .. to)
		    t:set("account" .. from, a - 1)
		    is(t:get("account" .. from), a - 1)
		    t:set("account" .. to, b + 1)
		    t:set("moves", t:get("moves") + 1)
		  end, { tries = 100000 })
		end
	LUA
	# They are to have one storage: that of a program which starts them.
	service keeper <<-'LUA'
		local storage = require "storage"
		local own = storage.open("keeper")
		local text = os.get_program("mover")
		local pids = {}
		for i = 1, 4 do pids[i] = os.run_code(text, { name = "mover", storage = own }) end
		for i = 1, 4 do is(os.wait_exit(pids[i]), 0) end
		local keys, sum = storage.keys(), 0
		for i = 1, 5 do sum = sum + keys:get("account" .. i) end
		is(sum, 500)
		is(keys:get("moves"), 400)
		finish()
	LUA
	run timeout 120 thox-exec keeper
	says_ok
}

@test "a transaction that fails writes nothing; one in conflict is run again" {
	keeps <<-'LUA'
		keys:set("a", 1)
		local ok, err = pcall(keys.transaction, keys, function(t)
		  t:set("a", 2)
		  t:delete("b")
		  error("no, thanks", 0)
		end)
		is(err, "no, thanks")
		is(keys:get("a"), 1)

		local runs = 0
		local one, two = keys:transaction(function(t)
		  runs = runs + 1
		  local a = t:get("a")
		  if runs == 1 then keys:set("a", 10) end
		  t:set("a", a + 1)
		  return "first", runs
		end)
		is(one, "first")
		is(two, 2)
		is(keys:get("a"), 11)

		-- What never agrees ends all the same.
		runs = 0
		err = fails(status.ERROR, keys.transaction, keys, function(t)
		  runs = runs + 1
		  t:set("b", t:get("a"))
		  keys:increment("a")
		end, { tries = 5 })
		is(runs, 5)
		is(tostring(err), "storage.keys.transaction: ERROR: others wrote what it read, 5 times")
		is(keys:get("b"), nil)

		-- An error that came of a change in between is not told.
		runs = 0
		is(keys:transaction(function(t)
		  runs = runs + 1
		  local a = t:get("a")
		  if runs == 1 then keys:set("a", 0) end
		  if a ~= 0 then error("not yet") end
		  return "done"
		end), "done")

		local kept
		keys:transaction(function(t) kept = t end)
		check(not pcall(kept.set, kept, "a", 1), "it is over")
	LUA
}

@test "a watch tells each key that changes, also one that expires" {
	keeps <<-'LUA'
		local task = require "task"
		local queue = task.queue()
		local watch <close> = keys:watch("w/", function(key, value, version)
		  queue:put { key = key, value = value, version = version }
		end)
		local function next_is(key, value)
		  local change = queue:get(60)
		  is(change.key, key)
		  is(change.value, value)
		  check(change.version > 0)
		end
		keys:set("other", 1)
		local big = ("x"):rep((1 << 20) - 5)
		keys:set("w/a", 1)
		next_is("w/a", 1)
		keys:set("w/a", big)
		next_is("w/a", big)
		keys:set("w/a", "short-lived", { ttl = 0.1 })
		while queue:get(60).value do end
		is(keys:get("w/a"), nil)
		keys:set("w/b", false)
		next_is("w/b", false)
		keys:delete("w/b")
		next_is("w/b", nil)
		keys:transaction(function(t) t:set("w/c", "c") t:set("w/d", "d") end)
		local c, d = queue:get(60), queue:get(60)
		if c.key > d.key then c, d = d, c end
		is(c.value .. d.value, "cd")

		-- Who is slow hears of the last state, and of every key.
		local slow, newest, n = task.queue(1), {}, 0
		local other = keys:watch("s/", function(key, value)
		  newest[key] = value
		  if key == "s/last" then slow:put(true) end
		end)
		for round = 1, 20 do
		  for i = 1, 50 do keys:set("s/" .. i, round) end
		end
		keys:set("s/last", 1)
		slow:get()
		for i = 1, 50 do is(newest["s/" .. i], 20) end
		other:close()

		-- Many at once come in several answers.
		local gate, all, n = task.queue(), task.queue(), 0
		local third <close> = keys:watch("m", function()
		  if n == 0 then gate:get() end
		  n = n + 1
		  if n == 3001 then all:put(true) end
		end)
		keys:set("m", true)
		for part = 0, 2 do
		  keys:transaction(function(t)
		    for i = 1, 1000 do t:set("m" .. part * 1000 + i, i) end
		  end)
		end
		gate:put(true)
		check(all:get(60))
	LUA
}

@test "a lock is one's own until it is closed, or its holder has ended" {
	service holder <<-'LUA'
		local storage = require "storage"
		local lock = storage.lock("door")
		ready()
		while true do os.pull() end
	LUA
	spawn holder
	local pid
	pid=$(running_pid holder)
	program=holder keeps <<-'LUA'
		local err = fails(status.TIMEOUT, storage.lock, "door", { timeout = 0.1 })
		fails(status.TIMEOUT, storage.lock, "door", { timeout = 0, shared = true })
		local all = storage.locks()
		is(#all, 1)
		is(all[1].name, "door")
		is(all[1].held, true)
		is(all[1].shared, false)
		fails(status.INVALID, storage.lock, "")
		fails(status.INVALID, storage.lock, ("n"):rep(129))
		fails(status.INVALID, storage.lock, "door", { patience = 5 })
		do
		  local one <close> = storage.lock("window", { shared = true })
		  local two <close> = storage.lock("window", { shared = true, timeout = 0 })
		  fails(status.TIMEOUT, storage.lock, "window", { timeout = 0 })
		end
		storage.lock("window"):close()
	LUA
	# The same program again, which waits for the first.
	service holder <<-'LUA'
		local storage = require "storage"
		local waiting = os.task(function() storage.lock("door", { timeout = 3600 }) end)
		while #storage.locks() < 2 do os.sleep(0.01) end
		ready()
		require("task").wait(waiting)
		finish()
	LUA
	local first=$client
	spawn holder
	thoxctl kill "$pid"
	wait_until has_line "$out" ok
	wait_until is_gone "$first"
	ended_with 0
}

@test "a lock that is closed is another's, and the next one is a new one" {
	keeps <<-'LUA'
		-- what holds them is given back and used again, for any of them
		local first = storage.lock("one")
		first:close()
		for round = 1, 3 do
		  local held = {}
		  for i = 1, 6 do held[i] = storage.lock("lock " .. i) end
		  is(#storage.locks(), 6)
		  for i = 1, 6 do
		    fails(status.TIMEOUT, storage.lock, "lock " .. i, { timeout = 0 })
		    held[i]:close()
		    is(tostring(held[i]), "context: closed")
		    held[i]:close() -- and no other by it
		    while #storage.locks() > 6 - i do os.sleep(0.01) end
		  end
		end
		local again = storage.lock("one")
		check(again.id ~= first.id)
		first:close()
		is(storage.locks()[1].name, "one")
		again = nil
		collectgarbage()
		while #storage.locks() > 0 do os.sleep(0.01) end
		-- nobody takes it twice before those who wait
		local order, mine = {}, storage.lock("turn")
		local other = os.task(function()
		  local lock <close> = storage.lock("turn")
		  order[1] = "other"
		end)
		while #storage.locks() < 2 do os.sleep(0.01) end
		mine:close()
		mine = storage.lock("turn")
		order[#order + 1] = "mine"
		is(table.concat(order, " "), "other mine")
		check(require("task").wait(other))
	LUA
}

@test "a lock that was passed on is held by whoever has it" {
	service receiver <<-'LUA'
		local daemon = require "daemon"
		local kept
		function daemon.rpc.kept.keep(_, lock) kept = lock end
		function daemon.rpc.kept.drop() kept:close() kept = nil end
		ready()
	LUA
	spawn receiver
	keeps <<-'LUA'
		local rpc = require "rpc"
		storage.lock("warm"):close()
		local lock = storage.lock("passed")
		rpc.kept.keep(lock)
		lock:close()
		local own = storage.lock("own")
		fails(status.TIMEOUT, storage.lock, "passed", { timeout = 0 })
		rpc.kept.drop()
		storage.lock("passed", { timeout = 60 }):close()
		fails(status.TIMEOUT, storage.lock, "own", { timeout = 0 })
		own:close()
		storage.lock("own"):close()
	LUA
}

@test "who waits for a lock is served in turn" {
	keeps <<-'LUA'
		local task = require "task"
		local lock = storage.lock("turn")
		local order, tasks = {}, {}
		for i = 1, 5 do
		  tasks[i] = os.task(function()
		    local mine <close> = storage.lock("turn")
		    order[#order + 1] = i
		  end)
		  while #storage.locks() < i + 1 do os.sleep(0.01) end
		end
		lock:close()
		for i = 1, 5 do check(task.wait(tasks[i])) end
		is(table.concat(order), "12345")
	LUA
}

@test "large pieces of the stream are what was written, also at its end" {
	program=large keeps <<-'LUA'
		local parts = {}
		for i = 1, 40000 do parts[i] = ("%09d\n"):format(i) end
		local whole = table.concat(parts)
		local s <close> = storage.stream()
		s:write(whole)
		for _, size in ipairs { 65536, 65537, 131072, 262144, 399999, 400000, 400001, 1 << 22 } do
		  for at = 0, 300000, 100000 do
		    s:seek("set", at)
		    is(s:read(size), whole:sub(at + 1, at + size))
		  end
		end
		s:truncate(0)
	LUA
}

@test "pieces of the stream are collected, though not one by one, and not past the ceiling" {
	program=pieces keeps <<-'LUA'
		local cycles, most = 0, 0
		local function count()
		  setmetatable({}, { __gc = function() cycles = cycles + 1; count() end })
		end
		local s <close> = storage.stream()
		s:write(("x"):rep(1 << 20))
		for i = 1, 40 do s:seek("set"); s:read(1 << 18) end
		count()
		for i = 1, 200 do
		  s:seek("set", (i & 3) << 18)
		  is(#s:read(1 << 18), 1 << 18)
		  most = math.max(most, collectgarbage("count"))
		end
		assert(s.file and cycles >= 10 and cycles <= 80, cycles)
		assert(most < 4096, most)

		-- who has stopped the collector has it stopped
		collectgarbage("stop")
		cycles = 0
		for i = 1, 20 do s:seek("set"); s:read(1 << 18) end
		is(cycles, 0)
		assert(collectgarbage("count") > 5120)
		collectgarbage("restart")

		-- what is held is nobody's to collect
		local held = {}
		for i = 1, 60 do
		  s:seek("set")
		  held[i] = s:read(1 << 18)
		end
		for i = 1, 60 do is(held[i], held[1]) end
	LUA
	# A program that lives with little memory does not end sooner for it.
	thoxctl store put programs/tight - <<-'LUA'
		local s = require("storage").stream()
		s:write(("x"):rep(1 << 20))
		for i = 1, 2000 do
		  s:seek("set")
		  assert(#s:read(1 << 18) == 1 << 18)
		end
		assert(s.file)
		print("through")
	LUA
	thox-exec --memory 4M tight 2>&1 | grep -x through
}

@test "the stream is read, written, sought and cut" {
	keeps <<-'LUA'
		is(storage.get(), nil)
		do
		  local s <close> = storage.stream()
		  is(s:read(), "")
		  is(s:read(1), nil)
		  is(s:seek("end"), 0)
		  s:sync()
		end
		storage.set("first\nsecond\n")
		is(storage.get(), "first\nsecond\n")
		local s = storage.stream()
		is(s:read(5), "first")
		is(s:seek(), 5)
		is(s:read(1), "\n")
		is(s:read(), "second\n")
		is(s:read(0), "")
		is(s:read(1), nil)
		is(s:seek("set", 1), 1)
		s:write("IR"):write("ST")
		is(storage.get(), "fIRST\nsecond\n")
		is(s:seek("end", -1), 12)
		s:write("!")
		s:truncate(6)
		s:truncate()
		s:sync()
		is(storage.get(), "fIRST\n" .. ("\0"):rep(7))
		s:truncate(0)
		s:seek("set")
		local text = {}
		for i = 1, 300000 do text[i] = ("%09d"):format(i) end
		text = table.concat(text)
		s:write(text)
		s:seek("set")
		check(s:read() == text, "what was written is read")
		check(storage.get() == text)
		check(not pcall(s.seek, s, "set", -1))
		check(not pcall(s.seek, s, "middle"))
		check(not pcall(s.read, s, "a"))
		s:close()
		check(not pcall(s.read, s, 1))
		fails(status.TOO_LARGE, function() storage.stream():truncate(1 << 40) end)
		storage.set("")
		is(storage.get(), "")
	LUA
	[ -f "$THOX_DIR/store/data/keeper" ]
	echo "from outside" >"$THOX_DIR/store/data/keeper"
	keeps <<<'is(storage.get(), "from outside\n")'
}

# What process $1 has open below data/, a line each, with its access mode.
data_files() {
	local fd flags

	for fd in /proc/"$1"/fd/*; do
		[[ $(readlink "$fd") == */data/* ]] || continue
		flags=$(sed -n 's/^flags:[[:space:]]*//p' "/proc/$1/fdinfo/${fd##*/}")
		echo "$(readlink "$fd") $((8#$flags & 3))"
	done
}

has_data_files() {
	[[ $(data_files "$1") == "$2" ]]
}

@test "a stream's bytes go by a descriptor of the file, which nothing outgrows" {
	local data="$THOX_DIR/store/data/writer" pid

	service writer <<-'LUA'
		local storage = require "storage"
		local s = storage.stream()
		local steps = {
		  write = function() s:seek("set") s:write("by descriptor") end,
		  read = function() s:seek("set") return s:read() end,
		  replace = function() storage.set("replaced") end,
		  close = function() s:close() end,
		  again = function() s = storage.stream() return s:read() end,
		  attack = function()
		    local ctx = require("thox").invoke({ 0, "storage.stream.open", false, false }, { write = true })
		    local file = require("thox").file(ctx)
		    local limit = storage.stat().limit_bytes
		    local text = ("x"):rep(100)
		    local n = file:write(limit - 10, text)
		    local past = file:write(limit, text)
		    local far = file:write(1 << 62, text)
		    return table.concat({ n, past, far, tostring(file:size() == limit) }, " ")
		  end,
		}
		for name, fn in pairs(steps) do
		  require("thox").serve(0, "writer." .. name, fn)
		end
		os.bind("writer")
	LUA
	thox-exec -d writer
	pid=$(thoxctl --json ps | sed 's/.*"pid":\([0-9]*\).*/\1/')
	[ "$(data_files "$pid")" = "" ]
	thoxctl call writer.write
	[ "$(data_files "$pid")" = "$data 2" ]
	[ "$(cat "$data")" = "by descriptor" ]
	grep -q '^Max file size *67108864 ' "/proc/$pid/limits"
	# in place, from outside: it is the same file
	printf 'BY' 1<>"$data"
	[[ $(thoxctl call writer.read) == *"BY descriptor"* ]]
	[ "$(data_files "$pid")" = "$data 2" ]
	# replaced: it has let go of the old one without being asked, and what
	# it reads is the new one
	thoxctl call writer.replace
	wait_until has_data_files "$pid" ""
	[[ $(thoxctl call writer.read) == *replaced* ]]
	[ "$(data_files "$pid")" = "$data 0" ]
	printf 'from outside' >"$data.new"
	mv "$data.new" "$data"
	[[ $(thoxctl call writer.read) == *"from outside"* ]]
	thoxctl call writer.close
	[ "$(data_files "$pid")" = "" ]
	[[ $(thoxctl call writer.again) == *"from outside"* ]]
	# up to the limit, and not a byte beyond it
	[[ $(thoxctl call writer.attack) == *"10 0 0 true"* ]]
	[ "$(stat -c %s "$data")" -eq 67108864 ]
	kill -0 "$pid"
	thoxctl stop writer
}

@test "who writes to a file of the user's has no descriptor, and a stream all the same" {
	service plain <<-'LUA'
		local storage = require "storage"
		local s = storage.stream()
		s:write("as calls")
		s:seek("set")
		print(s:read())
		print(s.file == nil)
		io.write(("x"):rep(100))
	LUA
	thox-exec plain >"$BATS_TEST_TMPDIR/out"
	[ "$(head -2 "$BATS_TEST_TMPDIR/out")" = "as calls
true" ]
	[ "$(cat "$THOX_DIR/store/data/plain")" = "as calls" ]
}

@test "behind a filter a stream is read by calls, and written only where that is let" {
	program=filtered keeps <<<'storage.set("kept")'
	service filtered <<-'LUA'
		local storage = require "storage"
		local s = storage.stream()
		print(s:read(), s.file == nil, pcall(s.write, s, "no"))
	LUA
	service filtering <<-'LUA'
		local sandbox = require "sandbox"
		for _, options in ipairs { { allow = { "storage.stream.read" } }, { deny = { "storage.stream.write" } } } do
		  local r, w = os.pipe()
		  local pid = os.run_program("filtered", { stdout = w, context = sandbox.filter(options) })
		  io.write(r:read("a"))
		  os.wait_exit(pid)
		end
	LUA
	run -0 thox-exec filtering
	[[ ${lines[0]} == "kept	true	false	storage.stream.write: DENIED"* ]]
	[[ ${lines[1]} == "kept	true	false	storage.stream.write: DENIED"* ]]
	[ "$(cat "$THOX_DIR/store/data/filtered")" = kept ]
}

@test "everybody has his own, and another's only where policy says so" {
	program=owner keeps <<<'keys:set("mine", 1) storage.set("mine")'
	program=other keeps <<-'LUA'
		is(keys:get("mine"), nil)
		is(storage.get(), nil)
		fails(status.INVALID, storage.open, "../owner")
	LUA
	service other <<-'LUA'
		local storage = require "storage"
		local owner <close> = storage.open("owner")
		is(storage.keys(owner):get("mine"), 1)
		is(storage.get(owner), "mine")
		storage.keys(owner):set("theirs", 2)
		storage.set("theirs", owner)
		is(storage.stat(owner).program, "owner")
		local lock <close> = storage.lock("l", { ctx = owner })
		is(#storage.locks(owner), 1)
		is(#storage.locks(), 0)
		local ok, err = pcall(storage.open, "third")
		is(err.status, status.DENIED)
		is(err.message, "the storage of `third` is not allowed")
		finish()
	LUA
	run thox-exec other
	[[ $output == *"storage of \`owner\` is not allowed"* ]]
	echo $'[exec]\nallow-call = **' >"$THOX_DIR/thoxd.conf"
	thoxctl shutdown
	run thox-exec --allow storage.open --allow storage.open.owner other
	says_ok
	# Nor is it the right to the calls on one's own.
	run thox-exec --no-calls other
	[[ $output == *"DENIED"* ]]
	program=owner keeps <<<'is(keys:get("theirs"), 2) is(storage.get(), "theirs")'
}

@test "a text has none, unless its starter passes one" {
	passes <<-'LUA'
		local storage = require "storage"
		local ok, err = pcall(function() storage.keys():get("a") end)
		is(err.status, status.DENIED)
		check(err.message:find("no storage of its own"), err.message)
	LUA
	service keeper <<-'LUA'
		local storage = require "storage"
		local code = [[
		  local keys = require("storage").keys()
		  local ok, err = pcall(keys.get, keys, "shared")
		  os.exit(ok and err == "given" and 0 or err.status == os.status.DENIED and 3 or 1)
		]]
		storage.keys():set("shared", "given")
		is(os.wait_exit(os.run_code(code)), 3)
		is(os.wait_exit(os.run_code(code, { storage = storage.open("keeper") })), 0)
		finish()
	LUA
	run thox-exec keeper
	says_ok
}

@test "thox-storaged is killed: what was synced is there, and watches go on" {
	service survivor <<-'LUA'
		local storage = require "storage"
		local keys = storage.keys()
		local watch = keys:watch("", function(key, value)
		  if key then print("changed", key, value) else print("look at all") end
		  io.stdout:flush()
		end)
		keys:set("kept", 1, { sync = true })
		ready()
	LUA
	spawn survivor
	wait_until has_line "$out" "changed	kept	1"
	kill_storaged
	wait_until has_line "$out" "look at all"
	program=survivor keeps <<-'LUA'
		is(keys:get("kept"), 1)
		keys:set("kept", 2)
	LUA
	service survivor <<<'require("storage").keys():set("kept", 2)'
	thox-exec survivor
	wait_until has_line "$out" "changed	kept	2"
}

@test "damaged keys are set aside, their program is told, others are unharmed" {
	program=broken keeps <<<'keys:set("a", 1, { sync = true })'
	program=whole keeps <<<'keys:set("a", 1, { sync = true })'
	kill_storaged
	rm -f "$THOX_DIR/store/.storage/keys/broken.db-"*
	head -c 20000 /dev/urandom >"$THOX_DIR/store/.storage/keys/broken.db"
	program=broken keeps <<-'LUA'
		local err = fails(status.ERROR, keys.get, keys, "a")
		check(err.message:find("`broken` %a+ damaged"), err.message)
		is(keys:get("a"), nil)
		keys:set("a", 2)
		is(keys:get("a"), 2)
	LUA
	program=whole keeps <<<'is(keys:get("a"), 1)'
	ls "$THOX_DIR/store/.storage/keys/" | grep -q "^broken.*damaged"
}

@test "a call waits in its own task only" {
	keeps <<-'LUA'
		local lock = storage.lock("held")
		local got
		local waiter = os.task(function() got = storage.lock("held") end)
		while #storage.locks() < 2 do os.sleep(0.01) end
		keys:set("meanwhile", 1)
		is(keys:get("meanwhile"), 1)
		is(got, nil)
		lock:close()
		check(require("task").wait(waiter))
		check(got)
		got:close()
	LUA
}

@test "a database is readable with sqlite3 while it is in use" {
	command -v sqlite3 >/dev/null || skip "sqlite3 is not installed"
	program=live keeps <<<'keys:set("a", 1, { sync = true }) keys:set("b", 2, { sync = true })'
	run sqlite3 "file:$THOX_DIR/store/.storage/keys/live.db?mode=ro" \
		'SELECT count(*) FROM keys'
	[ "$output" = 2 ]
}

@test "[limits] storage bounds what a service's program keeps" {
	service miser <<-'LUA'
		local storage = require "storage"
		local keys = storage.keys()
		is(storage.stat().limit_bytes, 4096)
		keys:set("a", ("x"):rep(2000))
		local ok, err = pcall(keys.set, keys, "b", ("x"):rep(3000))
		is(err.status, status.TOO_LARGE)
		is(err.message, "over the storage limit of 4096 bytes")
		ok, err = pcall(storage.set, ("x"):rep(5000))
		is(err.status, status.TOO_LARGE)
		keys:delete("a")
		keys:set("b", ("x"):rep(3000))
		print("frugal")
	LUA
	thoxctl store put services/miser - <<-'INI'
		[service]
		program = miser
		type = oneshot
		[limits]
		storage = 4K
	INI
	thoxctl start miser || thoxctl logs miser >&2
	wait_until logged_times miser frugal 1
}
