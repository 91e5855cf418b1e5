#!/usr/bin/env bats
# Tasks, as a program's user sees them: turns, ends, streams, limits.

load helper

setup() { start_thox; }
teardown() { stop_thox; }

# begin TEXT: as the program `begun`, with an input that descriptor 7 writes
begin() {
	install_program begun "$1"
	mkfifo "$BATS_TEST_TMPDIR/in"
	env --default-signal=INT thox-exec begun <"$BATS_TEST_TMPDIR/in" \
		>"$BATS_TEST_TMPDIR/out" \
		2>"$BATS_TEST_TMPDIR/err" 3>&- &
	begun=$!
	exec 7>"$BATS_TEST_TMPDIR/in"
}

says() {
	grep -q -- "$1" "$BATS_TEST_TMPDIR/out"
}

# ended CODE: what was begun has ended with it
ended() {
	local code=0
	wait "$begun" || code=$?
	exec 7>&-
	[[ $code == "$1" ]]
}

@test "tasks take turns while each computes, and the process waits for the last" {
	run -0 thox-exec -e '
		local n = {}
		for i = 1, 3 do
			n[i] = 0
			os.task(function()
				repeat
					n[i] = n[i] + 1
				until n[1] > 1e5 and n[2] > 1e5 and n[3] > 1e5
				print("done")
			end)
		end'
	[[ $output == $'done\ndone\ndone' ]]
}

@test "a task's error is told with its name, and ends nobody else" {
	run -0 --separate-stderr thox-exec -e '
		local task = require "task"
		local id = task.start(function() error("boom") end, "bad")
		print(task.wait(id))
		print("goes on")'
	[[ ${lines[0]} == $'false\t'*"boom" && ${lines[-1]} == "goes on" ]]
	# shellcheck disable=SC2154 # of bats
	[[ ${stderr_lines[0]} == "task 2 (bad): "*":3: boom" ]]
	[[ $stderr == *"stack traceback:"* ]]
}

@test "an error of the main function ends the process and closes what others have open" {
	run -1 thox-exec -e '
		os.task(function()
			local c <close> = setmetatable({}, {__close = function() print("closed") end})
			os.sleep(1e6)
		end)
		os.sleep(0)
		error("over", 0)'
	assert_output_has "closed" "over"
}

@test "terminate closes the variables of all tasks, whatever they do" {
	begin '
		local begun = {}
		local function closing(name)
			begun[name] = true
			return setmetatable({}, {__close = function() print("closed " .. name) end})
		end
		os.task(function() local c <close> = closing("reader") io.read() end)
		os.task(function() local c <close> = closing("sleeper") os.sleep(1e6) end)
		os.task(function()
			local c <close> = closing("spinner")
			table.sort({2, 1}, function() while true do pcall(error) end end)
		end)
		for _, name in ipairs{"reader", "sleeper", "spinner"} do
			repeat os.sleep(0.02) until begun[name]
		end
		local c <close> = closing("main")
		print("ready") io.stdout:flush()
		while true do end'
	wait_until says ready
	run -0 thoxctl terminate begun
	ended 143
	for who in reader sleeper spinner main; do says "closed $who"; done
}

@test "Ctrl-C tells where the task is that computes" {
	begin '
		os.task(function()
			print("ready") io.stdout:flush() while true do end
		end)
		os.sleep(1e6)'
	wait_until says ready
	kill -INT "$begun"
	ended 130
	grep -q "interrupted!" "$BATS_TEST_TMPDIR/err"
	grep -q "begun:3: in " "$BATS_TEST_TMPDIR/err"
}

