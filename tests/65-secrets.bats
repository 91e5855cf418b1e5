#!/usr/bin/env bats
# Secrets of services, and limits of what waits in them.

load helper
load services

setup() {
	start_thox
	cd "$THOX_DIR" || return 1
	mkdir -m 700 secrets secrets/shop
	printf 'xyzzy\0secret\n' >secrets/shop/key
	chmod 600 secrets/shop/key
	install_program shop <<-'LUA'
		print(("%q"):format(os.secret("payment")), os.secret("other"), os.getenv("payment"))
		while true do os.sleep(60) end
	LUA
}

teardown() {
	cd /
	stop_thox
}

@test "a secret reaches its program, byte for byte" {
	define shop 'program = shop' 'secret.payment = shop/key'
	thoxctl start shop
	wait_until logged shop '"xyzzy\0secret\'
	run thoxctl logs shop
	assert_output_has "nil	nil"
}

@test "no status, JSON or log of thoxd has it, and no other program" {
	install_program shop 'assert(#os.secret("payment") == 13) while true do os.sleep(60) end'
	define shop 'program = shop' 'secret.payment = shop/key'
	thoxctl start shop
	for command in "status shop" "show shop" "--json status shop" "--json ps" "cat shop" "tree"; do
		# shellcheck disable=SC2086 # words
		run thoxctl $command
		[[ $output != *xyzzy* ]]
	done
	run grep "xyzzy" state/thoxd.log
	assert_status 1
	run thox-exec -e 'print(os.secret("payment"))'
	[ "$output" = nil ]
	run grep -c secret "/proc/$(pid_of_service shop)/environ"
	[ "$output" = 0 ]
}

@test "a file that others may read is no secret" {
	define shop 'program = shop' 'secret.payment = shop/key' '[restart]' 'policy = never'
	chmod 640 secrets/shop/key
	run thoxctl start shop
	assert_status 1
	assert_output_has "secrets/shop/key: others may read or write it; its mode must be 0600"
	chmod 600 secrets/shop/key
	thoxctl start shop
}

@test "what is no plain file below the directory is none either" {
	define shop 'program = shop' 'secret.payment = shop/key' '[restart]' 'policy = never'
	rm secrets/shop/key
	run thoxctl start shop
	assert_output_has "secrets/shop/key: No such file"
	mkfifo -m 600 secrets/shop/key
	run thoxctl start shop
	assert_output_has "it is no file"
	rm secrets/shop/key
	(umask 077 && echo outside >outside)
	ln -s ../../outside secrets/shop/key
	run thoxctl start shop
	assert_status 1
	assert_output_has "secrets/shop/key: "
	rm secrets/shop/key
	(umask 077 && head -c 65537 /dev/zero >secrets/shop/key)
	run thoxctl start shop
	assert_output_has "larger than 64 KiB"
	rm -r secrets
	run thoxctl start shop
	assert_output_has "No such file"
}

@test "messages bounds the calls that wait in a process, and none is lost" {
	install_program slow <<-'LUA'
		os.bind("slow")
		local most, calls = 0, {}
		while true do
			local e = os.pull("call")
			if e.name == "slow.most" then
				os.answer(e.cid, 0, most)
			else
				calls[#calls + 1] = e.cid
				most = math.max(most, #calls)
				if #calls == 2 then
					for i = 1, 2 do os.answer(calls[i], 0) end
					calls = {}
				end
			end
		end
	LUA
	define slow 'program = slow' 'ready = bind' '[limits]' 'messages = 2'
	thoxctl start slow
	run thox-exec -e 'local cids = {}
		for i = 1, 40 do cids[i] = os.call(0, "slow.call") end
		for i = 1, 40 do assert(os.wait(cids[i]) == 0) end print("all")'
	assert_status 0
	[ "$output" = all ]
	[ "$(thoxctl call slow.most)" = 2 ]
}
