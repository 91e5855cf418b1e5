#!/usr/bin/env bats
# thoxctl backup and restore: the whole instance, byte for byte, or nothing.

load helper
load talk

setup() {
	start_thox '[thoxd]' 'mount = no' 'label = here'
	export mnt thox_sessions
	origin=$THOX_DIR
	mkdir "$BATS_TEST_TMPDIR/archives"
	archive=$BATS_TEST_TMPDIR/archives/backup.tar
}

teardown() {
	leave_other
	stop_thox
}

# An empty machine beside the first one, and back.
other() {
	origin_sessions=$thox_sessions
	thox_sessions=" "
	THOX_DIR=$(mktemp -d "${TMPDIR:-/tmp}/thox.XXXXXX")
	mnt=$THOX_DIR/mnt
}

leave_other() {
	origin_sessions=$thox_sessions
	thox_sessions=" "
	if [[ $THOX_DIR != "$origin" ]]; then
		stop_thox
		THOX_DIR=$origin
		thox_sessions=$origin_sessions
	fi
}

# Nothing of a restore that failed is left.
is_untouched() {
	local left

	left=$(find "$THOX_DIR" -mindepth 1 ! -path "$THOX_DIR/run*" ! -type d)
	[ -z "$left" ] || {
		echo "left: $left"
		return 1
	}
	[ ! -e "$THOX_DIR/store.restore" ]
}

# unpack ARCHIVE DIRECTORY; repack DIRECTORY ARCHIVE: with sums of what it has,
# so that everything but what a test changed is as it should be.
unpack() {
	mkdir -p "$2"
	tar xf "$1" -C "$2"
	tar tf "$1" | grep -v '^sums$' >"$2.names"
}

repack() {
	(
		cd "$1" || exit
		xargs sha256sum <"$1.names" >sums
		{
			cat "$1.names"
			echo sums
		} | tar --format=ustar --no-recursion -cf "$2" -T -
	)
}

# A store with a past: versions, a refused text, a removed name.
make_past() {
	local i

	for i in 1 2 3; do
		install_program hello "print($i)"
	done
	run thoxctl store put programs/hello - <<<'print('
	[ "$status" -ne 0 ]
	install_program gone 'print("gone")'
	thoxctl store rm gone
	install_program worker 'while true do os.pull() end'
	printf '[service]\nprogram = worker\nautostart = yes\n' |
		thoxctl store put services/worker -
	echo 'return 1' | thoxctl store put libraries/some.lib -
}

# All that thoxctl says of the store, the same for the same.
store_says() {
	local name

	for name in hello gone worker services/worker libraries/some.lib; do
		thoxctl --json store log "$name"
	done
	for name in hello@1 hello@2 hello@3 hello@rejected hello; do
		thoxctl store cat "$name"
	done
	thoxctl store ls --json
}

# Keys with their versions; of their expiry, whether there is one.
keys_say() {
	thoxctl --json kv list keeper | gojq -c 'map([.key, .version, .ttl != null])'
	thoxctl kv dump keeper | gojq -c '[.key, .value, .version]'
}