@test "a task that waits for input or for room in a pipe stops nobody else" {
	begin '
		os.task(function() while true do end end)
		os.task(function() print("read " .. io.read()) os.exit(0) end)
		os.sleep(0.02)
		print("slept") io.stdout:flush()'
	wait_until says slept
	echo line >&7
	ended 0
	says "read line"
	cd "$BATS_TEST_TMPDIR"

	cat >"$BATS_TEST_TMPDIR/flood.lua" <<-'LUA'
		local line = ("x"):rep(99)
		for t = 1, 3 do
			os.task(function() for i = 1, 3000 do print(line) end end)
		end
		for i = 1, 20 do os.sleep(0.001) end
		io.stderr:write("counted")
	LUA
	# Nobody reads what it prints until it has said that.
	run -0 bash -c 'thox-exec ./flood.lua 2>said |
		(until [[ -s said ]]; do sleep 0.01; done; sort | uniq -c)'
	[[ $output == *" 9000 x"* && ${#lines[@]} == 1 && $(<said) == counted ]]
}

@test "a regular file and /dev/null are read and written beside other tasks" {
	seq 1000 >"$BATS_TEST_TMPDIR/numbers"
	run -0 bash -c 'thox-exec -e "
		os.task(function() while true do end end)
		local sum = 0 for l in io.lines() do sum = sum + l print(l) end
		io.stderr:write(sum) os.exit(0)" <"$0" 2>&1 >/dev/null' \
		"$BATS_TEST_TMPDIR/numbers"
	[[ $output == 500500 ]]
	run -0 bash -c 'thox-exec -e "os.task(os.sleep, 0) print(io.read())" </dev/null'
	[[ $output == nil ]]
}

@test "a loop in one of many tasks meets the CPU limit, and stacks the memory limit" {
	run -124 thox-exec --cpu 1s -e 'for i = 1, 5 do os.task(function() while true do end end) end'
	assert_output_has "CPU time limit of 1 s"
	run -137 thox-exec --memory 16M -e '
		local function nest(n)
			return (("x"):gsub("x", function() if n > 0 then return nest(n - 1) end end))
		end
		for i = 1, 200 do
			os.task(function() nest(150) os.sleep(1e6) end)
			os.sleep(0)
		end'
	assert_output_has "memory limit of 16 MiB"
}

@test "a thousand tasks run in one process, and the configured number is its limit" {
	run -0 thox-exec -e '
		local task, n, ids = require "task", 0, {}
		for i = 1, 1000 do
			ids[i] = os.task(function()
				task.atomic(function() n = n + 1 end)
				repeat os.sleep(0.05) until n == 1000
				return i
			end)
		end
		local sum = 0
		for i = 1, 1000 do sum = sum + select(2, task.wait(ids[i])) end
		print(sum)'
	[[ $output == 500500 ]]
	run -1 thox-exec -e 'for i = 1, 2000 do os.task(os.sleep, 1) end'
	assert_output_has "too many tasks (1024)"
}

# The hazards of this Lua, in a task while others run.

@test "a crash in a task is a crash of its process, and of no other" {
	begin 'print("ready") io.stdout:flush() io.read() print("unharmed")'
	wait_until says ready
	run ! thox-exec -e '
		os.task(function() while true do end end)
		os.task(function()
			x = {} x.a = x
			pcall(load("return x" .. (".a"):rep(1e5) .. ".b.c"))
			os.exit(9)
		end)
		os.sleep(1e6)'
	assert_output_has "crashed: SIGSEGV"
	echo >&7
	ended 0
	says unharmed
}

@test "nothing that swallows errors keeps a task alive that is killed" {
	run -0 thox-exec -e '
		local task = require "task"
		local bodies = {
			function() while true do pcall(function() while true do end end) end end,
			function() while true do xpcall(error, function() while true do end end) end end,
			function() local function f() pcall(f) return f() end f() end,
			function() while true do coroutine.wrap(function() while true do pcall(error) end end)() end end,
			function() while true do pcall(os.sleep, 1e6) end end,
			function() while true do pcall(io.read) end end,
		}
		for i, body in ipairs(bodies) do
			local id = os.task(body)
			os.sleep(0.015)
			task.kill(id)
			print(i, task.wait(id))
		end
		os.exit(0)' </dev/null
	[[ $(grep -c $'false\tkilled' <<<"$output") == 6 ]]
}
