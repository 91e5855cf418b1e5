#!/usr/bin/env bats
# Children: what they are given, that they never have more than their parent,
# whichever way that is tried, and that they end with it.

load helper
load talk

setup_file() {
	start_thox '[thoxd]' 'mount = no' 'grace-time = 3s' \
		'[limits]' 'processes = 40' \
		'[exec]' 'allow-store = **' 'allow-run = **'
	export mnt thox_sessions
	install_program whoami <<-'LUA'
		local i = select(2, os.wait(os.call(0, "process.info")))
		print(i.program, i.name, i.service)
	LUA
	install_program wait 'print("ready") io.stdout:flush() os.pull("nothing")'
	install_program loop 'print("ready") io.stdout:flush() while true do end'
}

teardown_file() {
	stop_thox
}

teardown() {
	end_clients
}

is_stopped() {
	! kill -0 "$1" 2>/dev/null
}

# --- what a child gets ---------------------------------------------------------

@test "a child has its parent's variables, or those that it is given" {
	run -0 thox-exec --env A=1 --env B=2 -e '
		local function ask(env)
		  local r, w = os.pipe()
		  os.run_code("print(os.getenv([[A]]), os.getenv([[B]]))", {env = env, stdout = w})
		  io.write(r:read("a"))
		end
		ask() ask{A = "x"} ask{}'
	[ "${lines[0]}" = $'1\t2' ]
	[ "${lines[1]}" = $'x\tnil' ]
	[ "${lines[2]}" = $'nil\tnil' ]
}