@test "an instance comes back byte for byte on an empty machine" {
	make_past
	service keeper <<-'LUA'
		local storage = require "storage"
		local keys = storage.keys()
		keys:transaction(function(t)
		  for i = 1, 500 do t:set("k" .. i, { i, tostring(i), i / 3 }) end
		end)
		keys:set("", "empty")
		keys:set("\0\xff", ("\xfe"):rep(100000))
		storage.stream():write(("bytes\0"):rep(500000))
	LUA
	thox-exec keeper
	thoxctl kv set keeper later 1 --ttl 1h
	: | thoxctl data put empty -
	# What a program of the same name left before.
	printf '[thoxd]\nmount = no\n[store]\nabsence = 0\n' >"$THOX_DIR/thoxd.conf"
	thoxctl kv set hello a before --sync
	echo before | thoxctl data put hello -
	thoxctl store rm hello
	echo 'print(3)' | thoxctl store put programs/hello -
	fails 4 "no key" thoxctl kv get hello a
	thoxctl disable worker
	thoxctl label there
	store_says >"$BATS_TEST_TMPDIR/store"
	keys_say >"$BATS_TEST_TMPDIR/keys"

	run thoxctl --json backup "$archive"
	[ "$status" -eq 0 ]
	[ "$(gojq -c '[.texts, .storages, .streams, .left_out]' <<<"$output")" = '[10,2,2,0]' ]
	[ "$(stat -c %a "$archive")" = 600 ]
	[ "$(tar tf "$archive" | head -n 1)" = manifest ]
	[ "$(tar tf "$archive" | tail -n 1)" = sums ]
	unpack "$archive" "$BATS_TEST_TMPDIR/x"
	(cd "$BATS_TEST_TMPDIR/x" && sha256sum --quiet -c sums)
	[ ! -e "$THOX_DIR/store/.backup" ]

	other
	run thoxctl --json restore "$archive"
	[ "$status" -eq 0 ]
	[ "$(gojq -c '[.texts, .storages, .streams]' <<<"$output")" = '[10,2,2]' ]
	[ ! -e "$THOX_DIR/store.restore" ]
	thoxctl store verify
	store_says | diff "$BATS_TEST_TMPDIR/store" -
	keys_say | diff "$BATS_TEST_TMPDIR/keys" -
	[ "$(thoxctl --json kv get keeper later | gojq '.ttl > 3000 and .ttl <= 3600')" = true ]
	diff -r "$origin/store/data" "$THOX_DIR/store/data"
	[ "$(thoxctl label)" = there ]
	fails 4 "no key" thoxctl kv get hello a
	[ "$(thoxctl --json storage ls | gojq -c '.[] | select(.orphan).program')" = $'"empty"\n"hello@1"' ]
	thoxctl storage adopt hello
	[ "$(thoxctl kv get hello a)" = before ]
	[ "$(thoxctl data cat hello)" = before ]
	thoxctl storage rm hello
	cmp "$origin/thoxd.conf" "$THOX_DIR/thoxd.conf"
	run thoxctl is-enabled worker
	[ "$output" = disabled ]
	[ "$(thox-exec hello 2>/dev/null)" = 3 ]
	# It is a store like any: what is next is the next version.
	thoxctl store rollback hello@2
	[ "$(thox-exec hello 2>/dev/null)" = 2 ]
	[ "$(thoxctl --json store log hello | gojq '.[-1].version')" = 5 ]
	thoxctl store verify
	# And one that was restored is backed up as the first one was.
	thoxctl backup "$archive.2"
	unpack "$archive.2" "$BATS_TEST_TMPDIR/y"
	cmp "$BATS_TEST_TMPDIR/x/store/data/keeper" "$BATS_TEST_TMPDIR/y/store/data/keeper"
	cmp "$BATS_TEST_TMPDIR/x/store/.rejected/"* "$BATS_TEST_TMPDIR/y/store/.rejected/"*
}

@test "through the mount: attributes, links and times are kept, scratch is not" {
	need_mount
	make_past
	thoxctl mount
	echo '#!/usr/bin/env -S thox-exec -r cc' >"$mnt/programs/old"
	touch -d '2020-01-02 03:04:05.123456789' "$mnt/programs/old"
	ln -s hello "$mnt/programs/link"
	echo note >"$mnt/data/notes"
	echo scratch >"$mnt/programs/.editing"
	attributes >"$BATS_TEST_TMPDIR/attributes"
	thoxctl backup - >"$archive"
	run tar tf "$archive"
	[[ $output != *editing* && $output == *store/data/notes* ]]
	thoxctl unmount

	other
	thoxctl restore - <"$archive"
	rm "$THOX_DIR/thoxd.conf"
	wait_until thoxctl status
	[ -e "$mnt/programs/old" ] || thoxctl mount
	attributes | diff "$BATS_TEST_TMPDIR/attributes" -
	[ "$(readlink "$mnt/programs/link")" = hello ]
	[ "$(thox-exec link 2>/dev/null)" = 3 ]
	[ "$(cat "$mnt/data/notes")" = note ]
	[ ! -e "$mnt/programs/.editing" ]
	[ "$(cat "$mnt/programs/hello@1")" = 'print(1)' ]
	cp "$mnt/programs/hello@1" "$mnt/programs/hello"
	[ "$(thox-exec hello)" = 1 ]
}

