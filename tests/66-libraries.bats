#!/usr/bin/env bats
# The libraries in Lua: rpc, daemon, net, log.

load helper
load talk

setup_file() {
	start_thox '[thoxd]' 'mount = no' 'label = here'
	export mnt thox_sessions
}

teardown_file() {
	stop_thox
}

teardown() {
	end_clients
}

@test "a function that daemon serves is called by rpc as if it were there" {
	service greeter <<-'LUA'
		local daemon = require "daemon"
		function daemon.rpc.greeter.greet(request, who)
		  return "hello " .. who, request.pid
		end
		function daemon.rpc.greeter.fail() error("on purpose") end
		function daemon.rpc.greeter.throw() error({}) end
		function daemon.rpc.greeter.stop() daemon.stop() end
		ready()
	LUA
	spawn greeter
	passes <<-'LUA'
		local rpc = require "rpc"
		local text, pid = rpc.greeter.greet("you")
		is(text, "hello you")
		is(pid, os.pid())
		local ok, err = pcall(rpc.greeter.fail)
		is(err.status, status.ERROR)
		check(tostring(err):find("^greeter.fail: ERROR: .*on purpose"), tostring(err))
		ok, err = pcall(rpc.greeter.throw)
		is(tostring(err), "greeter.throw: ERROR: (error object is a table value)")
		ok, err = pcall(rpc.greeter.nothing)
		is(err.status, status.NOT_FOUND)
		ok, err = pcall(rpc.nobody.there)
		is(err.status, status.NOT_FOUND)
		ok, err = pcall(function() return rpc["a b"] end)
		check(err:find("a part of a name"), err)
		rpc.greeter.stop()
	LUA
	ended_with 0
	run thoxctl --json bus
	[ "$output" = "[]" ]
}

@test "a function that is assigned after the first one is there from the first call on" {
	service slow <<-'LUA'
		local daemon = require "daemon"
		local called, n = false, 0
		function daemon.rpc.slow.first() called = true end
		repeat n = n + 1 until called
		for i = 1, 1000000 do n = n + i end -- the next call comes
		function daemon.rpc.slow.second() return 2 end
		function daemon.rpc.slow.below.third() return 3 end
		os.sleep(60)
	LUA
	start_client slow
	passes <<-'LUA'
		repeat local s = call("slow.first") until s == status.OK
		local s, answer = call("slow.second")
		is(s, status.OK)
		is(answer, 2)
		s, answer = call("slow.below.third.and.more")
		is(s, status.OK)
		is(answer, 3)
		is(call("slow.fourth"), status.NOT_FOUND)
	LUA
}

@test "a deadline of rpc is the callee's, too" {
	service slow <<-'LUA'
		local daemon = require "daemon"
		local taken = false
		function daemon.rpc.slow.taken() return taken end
		function daemon.rpc.slow.down(request)
		  taken = true
		  print("left", request.deadline < 1) io.stdout:flush()
		  os.sleep(60)
		end
		ready()
	LUA
	spawn slow
	passes <<-'LUA'
		local rpc = require "rpc"
		repeat -- one that nobody has taken in time is not heard of
		  local ok, err = pcall(rpc.with{timeout = 0.2}.slow.down)
		  is(err.status, status.TIMEOUT)
		until rpc.slow.taken()
	LUA
	wait_until has_line "$out" "left	true"
}

@test "an object is a context with functions, and is told of its end" {
	service maker <<-'LUA'
		local daemon = require "daemon"
		function daemon.rpc.maker.counter(_, from)
		  return daemon.object{
		    next = function() from = from + 1 return from end,
		    close = function() print("closed") io.stdout:flush() end,
		  }
		end
		ready()
	LUA
	spawn maker
	passes <<-'LUA'
		local rpc = require "rpc"
		local counter <close> = rpc.maker.counter(5)
		local other <close> = rpc.maker.counter(100)
		is(rpc.on(counter).next(), 6)
		is(rpc.on(other).next(), 101)
		is(rpc.on(counter).next(), 7)
	LUA
	wait_until has_line "$out" closed
}

@test "net serves, calls, sends and listens" {
	service station <<-'LUA'
		local net = require("net")()
		net.serve("station", function(payload, request)
		  if payload == "stop" then net.stop() return "bye" end
		  return {payload, request.name}
		end)
		net.listen("news", function(payload) print("heard " .. payload) io.stdout:flush() end)
		ready()
	LUA
	spawn station
	passes <<-'LUA'
		local net = require "net"
		local patient = {timeout = 60}
		local ok, result = net.call("station", 5, patient)
		check(ok)
		is(result[1], 5)
		is(result[2], "station")
		local message, code
		ok, message, code = net.call("nobody", 1, {timeout = 5})
		is(ok, false)
		is(code, status.NOT_FOUND)
		ok, message, code = net.call("station", 1, {to = "elsewhere"})
		is(message, "no link to elsewhere")
		is(code, status.NOT_FOUND)
		check(net.call("station", 1, {to = "here", timeout = 60}))
		is(net.send("news", "rain"), true)
	LUA
	wait_until has_line "$out" "heard rain"
	passes <<-'LUA'
		local ok, result = require("net").call("station", "stop", {timeout = 60})
		is(result, "bye")
	LUA
	ended_with 0
}

@test "a call of net waits half a second, unless it says more" {
	service sleepy <<-'LUA'
		require("net").serve("sleepy", function() os.sleep(3600) end)
		ready()
	LUA
	spawn sleepy
	passes <<-'LUA'
		local ok, _, code = require("net").call("sleepy")
		is(ok, false)
		is(code, status.TIMEOUT)
	LUA
}

@test "log names the level, each line of its own" {
	run thox-exec -e 'local log = require "log" log.error("%s is not there", "it") log.info("a\nb")'
	[ "$output" = $'error: it is not there\ninfo: a\ninfo: b' ]
	run -1 thox-exec -e 'require("log").info("%d", "x")'
	[[ ${lines[0]} == "-e:1: bad argument"*"number expected"* ]]
}

@test "misuse of net is told of the program's line" {
	run -1 thox-exec -e 'require("net").call(5)'
	[ "${lines[0]}" = "-e:1: a name is wanted, not a number" ]
	run -1 thox-exec -e 'require("net").send("a..b")'
	[ "${lines[0]}" = '-e:1: no name: "a..b"' ]
	run -1 thox-exec -e 'require("net").serve("a", 5)'
	[ "${lines[0]}" = "-e:1: a handler is a function, not a number" ]
	run -1 thox-exec -e 'require("net").serve("clock", print)'
	assert_output_has "DENIED: clock is one of thox's own names"
}