@test "a child's streams are its parent's unless something else is said" {
	run -0 --separate-stderr bash -c "echo line | thox-exec -e '
		os.wait_exit(os.run_code([[print(io.read()) io.stderr:write(\"err\\n\")]]))'"
	[ "$output" = line ]
	# shellcheck disable=SC2154 # of bats
	[ "$stderr" = err ]
}

@test "an output that a program has closed is closed, whoever might inherit it" {
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	cat "$BATS_TEST_TMPDIR/pipe" >"$BATS_TEST_TMPDIR/seen" 3>&- &
	reader=$!
	[ -p "$THOX_DIR/silent" ] || mkfifo "$THOX_DIR/silent"
	thox-exec -e 'print("last") io.stdout:close() io.read()' \
		0<>"$THOX_DIR/silent" >"$BATS_TEST_TMPDIR/pipe" 3>&- &
	clients+=($!)
	wait "$reader" # reads to the end, while the program goes on
	[ "$(<"$BATS_TEST_TMPDIR/seen")" = last ]
	kill -0 "${clients[-1]}"
}

@test "a child's arguments may be contexts" {
	passes <<-'LUA'
		local ctx, other = os.context(), os.context()
		local pid = os.run_code([[
		  local one, two, again = ...
		  assert(one == again and one ~= two, "not the same")
		  assert(arg[2] == one or arg[1] == one)
		  os.push(one, "first") os.push(two, "second")
		  os.pull("nothing")]], {args = {ctx, other, ctx}})
		-- by two links: either may come first
		local e = os.pull({type = "push", name = "first"}, 20)
		is(e.ctx, ctx) is(e.pid, pid)
		e = os.pull({type = "push", name = "second"}, 20)
		is(e.ctx, other) is(e.pid, pid)
	LUA
}

@test "a context among the arguments whose owner is gone is a closed one" {
	passes <<-'LUA'
		-- a child gives its parent a context, and ends while it is handed on
		local ctx = os.context()
		local code = [[local c = ... print(pcall(os.call, c, "x"))]]
		local seen = 0
		while seen < 20 do
		  local pid = os.run_code([[os.wait(os.call(..., "take", os.context()))]], {args = {ctx}})
		  local e = os.pull("call", 20)
		  local theirs = e.args[1]
		  os.answer(e.cid, status.OK) -- which ends it, sooner or later
		  local ok, other = pcall(os.run_code, code, {args = {theirs}, stdout = "null"})
		  if ok then is(os.wait_exit(other, 20), 0) end
		  os.wait_exit(pid, 20)
		  seen = seen + 1
		end
	LUA
}

# --- never more than its parent ------------------------------------------------

@test "limits: a child has its parent's, or less, never more" {
	run -0 thox-exec --memory 32M --cpu 10 --timeout 60 -e '
		local want = {memory = 1 << 40, cpu = 1e6, wall = 1e6, tasks = 1e6,
		  descriptors = 1e6, processes = 1e6}
		local code = "local l = select(2, os.wait(os.call(0, [[process.info]]))).limits " ..
		  "print(l.memory, l.cpu, l.wall, l.tasks, l.descriptors, l.processes)"
		local function ask(limits)
		  local r, w = os.pipe()
		  os.run_code(code, {limits = limits, stdout = w})
		  io.write(r:read("a"))
		end
		ask() ask(want) ask{memory = 1 << 24, cpu = 0.5, wall = 7, tasks = 3, descriptors = 5, processes = 2}'
	[ "${lines[0]}" = $'33554432\t10.0\t60.0\t1024\t2048\t40' ]
	[ "${lines[1]}" = "${lines[0]}" ]
	[ "${lines[2]}" = $'16777216\t0.5\t7.0\t3\t5\t2' ]
}

@test "limits: they hold in the child" {
	run -0 thox-exec -e '
		local function ends(code, limits)
		  print(os.wait_exit(os.run_code(code, {limits = limits, stderr = "null"})))
		end
		ends("while true do end", {cpu = 0.1})
		ends("os.pull([[nothing]])", {wall = 0.1})
		ends("local s = [[x]] while true do s = s .. s end", {memory = 1 << 21})'
	[ "${lines[0]}" = $'nil\t9' ]
	[ "${lines[1]}" = $'nil\t9' ]
	[[ "${lines[2]}" != 0* ]]
}

@test "policy: what a parent may not, no descendant may, whatever it is allowed" {
	local kind text

	text='
	local code, depth = ...
	local all = {call = {"**"}, bind = {"**"}, run = {"**"}, store = {"**"}}
	local function try(name, ...)
	  local st = os.wait(os.call(0, name, ...))
	  io.write(st == os.status.DENIED and "denied " or st == os.status.OK and "ok " or st .. " ")
	end
	try("secret.read")
	try("bind", "mine." .. depth)
	try("process.run", {program = "whoami", stdout = "null"})
	try("program.set", "x", "return")
	print()
	io.stdout:flush()
	if tonumber(depth) < 2 then
	  os.wait_exit(os.run_code(code, {policy = {allow = all}, args = {code, tostring(depth + 1)}}))
	end'
	run -0 thox-exec --deny secret.** --deny bind=** --deny run=** --deny store=** -e "$text" "$text" 0
	[ "${#lines[@]}" -eq 3 ]
	for kind in "${lines[@]}"; do
		[ "$kind" = "denied denied denied denied " ]
	done
}

@test "policy: a child may less than its parent, and so do its own children" {
	run -0 thox-exec -e '
		local try = "io.write(os.wait(os.call(0, ...)) == os.status.DENIED and [[denied ]] or [[ok ]]) io.stdout:flush()"
		local code = try .. " os.wait_exit(os.run_code([==[" .. try .. "]==], {args = {...}, policy = {allow = {bind = {[[**]]}}}}))"
		os.wait_exit(os.run_code(code, {args = {"bind", "a.b"}, policy = {allow = {bind = {"a.*"}}}}))
		os.wait_exit(os.run_code(code, {args = {"bind", "a.b"}, policy = {deny = {bind = {"a.*"}}}}))
		os.wait_exit(os.run_code(code, {args = {"bind", "b"}, policy = {allow = {bind = {}}}}))'
	# (the grandchild's is free: its parent has bound it and is still there)
	[[ "$output" == "ok "*"denied denied denied denied "* ]]
}

@test "policy: running programs is a right of its own, one's own texts are not" {
	run thox-exec --deny 'run=**' -e '
		os.wait_exit(os.run_code("print([[a text]])"))
		print(pcall(os.run_program, "whoami"))'
	[ "${lines[0]}" = "a text" ]
	[[ "${lines[1]}" == *DENIED*run* ]]
}

@test "policy: with --no-calls nothing is run, called, bound or published" {
	run -0 thox-exec --no-calls -e '
		for _, c in ipairs{{"process.run", {code = ""}}, {"bind", "x"}, {"any.thing"}, {"program.set", "x", ""}, {"program.get", "x"}} do
		  io.write(os.wait(os.call(0, table.unpack(c))), " ")
		end
		io.write((os.wait(os.call(0, "clock"))))'
	[ "$output" = "3 3 3 3 3 0" ]
}

@test "identity: a text is no program, whatever it is called" {
	passes <<-'LUA'
		local function who(options, code)
		  local r, w = os.pipe()
		  options.stdout = w
		  if code then os.run_code(code, options) else os.run_program("whoami", options) end
		  return r:read("a")
		end
		local code = os.get_program("whoami")
		is(who({}), "whoami\twhoami\tnil\n")
		is(who({name = "whoami"}, code), "nil\twhoami\tnil\n")
		local ok = pcall(os.run_code, code, {name = "x", service = "web"})
		check(not ok)
		ok = pcall(os.run_program, "whoami", {name = "other"})
		check(not ok)
	LUA
}

@test "identity: a runtime by a process runs only who may no more, and as nobody" {
	run -0 thox-exec --deny secret.** -e '
		os.set_runtime("theirs", "function theirs() return true end")'
	# the user may more
	run -126 thox-exec -r theirs -e 'print(theirs())'
	assert_output_has "runtime 'theirs' was published by a process"
	run -126 thox-exec 'theirs#whoami'
	# one that may the same, and its children
	run -0 thox-exec --deny secret.** -r theirs -e 'print(theirs())'
	[ "$output" = true ]
	run -0 thox-exec --deny secret.** -r theirs whoami
	[[ "$output" == nil$'\t'whoami* ]]
	run -0 thox-exec --deny secret.** -e '
		os.wait_exit(os.run_code("print(theirs())", {runtime = "theirs", policy = {deny = {call = {"x"}}}}))'
	[ "$output" = true ]
	# another one, that may neither more nor less
	run -126 thox-exec --deny other.** -r theirs -e 'print(theirs())'
	# the next thoxd knows
	kill -KILL "$(thoxctl --json status | gojq .pid)"
	wait_until thoxctl label
	run -126 thox-exec -r theirs -e 'print(theirs())'
	run -0 thox-exec --deny secret.** -r theirs -e 'print(theirs())'
	# the user takes it over
	thoxctl store cat runtimes/theirs | thoxctl store put runtimes/theirs -
	run -0 thox-exec -r theirs -e 'print(theirs())'
}

@test "identity: whoever runs a service's program is no instance of the service" {
	printf '[service]\nprogram = whoami\n' | thoxctl store put services/web - >/dev/null
	run -0 thox-exec -e '
		os.wait_exit(os.run_program("whoami"))
		for _, name in ipairs{"web", "web:1"} do
		  print(os.wait(os.call(0, "process.run", {program = name})))
		end'
	[ "${lines[0]}" = $'whoami\twhoami\tnil' ]
	[[ "${lines[1]}" == 2$'\t'* ]]
	[[ "${lines[2]}" == 7$'\t'* ]]
	thoxctl store rm services/web
}

@test "processes: others are not there to be known or ended" {
	spawn wait
	stranger=$(pid_of wait)
	run -0 thox-exec --deny 'run=**' -e '
		local stranger = math.tointeger(...)
		local mine = os.run_code("os.pull([[nothing]])")
		print(os.wait(os.call(0, "process.kill", stranger)) == os.status.NOT_FOUND)
		print(os.wait(os.call(0, "process.terminate", stranger)) == os.status.NOT_FOUND)
		print(os.wait(os.call(0, "process.info", stranger)) == os.status.NOT_FOUND)
		local _, list = os.wait(os.call(0, "process.list"))
		print(#list)
		local r, w = os.pipe()
		os.run_code("print(os.wait(os.call(0, [[process.kill]], ...)) == os.status.NOT_FOUND)", {args = {}, stdout = w})
		os.kill(mine)
		print(os.wait_exit(mine))' "$stranger"
	[ "${lines[0]}" = true ]
	[ "${lines[1]}" = true ]
	[ "${lines[2]}" = true ]
	[ "${lines[3]}" = 2 ]
	[ "${lines[4]}" = $'nil\t9' ]
	! is_stopped "$stranger"
}

@test "processes: a child cannot end its parent" {
	run -0 thox-exec -e '
		local r, w = os.pipe()
		os.run_code("print(pcall(os.kill, math.tointeger(...)))", {args = {tostring(os.pid())},
		  stdout = w, policy = {deny = {run = {"**"}}}})
		io.write(r:read("a"))'
	[[ "$output" == false*NOT_FOUND* ]]
}

@test "pipes: ends that were never given cannot be named" {
	passes <<-'LUA'
		local keep = {os.pipe()}
		local r, w = os.pipe()
		os.run_code([[
		  local n = 0
		  for i = 0, 200 do
		    for _, s in ipairs{"stdin", "stdout", "stderr"} do
		      local e = s == "stdin" and "reader" or "writer"
		      local st = os.wait(os.call(0, "process.run", {code = "", [s] = {pipe = i, ["end"] = e}}))
		      if st ~= os.status.INVALID then n = n + 1 end
		    end
		  end
		  print(n)]], {stdout = w})
		is(r:read("a"), "0\n")
	LUA
}

@test "pipes: an end that was given is the giver's no more" {
	passes <<-'LUA'
		local r, w = os.pipe()
		local pid = os.run_code("print(io.read('a'))", {stdin = r, stdout = "null"})
		check(not pcall(os.run_code, "", {stdin = r}))
		check(not pcall(r.read, r))
		w:write("x") w:close()
		is(os.wait_exit(pid, 20), 0)
	LUA
}

@test "contexts: whoever stands between stands between the grandchildren, too" {
	passes <<-'LUA'
		local ctx = os.context()
		local r, w = os.pipe()
		local pid = os.run_code([[
		  os.wait_exit(os.run_code("print(os.wait(os.call(0, [=[whose]=])))"))]],
		  {context = ctx, stdout = w})
		local up, seen = os.up(pid), {}
		os.task(function()
		  while true do
		    local e = os.pull("call")
		    seen[#seen + 1] = e.name
		    if e.name == "whose" then
		      os.answer(e.cid, status.OK, "the parent's", e.pid ~= pid)
		    else
		      os.answer(e.cid, os.wait(os.call(up, e.name, table.unpack(e.args))))
		    end
		  end
		end)
		is(r:read("a"), "0\tthe parent's\ttrue\n")
		is(table.concat(seen, " "), "process.run whose")
		os.exit(0, false, print("ok"))
	LUA
}

# --- their end -----------------------------------------------------------------

@test "children end with their parent, asked to or killed as it was" {
	local pid

	run -0 thox-exec -e 'print(os.run_program("wait", {stdout = "null"}))'
	wait_until is_stopped "$output"

	# one that does not want to is killed after the grace time
	run -0 thox-exec -e 'print(os.run_program("loop", {stdout = "null"}))'
	wait_until is_stopped "$output"

	start_client -e 'local r, w = os.pipe()
		local pid = os.run_code("print(os.run_program([[loop]], {stdout = [[null]]})) io.stdout:flush() os.pull([[nothing]])", {stdout = w})
		print(pid, r:read("l")) print("ready") io.stdout:flush() os.pull("nothing")'
	wait_until has_line "$out" ready
	kill -KILL "$client"
	for pid in $(head -n 1 "$out"); do
		wait_until is_stopped "$pid"
	done
}

@test "a child that is asked to end with its parent starts nothing any more" {
	cat >"$BATS_TEST_TMPDIR/parent.lua" <<-'LUA'
		os.run_code([[
		  os.pull("terminate", 0) -- asked for: it does not end by itself
		  os.task(function()
		    os.pull("terminate")
		    print(os.wait(os.call(0, "process.run", {code = "while true do end"})))
		    os.exit(0)
		  end)
		  os.sleep(0)
		  print("ready") io.stdout:flush() os.pull("nothing")]], {})
		os.pull("nothing")
	LUA
	start_client "$BATS_TEST_TMPDIR/parent.lua"
	wait_until has_line "$out" ready
	thoxctl terminate "$(running_pid parent.lua)"
	wait_until has_line "$out" "about to end with its parent"
	wait_until no_process_runs
}

@test "whoever starts itself again and again stops at its limit, alone" {
	local most=0 n

	install_program bomb <<-'LUA'
		for _ = 1, 3 do pcall(os.run_program, "bomb", {stdout = "null", stderr = "null"}) end
		if os.run_code then os.sleep(30) end
	LUA
	start_client bomb
	has_many() { (($(thoxctl --json ps | gojq length) >= 41)); }
	wait_until has_many
	for _ in 1 2 3 4 5; do
		n=$(thoxctl --json ps | gojq length)
		((n <= most)) || most=$n
	done
	[ "$most" -eq 41 ] # itself, and those that come of it
	run -0 thox-exec -e 'return 1'
	[ "$output" = 1 ]
}

@test "children of children end somewhere" {
	run -0 thox-exec -e '
		local code = [[
		  local code, n = ...
		  local ok, why = pcall(os.run_code, code, {args = {code, tostring(n + 1)}})
		  if ok then os.wait_exit(why) else print(n, why) end]]
		os.wait_exit(os.run_code(code, {args = {code, "1"}}))'
	[[ "$output" == 15*"TOO_LARGE"*"deep at most"* ]]
}

@test "a runtime that fails is told to whoever wanted a child under it, without a storm" {
	thoxctl store put runtimes/broken - <<<'error("broken from the start")' >/dev/null
	before=$(thoxctl --json status | gojq .counters.zygotes)
	run -0 thox-exec -e '
		for _ = 1, 20 do
		  local ok, why = pcall(os.run_code, "print(1)", {runtime = "broken"})
		  assert(not ok and tostring(why):find("broken from the start"), tostring(why))
		end
		os.wait_exit(os.run_code("print([[others run]])"))'
	[ "$output" = "others run" ]
	# (it is tried again after one second, two more, four more)
	after=$(thoxctl --json status | gojq .counters.zygotes)
	((after <= before + 4))
}

@test "a runtime is chosen by option, name, first line, or for a child" {
	thoxctl store put runtimes/greet - <<<'function greet() print("hello") end' >/dev/null
	install_program plain 'greet()'
	install_program lined $'#!/usr/bin/env -S thox-exec -r greet\ngreet()'
	passes <<-'LUA'
		local function out(name, options)
		  local r, w = os.pipe()
		  options.stdout, options.stderr = w, "null"
		  os.run_program(name, options)
		  return r:read("a")
		end
		is(out("plain", {runtime = "greet"}), "hello\n")
		is(out("greet#plain", {}), "hello\n")
		is(out("lined", {}), "hello\n")
		is(out("plain", {}), "")
	LUA
}

@test "thoxctl tree shows parents, names and who holds what" {
	start_client -e '
		os.bind("treetop")
		local ctx = os.context()
		local pid = os.run_code("io.read() os.pull([[nothing]])", {args = {ctx}, name = "leaf", stdin = {text = "x\n"}})
		print(pid) print("ready") io.stdout:flush() os.pull("nothing")'
	wait_until has_line "$out" ready
	leaf=$(head -n 1 "$out")
	run -0 thoxctl tree
	assert_output_has "binds treetop" "context 1, held by $leaf" "─ $leaf leaf under native"
	run -0 thoxctl --json tree
	gojq -e --argjson leaf "$leaf" '
		(.[] | select(.pid == $leaf)) as $l |
		(.[] | select(.pid == $l.parent)) |
		.parent == 0 and .binds == ["treetop"] and .contexts == [{"context": 1, "holders": [$leaf]}]' <<<"$output"
	LC_ALL=C run -0 thoxctl tree
	assert_output_has "- $leaf leaf"
	[[ "$output" != *─* ]]
}

@test "a child that is given contexts starts, too, where no runner waits for it" {
	local outer=$THOX_DIR

	start_thox '[thoxd]' 'mount = no' '[zygote]' 'pool = 0'
	run timeout 60 thox-exec -e '
		local ctx = os.context()
		for i = 1, 5 do
		  local pid = os.run_code("os.push(..., [[here]], 1)", {args = {ctx}})
		  print(os.pull("push", 20).pid == pid, os.wait_exit(pid, 20))
		end'
	stop_thox
	THOX_DIR=$outer
	assert_status 0
	[[ $(sort -u <<<"$output") == $'true\t0\tnil' ]]
}