attributes() {
	(
		cd "$mnt" || exit
		getfattr -d programs/* services/* libraries/some.lib 2>/dev/null
		stat -c '%n %s %y %A' programs/hello programs/old services/worker
	)
}

@test "a backup while everything is written is of one moment each" {
	service writer <<-'LUA'
		local storage = require "storage"
		local keys = storage.keys()
		local n = 0
		while true do
		  n = n + 1
		  keys:transaction(function(t) t:set("a", n) t:set("b", n) end)
		  storage.set((tostring(n % 10)):rep(300000))
		  if n == 3 then ready() end
		end
	LUA
	spawn writer
	publish_all_the_time &
	local publisher=$! i
	for i in 1 2 3; do
		thoxctl backup "$archive.$i"
	done
	kill "$publisher"
	wait "$publisher" || true
	end_clients
	for i in 1 2 3; do
		other
		thoxctl restore "$archive.$i"
		thoxctl store verify
		[ "$(thoxctl kv get writer a)" = "$(thoxctl kv get writer b)" ]
		[ "$(stat -c %s "$THOX_DIR/store/data/writer")" = 300000 ]
		[ "$(tr -s 0-9 <"$THOX_DIR/store/data/writer")" = "$(head -c 1 "$THOX_DIR/store/data/writer")" ]
		leave_other
	done
}

publish_all_the_time() {
	local i=0

	while true; do
		i=$((i + 1))
		install_program busy "print($i)"
		install_program "busy$((i % 7))" "print($i)"
	done
}

@test "an instance that is not empty, or runs, is left alone" {
	make_past
	echo x | thoxctl data put notes -
	thoxctl backup "$archive"
	fails 5 "shutdown" thoxctl restore "$archive"
	thoxctl shutdown
	fails 5 "programs/" thoxctl restore "$archive"
	[ "$(thoxctl store cat hello)" = 'print(3)' ]

	other
	install_program alone 'print(1)'
	fails 5 "programs/alone" thoxctl restore "$archive"
	thoxctl store rm alone
	fails 5 "is not empty" thoxctl restore "$archive"
	[ "$(thoxctl --json store log alone | gojq length)" = 2 ]
	leave_other
	other
	echo y | thoxctl data put notes -
	fails 5 "data/notes" thoxctl restore "$archive"
	[ "$(thoxctl data cat notes)" = y ]
	leave_other
	# A machine that was named keeps its name, and nothing else comes.
	thoxctl label first
	thoxctl backup "$archive"
	other
	thoxctl label second
	thoxctl shutdown
	fails 5 "state/label" thoxctl restore "$archive"
	[ "$(cat "$THOX_DIR/state/label")" = second ]
	[ -z "$(ls "$THOX_DIR/store/programs")" ]
	# What an operator configured stays.
	rm "$THOX_DIR/state/label"
	echo '[store]' >"$THOX_DIR/thoxd.conf"
	run --separate-stderr thoxctl restore "$archive"
	[ "$status" -eq 0 ]
	[[ $stderr == *"thoxd.conf stays as it is"* ]]
	[ "$(cat "$THOX_DIR/thoxd.conf")" = '[store]' ]
	[ "$(thoxctl store cat hello)" = 'print(3)' ]
}

@test "an instance that was only started is empty" {
	install_program hello 'print(1)'
	thoxctl backup "$archive"
	other
	thoxctl status >/dev/null
	thox_processes >/dev/null
	thoxctl shutdown
	thoxctl restore "$archive"
	[ "$(thox-exec hello)" = 1 ]
}

@test "what is damaged or cut off restores nothing" {
	local size at

	make_past
	thoxctl kv set keeper a 1 --sync
	echo stream | thoxctl data put keeper -
	thoxctl backup "$archive"
	size=$(stat -c %s "$archive")
	other
	# Cut off here and there, at all places of a block in the end.
	for ((at = 0; at < size - 1024; at += 5003)); do
		head -c "$at" "$archive" >"$archive.cut"
		fails 1 "not an archive" thoxctl restore "$archive.cut"
	done
	head -c "$((size / 2 + 100))" "$archive" | fails 1 "not an archive" thoxctl restore -
	# One byte here and there, where it is no padding.
	for ((at = 7; at < size - 1024; at += 5003)); do
		cp "$archive" "$archive.bad"
		[[ $(dd if="$archive" bs=1 skip="$at" count=1 status=none | od -An -tx1) != ' 00' ]] || continue
		printf '\xa5' | dd of="$archive.bad" bs=1 seek="$at" conv=notrunc status=none
		fails 1 "not an archive" thoxctl restore "$archive.bad"
	done
	head -c 20000 /dev/urandom >"$archive.noise"
	fails 1 "not an archive" thoxctl restore "$archive.noise"
	fails 4 "missing" thoxctl restore "$archive.missing"
	is_untouched
	thoxctl restore "$archive"
	[ "$(thoxctl data cat keeper)" = stream ]
}

# refuses TEXT: the archive that is made of the changed directory.
refuses() {
	repack "$x" "$archive.bad"
	fails 1 "$1" thoxctl restore "$archive.bad"
	is_untouched
}

@test "what somebody made up restores nothing" {
	local x name

	make_past
	thoxctl kv set keeper a 1 --sync
	echo stream | thoxctl data put keeper -
	thoxctl backup "$archive"
	other
	x=$BATS_TEST_TMPDIR/x
	unpack "$archive" "$x"
	cp "$x.names" "$x.good"
	# Names that are none, or lead elsewhere.
	for name in store/data/.hidden 'store/data/a b' store/data/x/y \
		store/.versions/zz store/.versions/01 store/.versions/0 \
		store/.storage/keys/x store/.storage/keys/.db store/.storage/keys/x.stream \
		store/.storage/orphans/x.db store/.storage/orphans/x@0.db store/.storage/owners/.x store/.index \
		store/.storage/lock state/thoxd.log config/secrets elsewhere \
		store/programs/nobody store/.versions/ffffff store/.rejected/ffffff; do
		mkdir -p "$x/$(dirname "$name")"
		[ ! -d "$x/$name" ] || continue
		echo made up >"$x/$name"
		{
			cat "$x.good"
			echo "$name"
		} | tr '\n' '\0' | (cd "$x" && xargs -0 sha256sum) >"$x/sums"
		(cd "$x" && {
			cat "$x.good"
			printf '%s\n' "$name" sums
		} | tar --format=ustar --no-recursion -cf "$archive.bad" -T -)
		fails 1 "not an archive" thoxctl restore "$archive.bad"
		is_untouched
		rm "$x/$name"
	done
	for name in ../escaped /tmp/escaped store/data/../../../escaped; do
		echo made up >"$BATS_TEST_TMPDIR/escaped"
		(cd "$x" && tar --format=ustar --no-recursion -P \
			--transform "s,^escaped\$,$name," -cf "$archive.bad" \
			manifest -C "$BATS_TEST_TMPDIR" escaped)
		fails 1 "not an archive" thoxctl restore "$archive.bad"
		is_untouched
	done
	# A link, and a device.
	ln -s /etc/passwd "$x/store/data/link"
	echo store/data/link >>"$x.names"
	refuses "not an archive"
	rm "$x/store/data/link"
	cp "$x.good" "$x.names"
	# A text that its record does not know; a record without its text.
	cp "$x/store/programs/hello" "$BATS_TEST_TMPDIR/hello"
	echo 'print(4)' >"$x/store/programs/hello"
	refuses "not an archive"
	cp "$BATS_TEST_TMPDIR/hello" "$x/store/programs/hello"
	grep -v store/programs/hello "$x.good" >"$x.names"
	refuses "not an archive"
	cp "$x.good" "$x.names"
	: >"$x/records"
	refuses "not an archive"
	unpack "$archive" "$x"
	# Twice the same; no manifest; another one.
	sed p "$x.good" >"$x.names"
	refuses "not an archive"
	grep -v manifest "$x.good" >"$x.names"
	refuses "not an archive"
	cp "$x.good" "$x.names"
	gojq '.format = 2 | .thox = "9.1"' "$x/manifest" >"$x/other"
	mv "$x/other" "$x/manifest"
	refuses "thox 9.1 made it, which is newer"
	echo '{"format": 1}' >"$x/manifest"
	refuses "not an archive"
	# The sums of another one.
	unpack "$archive" "$x"
	repack "$x" "$archive.good"
	echo "$(sha256sum <"$x/manifest" | cut -d' ' -f1)  nothing" >>"$x/sums"
	(cd "$x" && {
		cat "$x.names"
		echo sums
	} | tar --format=ustar --no-recursion -cf "$archive.bad" -T -)
	fails 1 "not an archive" thoxctl restore "$archive.bad"
	is_untouched
	# And all this was about what was changed.
	thoxctl restore "$archive.good"
	[ "$(thoxctl store cat hello)" = 'print(3)' ]
}

@test "a backup names what is damaged and has all the rest" {
	make_past
	thoxctl kv set keeper a 1 --sync
	thoxctl kv set broken a 1 --sync
	thoxctl shutdown
	echo 'print(?)' >"$THOX_DIR/store/.versions/1"
	head -c 30000 /dev/urandom >"$THOX_DIR/store/.storage/keys/broken.db"
	rm -f "$THOX_DIR/store/.storage/keys/broken.db-"*
	fails 1 "programs/hello@1: damaged: left out" thoxctl backup "$archive"
	[[ $stderr == *"broken.db: "*"left out"* ]]
	other
	thoxctl restore "$archive"
	thoxctl store verify
	[ "$(thoxctl store cat hello)" = 'print(3)' ]
	[ "$(thoxctl store cat hello@2)" = 'print(2)' ]
	fails 4 "hello@1" thoxctl store cat hello@1
	[ "$(thoxctl kv get keeper a)" = 1 ]
}

@test "a backup that fails leaves the file that was there" {
	install_program hello 'print(1)'
	echo old >"$archive"
	chmod 644 "$archive"
	fails 4 "nowhere" thoxctl backup "$BATS_TEST_TMPDIR/nowhere/backup.tar"
	fails 1 "No space left" thoxctl backup /dev/full
	[ -c /dev/full ]
	# Limits of the file's size stop it in the middle.
	thoxctl data put hello - < <(head -c 3000000 /dev/urandom)
	run bash -c "ulimit -f 1000; trap '' XFSZ; thoxctl backup '$archive'"
	[ "$status" -eq 1 ]
	[[ $output == *"too large"* ]]
	[ "$(cat "$archive")" = old ]
	[ "$(ls "$BATS_TEST_TMPDIR/archives")" = backup.tar ]
	thoxctl backup "$archive"
	[ "$(stat -c %a "$archive")" = 600 ]
	tar tf "$archive" | grep -qx store/data/hello
}

@test "one backup at a time, and what a killed one left is no hindrance" {
	local blocked

	install_program hello 'print(1)'
	thoxctl data put hello - < <(head -c 3000000 /dev/urandom)
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	thoxctl backup "$BATS_TEST_TMPDIR/fifo" 3>&- &
	blocked=$!
	exec 9<"$BATS_TEST_TMPDIR/fifo"
	wait_until test -e "$THOX_DIR/store/.backup/stream"
	fails 5 "another backup" thoxctl backup "$archive"
	kill -KILL "$blocked"
	wait "$blocked" || true
	exec 9<&-
	[ -e "$THOX_DIR/store/.backup/stream" ]
	thoxctl backup "$archive"
	[ ! -e "$THOX_DIR/store/.backup" ]
	# The same for a restore: a pipe that ends in the middle, by a kill.
	other
	mkfifo "$BATS_TEST_TMPDIR/half"
	thoxctl restore "$BATS_TEST_TMPDIR/half" 3>&- &
	blocked=$!
	exec 9>"$BATS_TEST_TMPDIR/half"
	head -c 1000000 "$archive" >&9
	wait_until test -s "$THOX_DIR/store.restore/data/hello"
	fails 5 "shutdown" thoxctl restore "$archive"
	kill -KILL "$blocked"
	wait "$blocked" || true
	exec 9>&-
	[ -d "$THOX_DIR/store.restore" ]
	thoxctl restore "$archive"
	[ ! -e "$THOX_DIR/store.restore" ]
	cmp "$origin/store/data/hello" "$THOX_DIR/store/data/hello"
}
