#!/usr/bin/env bats
# What programs keep, as operators see it: thoxctl storage, kv, data, locks.

load helper
load talk

setup_file() {
	start_thox '[thoxd]' 'mount = no'
	export mnt thox_sessions
}

teardown_file() {
	stop_thox
}

setup() {
	install_program keeper 'print("never")'
}

teardown() {
	end_clients
	thoxctl storage rm keeper
}

@test "kv sets, gets and removes keys of every kind" {
	thoxctl kv set keeper text 'two words'
	thoxctl kv set keeper number 17
	thoxctl kv set keeper table '{"a": [1, 2.5, "x"]}'
	[ "$(thoxctl kv get keeper text)" = "two words" ]
	[ "$(thoxctl kv get keeper number)" = 17 ]
	[ "$(thoxctl kv get keeper table)" = '{"a":[1,2.5,"x"]}' ]
	run thoxctl --json kv get keeper number
	[ "$(gojq -c '[.key, .value, .ttl]' <<<"$output")" = '["number",17,null]' ]
	[ "$(thoxctl kv list keeper)" = $'number\ntable\ntext' ]
	[ "$(thoxctl kv list keeper t)" = $'table\ntext' ]
	[ "$(thoxctl --json kv list keeper te | gojq -c 'map(.key)')" = '["text"]' ]
	[ "$(thoxctl kv dump keeper te | gojq -c '[.key, .value]')" = '["text","two words"]' ]
	thoxctl kv del keeper text
	fails 4 "keeper has no key text" thoxctl kv del keeper text
	fails 4 "keeper has no key text" thoxctl kv get keeper text
}

@test "kv knows versions and expiry" {
	local version

	version=$(thoxctl --json kv set keeper a 1 --sync --if-version 0 | gojq .version)
	fails 5 "the version of a is $version" thoxctl kv set keeper a 2 --if-version 0
	thoxctl kv set keeper a 2 --if-version "$version" --ttl 1h
	fails 5 "the version of a is" thoxctl kv del keeper a --if-version "$version"
	[ "$(thoxctl --json kv get keeper a | gojq '.ttl > 3000 and .ttl <= 3600')" = true ]
	fails 2 "not a time" thoxctl kv set keeper a 2 --ttl soon
	fails 2 "not a version" thoxctl kv set keeper a 2 --if-version x
	fails 2 "no program can have that name" thoxctl kv get ../keeper a
}

@test "kv list and dump show keys that are no text, and many of them" {
	service keeper <<-'LUA'
		local keys = require("storage").keys()
		keys:set("\0\xff", "bytes")
		for part = 0, 1 do
		  keys:transaction(function(t)
		    for i = 1, 1000 do t:set(("many/%04d"):format(part * 1000 + i), i) end
		  end)
		end
	LUA
	thox-exec keeper
	[ "$(thoxctl kv list keeper many/ | wc -l)" -eq 2000 ]
	[ "$(thoxctl kv list keeper many/ | sort -u | wc -l)" -eq 2000 ]
	[ "$(thoxctl kv dump keeper | head -n 1 | gojq -c .key)" = '{"$bytes":"AP8="}' ]
	[ "$(thoxctl kv dump keeper | wc -l)" -eq 2001 ]
}

@test "kv watch prints what changes" {
	local out=$BATS_TEST_TMPDIR/out

	thoxctl kv watch keeper a >"$out" 2>"$out.err" 3>&- &
	local watch=$!
	wait_until has_line "$out.err" "Ctrl-C ends it"
	thoxctl kv set keeper other 1
	thoxctl kv set keeper apple red
	wait_until has_line "$out" "apple = red"
	thoxctl kv del keeper apple
	wait_until has_line "$out" "apple is gone"
	run ! has_line "$out" other
	kill -INT "$watch"
	wait "$watch" || kill "$watch"
	out+=.json
	thoxctl --json kv watch keeper >"$out" 2>"$out.err" 3>&- &
	watch=$!
	wait_until has_line "$out.err" "Ctrl-C ends it"
	thoxctl kv set keeper b 2
	wait_until has_line "$out" '"key":"b","value":2'
	kill -TERM "$watch"
	wait "$watch"
}

@test "data prints and replaces the stream, with or without thoxd" {
	fails 4 "keeper" thoxctl data cat keeper
	printf 'one\0two' | thoxctl data put keeper -
	[ "$(thoxctl data cat keeper | od -c)" = "$(printf 'one\0two' | od -c)" ]
	service keeper <<<'io.write(require("storage").get())'
	[ "$(thox-exec keeper | od -c)" = "$(printf 'one\0two' | od -c)" ]
}

@test "locks shows who holds and who waits" {
	service keeper <<-'LUA'
		local storage = require "storage"
		local lock = storage.lock("door", { timeout = 3600, shared = arg[1] == "shared" })
		ready()
		while true do os.pull() end
	LUA
	[ "$(thoxctl --json locks)" = "[]" ]
	spawn keeper
	local pid
	pid=$(running_pid keeper)
	start_client keeper shared
	wait_until two_claims
	run thoxctl --json locks keeper
	[ "$(gojq -c '.[0] | [.program, .name, .pid, .held, .shared]' <<<"$output")" = "[\"keeper\",\"door\",$pid,true,false]" ]
	[ "$(gojq -c '.[1] | [.held, .shared]' <<<"$output")" = "[false,true]" ]
	[ "$(thoxctl --json locks hello)" = "[]" ]
	run thoxctl locks
	assert_output_has PROGRAM door held waits
	# Nobody else may ask.
	run thox-exec --allow 'storage.stat' -e 'print(select(2, pcall(require("rpc").storage.admin.locks)))'
	assert_output_has DENIED
	fails 1 "in use" thoxctl storage rm keeper
}

two_claims() {
	[[ $(thoxctl --json locks | gojq length) == 2 ]]
}

@test "storage ls shows what there is, and orphans, which can be removed" {
	install_program gone 'local s = require("storage") s.keys():set("a", 1, {sync = true}) s.set("text")'
	thox-exec gone
	thoxctl kv set keeper a 1 --sync
	run thoxctl --json storage ls
	[ "$(gojq -c 'map([.program, .orphan])' <<<"$output")" = '[["gone",false],["keeper",false]]' ]
	[ "$(gojq -c '.[0] | [.stream_bytes, .keys_bytes > 0]' <<<"$output")" = '[4,true]' ]
	thoxctl store rm gone
	[ "$(thoxctl --json storage ls | gojq -c 'map([.program, .orphan])')" = '[["gone",true],["keeper",false]]' ]
	run thoxctl storage ls
	assert_output_has PROGRAM orphan
	run thoxctl --json storage stat gone
	[ "$(gojq -c '[.program, .keys, .stream_bytes]' <<<"$output")" = '["gone",1,4]' ]
	run thoxctl storage stat gone
	assert_output_has "number of keys" limit
	thoxctl storage compact gone
	thoxctl storage rm gone
	[ "$(thoxctl --json storage ls | gojq -c 'map(.program)')" = '["keeper"]' ]
	# Whoever comes by that name begins anew.
	install_program gone 'local s = require("storage") print(s.keys():get("a"), s.get())'
	run thox-exec gone
	[ "$output" = $'nil\tnil' ]
	thoxctl store rm gone
}

# The parts of an archive, to compare.
parts() {
	mkdir -p "$2"
	tar xf "$1" -C "$2"
}

@test "export and import: byte for byte what it was" {
	local dir=$BATS_TEST_TMPDIR

	service keeper <<-'LUA'
		local storage = require "storage"
		local keys = storage.keys()
		for part = 0, 2 do
		  keys:transaction(function(t)
		    for i = 1, 700 do t:set("k" .. part * 700 + i, { i, tostring(i), i / 3, i % 2 == 0 }) end
		  end)
		end
		keys:set("", "empty")
		keys:set("\0\xff", ("\xfe"):rep(1000000))
		storage.stream():write(("bytes\0"):rep(500000))
	LUA
	thox-exec keeper
	thoxctl kv set keeper later 1 --ttl 1h
	thoxctl storage export keeper "$dir/whole.tar"
	[ "$(tar tf "$dir/whole.tar")" = $'keeper/keys\nkeeper/stream' ]
	thoxctl kv del keeper later
	thoxctl storage export keeper "$dir/first.tar"
	parts "$dir/first.tar" "$dir/first"
	cmp "$dir/first/keeper/stream" "$THOX_DIR/store/data/keeper"

	# Back to where it was, whatever has become of it.
	thoxctl kv set keeper new 1
	echo other | thoxctl data put keeper -
	thoxctl storage import "$dir/first.tar"
	thoxctl storage export keeper - >"$dir/second.tar"
	parts "$dir/second.tar" "$dir/second"
	diff -r "$dir/first" "$dir/second"

	# Another's, from a pipe, with its expiry.
	thoxctl storage import - twin <"$dir/whole.tar"
	[ "$(thoxctl --json kv get twin later | gojq '.ttl > 3000 and .ttl <= 3600')" = true ]
	thoxctl kv del twin later
	thoxctl storage export twin "$dir/third.tar"
	parts "$dir/third.tar" "$dir/third"
	diff -r "$dir/first/keeper" "$dir/third/twin"
	thoxctl storage rm twin
	# An empty one is one, too.
	thoxctl storage export twin "$dir/none.tar"
	thoxctl storage import "$dir/none.tar" keeper
	[ -z "$(thoxctl kv list keeper)" ]
}

@test "what is no archive changes nothing" {
	local dir=$BATS_TEST_TMPDIR

	thoxctl kv set keeper kept 1
	echo stream | thoxctl data put keeper -
	thoxctl storage export keeper "$dir/good.tar"
	head -c 3000 /dev/urandom >"$dir/noise"
	fails 1 "not an archive" thoxctl storage import "$dir/noise"
	fails 1 "not an archive" thoxctl storage import - <<<""
	fails 4 "missing" thoxctl storage import "$dir/missing"
	# Keys that are none, in a good archive.
	mkdir -p "$dir/x/keeper"
	echo "no keys" >"$dir/x/keeper/keys"
	tar --format=ustar -C "$dir/x" -cf "$dir/bad.tar" keeper/keys
	fails 1 "not an archive" thoxctl storage import "$dir/bad.tar"
	ln -s /etc/passwd "$dir/x/keeper/link"
	tar --format=ustar -C "$dir/x" -cf "$dir/link.tar" keeper/link keeper/keys
	fails 1 "not an archive" thoxctl storage import "$dir/link.tar"
	# Cut off in the keys.
	head -c 520 "$dir/good.tar" >"$dir/cut.tar"
	fails 1 "not an archive" thoxctl storage import "$dir/cut.tar"
	[ "$(thoxctl kv get keeper kept)" = 1 ]
	[ "$(thoxctl data cat keeper)" = stream ]

	service keeper <<-'LUA'
		local lock = require("storage").lock("l")
		ready()
		while true do os.pull() end
	LUA
	spawn keeper
	fails 1 "in use" thoxctl storage import "$dir/good.tar"
}

@test "another program of a name that was removed keeps its own" {
	local past='local s = require("storage") s.keys():set("a", "old", {sync = true}) s.set("old")'
	local look='local s = require("storage") print(s.keys():get("a"), s.get())'

	install_program heir "$past"
	thox-exec heir
	# A text that follows another one is the same program, and a name that
	# is away for less than [store] absence says is, too.
	install_program heir "$look"
	[ "$(thox-exec heir)" = $'old\told' ]
	absent_for 1d
	thoxctl store rm heir
	install_program heir "$look"
	[ "$(thox-exec heir)" = $'old\told' ]
	[ "$(thoxctl --json storage ls | gojq -c 'map(select(.orphan)) | length')" = 0 ]

	absent_for 0
	thoxctl store rm heir
	[ "$(thoxctl --json storage ls | gojq -c '.[] | select(.orphan).program')" = '"heir"' ]
	install_program heir "$look"
	# It is an orphan before the new one was ever started, ...
	[ "$(thoxctl --json storage ls | gojq -c '.[] | select(.orphan).program')" = '"heir"' ]
	[ "$(thox-exec heir)" = $'nil\tnil' ]
	# ... and is called so when it was.
	[ "$(thoxctl --json storage ls | gojq -c '.[] | select(.orphan) | [.program, .stream_bytes]')" = '["heir@1",3]' ]
	run thoxctl storage ls
	assert_output_has "heir@1" orphan
	fails 4 "heir has no key a" thoxctl kv get heir a

	# It is told to have it, and cannot take it.
	install_program heir 'local _, own = os.wait(os.call(0, "storage.open", "heir"))
		print(os.wait(os.call(0, "storage.adopt", 0)))
		print(os.wait(os.call(own, "storage.adopt", 0)))'
	run thox-exec heir
	echo "$output"
	[ "$(grep -c 'no program makes itself an heir' <<<"$output")" -eq 2 ]
	install_program heir "$look"
	thoxctl storage adopt heir
	[ "$(thox-exec heir)" = $'old\told' ]
	[ "$(thoxctl --json storage ls | gojq -c 'map(select(.orphan)) | length')" = 0 ]
	fails 4 "nothing of \`heir\` was set aside" thoxctl storage adopt heir
	thoxctl storage rm heir
	thoxctl store rm heir
}

# absent_for TIME: the instance goes by it from now on.
absent_for() {
	printf '[thoxd]\nmount = no\n[store]\nabsence = %s\n' "$1" >"$THOX_DIR/thoxd.conf"
	thoxctl daemon-reexec
}

# What `next` keeps.
next_says() {
	thoxctl kv get next a
	thoxctl data cat next
}

@test "of several that had a name each one's is kept, and nothing is mixed" {
	local i

	absent_for 0
	for i in 1 2 3; do
		thoxctl store rm next 2>/dev/null || true
		install_program next "local s = require('storage') print(s.keys():get('a'), s.get()) s.keys():set('a', $i, {sync = true}) s.set('$i')"
		[ "$(thox-exec next)" = $'nil\tnil' ]
	done
	[ "$(next_says)" = $'3\n3' ]
	fails 1 "keeps something itself" thoxctl storage adopt next@1
	[ "$(next_says)" = $'3\n3' ]
	thoxctl storage rm next
	thoxctl storage adopt next@1
	[ "$(next_says)" = $'1\n1' ]
	thoxctl storage rm next
	thoxctl storage adopt next
	[ "$(next_says)" = $'2\n2' ]
	fails 4 "next@7" thoxctl storage rm next@7
	thoxctl store rm next
	thoxctl storage rm next
	[ "$(thoxctl --json storage ls | gojq -c 'map(select(.orphan))')" = "[]" ]
}

@test "one that still runs holds what it has, and a stream put for the new one stays" {
	absent_for 0
	service third <<-'LUA'
		local keys = require("storage").keys()
		keys:set("a", "first", { sync = true })
		ready()
		while true do os.pull() end
	LUA
	spawn third
	echo first | thoxctl data put third -
	thoxctl store rm third
	install_program third 'print(pcall(require("storage").keys().get, require("storage").keys(), "a"))'
	run thox-exec third
	assert_output_has "in use by another program of that name"
	echo mine | thoxctl data put third -
	end_clients
	install_program third 'local s = require("storage") print(s.keys():get("a"), s.get())'
	run thox-exec third
	[ "$output" = $'nil\tmine' ]
	[ "$(thoxctl --json storage ls | gojq -c '.[] | select(.orphan).program')" = '"third@1"' ]
	thoxctl storage rm third@1
	thoxctl storage rm third
	thoxctl store rm third
}
