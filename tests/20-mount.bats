#!/usr/bin/env bats
# What the mount shows: directories, names, versions, layers.

load mount

@test "the mount shows five directories and nothing else" {
	mount_store
	[[ $(ls -a "$mnt" | tr '\n' ' ') == ". .. data libraries programs runtimes services " ]]
	[[ $(stat -c %F:%h "$mnt/programs") == directory:2 ]]
	[[ $(stat -c %h "$mnt") == 7 ]]
}

@test "what is copied in is there, executable, with its size and time" {
	mount_store
	printf 'return 1\n' >"$dir/x"
	touch -d '2020-01-02 03:04:05 UTC' "$dir/x"
	cp -p "$dir/x" "$mnt/programs/hello"
	content programs/hello 'return 1'
	[[ $(stat -c '%a %s %h %Y %U' "$mnt/programs/hello") == "755 9 1 1577934245 $(id -un)" ]]
	cp "$dir/x" "$mnt/libraries/cc.expect"
	[[ $(stat -c %a "$mnt/libraries/cc.expect") == 644 ]]
}

@test "the backing is a plain file" {
	mount_store
	echo 'return 1' >"$mnt/programs/hello"
	[[ $(cat "$store/programs/hello") == 'return 1' ]]
}

@test "a name that is not there is tried with .lua added or taken away" {
	mount_store
	run cat "$mnt/programs/hello"
	[[ $status == 1 ]]
	echo 'return 1' >"$mnt/programs/hello.lua"
	content programs/hello 'return 1'
	echo 'return 2' >"$mnt/programs/other"
	content programs/other.lua 'return 2'
	rm "$mnt/programs/hello.lua"
	run cat "$mnt/programs/hello"
	[[ $status == 1 ]]
}

@test "a write to a name never changes the other spelling" {
	mount_store
	echo 'return 1' >"$mnt/programs/hello.lua"
	echo 'return 2' >"$mnt/programs/hello"
	content programs/hello.lua 'return 1'
	content programs/hello 'return 2'
	install "$dir/log" "$mnt/libraries/a.lua"
	install "$dir/log" "$mnt/libraries/a"
	[[ $(ls "$mnt/libraries") == $'a\na.lua' ]]
}

@test "rm does not remove the other spelling" {
	mount_store
	echo 'return 1' >"$mnt/programs/hello.lua"
	run rm "$mnt/programs/hello"
	[[ $status == 1 ]]
	content programs/hello.lua 'return 1'
}

@test "names that are not allowed are refused" {
	mount_store
	for name in 'a b' 'a#b' 'a:b' 'a@b' 'ä' '-' 'a\b'; do
		run cp /dev/null "$mnt/programs/$name"
		if [[ $name == - ]]; then
			[[ $status == 0 ]]
		else
			[[ $status == 1 && $output == *"Invalid argument"* ]]
		fi
	done
	name=$(printf 'n%.0s' {1..128})
	echo 'return 1' >"$mnt/programs/$name"
	content "programs/$name" 'return 1'
	run cp /dev/null "$mnt/programs/${name}n"
	[[ $status == 1 && $output == *"too long"* ]]
}

@test "NAME@3 reads like a file, is not listed, and cannot be written" {
	mount_store
	for i in 1 2 3 4; do
		echo "return $i" >"$mnt/programs/hello"
	done
	content programs/hello@3 'return 3'
	content programs/hello@1 'return 1'
	[[ $(stat -c %a "$mnt/programs/hello@3") == 555 ]]
	[[ $(ls "$mnt/programs") == hello ]]
	run cat "$mnt/programs/hello@9"
	[[ $status == 1 ]]
	run cp "$dir/log" "$mnt/programs/hello@3"
	[[ $status == 1 ]]
	run rm "$mnt/programs/hello@3"
	[[ $status == 1 ]]
}

@test "cp NAME@3 NAME rolls back" {
	mount_store
	for i in 1 2 3; do
		echo "return $i" >"$mnt/programs/hello"
	done
	cp "$mnt/programs/hello@1" "$mnt/programs/hello"
	content programs/hello 'return 1'
	[[ $(version programs/hello) == 4 ]]
}

@test "the last 16 versions are kept, or as many as were asked for" {
	mount_store relaxed,keep=3
	for i in {1..6}; do
		echo "return $i" >"$mnt/programs/hello"
	done
	content programs/hello@5 'return 5'
	remount relaxed,keep=3
	run cat "$mnt/programs/hello@1"
	[[ $status == 1 ]]
	content programs/hello@5 'return 5'
	content programs/hello 'return 6'
}

@test "a built-in shows where the store has nothing, and again after rm" {
	echo 'return "built in"' >"$builtin/programs/tool"
	mount_store
	content programs/tool 'return "built in"'
	[[ $(ls "$mnt/programs") == tool ]]
	echo 'return "own"' >"$mnt/programs/tool"
	content programs/tool 'return "own"'
	rm "$mnt/programs/tool"
	content programs/tool 'return "built in"'
	run rm "$mnt/programs/tool"
	[[ $status == 1 && $output == *"not permitted"* ]]
	[[ $(cat "$builtin/programs/tool") == 'return "built in"' ]]
}

@test "appending to a built-in makes an own text of both" {
	echo 'local x = 1' >"$builtin/programs/tool"
	mount_store
	echo 'return x' >>"$mnt/programs/tool"
	content programs/tool $'local x = 1\nreturn x'
	[[ $(cat "$builtin/programs/tool") == 'local x = 1' ]]
}

@test "symbolic links go to siblings only" {
	mount_store
	echo 'return 1' >"$mnt/runtimes/craftos"
	ln -s craftos "$mnt/runtimes/cc"
	[[ $(readlink "$mnt/runtimes/cc") == craftos ]]
	content runtimes/cc 'return 1'
	for target in ../programs/x /etc/passwd ./craftos; do
		run ln -s "$target" "$mnt/runtimes/bad"
		[[ $status == 1 && $output == *"not permitted"* ]]
	done
	ln -sfn craftos "$mnt/runtimes/cc"
	rm "$mnt/runtimes/cc"
	[[ $(ls "$mnt/runtimes") == craftos ]]
}

@test "a write through a symbolic link writes its target" {
	mount_store
	echo 'return 1' >"$mnt/runtimes/craftos"
	ln -s craftos "$mnt/runtimes/cc"
	echo 'return 2' >"$mnt/runtimes/cc"
	content runtimes/craftos 'return 2'
	[[ -L $mnt/runtimes/cc ]]
}

@test "directories, devices and hard links are not permitted" {
	mount_store
	echo 'return 1' >"$mnt/programs/a"
	for command in "mkdir $mnt/programs/d" "mkdir $mnt/d" \
		"mknod $mnt/programs/p p" "ln $mnt/programs/a $mnt/programs/b" \
		"rmdir $mnt/programs" "touch $mnt/file" \
		"mv $mnt/programs $mnt/other"; do
		run $command
		[[ $status == 1 && $output == *"not permitted"* ]] || {
			echo "$command: $status $output"
			false
		}
	done
}

@test "extended attributes tell version, hash and runtime" {
	mount_store
	echo 'return 1' >"$mnt/programs/a"
	echo '#!/usr/bin/env -S thox-exec -r cc' >"$mnt/programs/a"
	[[ $(version programs/a) == 2 ]]
	[[ $(getfattr --only-values -n user.thox.sha256 "$mnt/programs/a") == $(sha256sum <"$mnt/programs/a" | cut -d' ' -f1) ]]
	[[ $(getfattr --only-values -n user.thox.runtime "$mnt/programs/a") == cc ]]
	[[ $(version programs/a@1) == 1 ]]
	run getfattr -n user.thox.error "$mnt/programs/a"
	[[ $status == 1 ]]
	run setfattr -n user.thox.version -v 9 "$mnt/programs/a"
	[[ $status == 1 ]]
	[[ $(getfattr "$mnt/programs/a" 2>/dev/null | grep -c user.thox) == 3 ]]
}

@test "statfs tells the size of the disk, or of the quota" {
	mount_store
	[[ $(stat -f -c %b "$mnt") -gt 0 ]]
	remount relaxed,quota=1048576
	[[ $(($(stat -f -c %b "$mnt") * $(stat -f -c %S "$mnt"))) == 1048576 ]]
}

@test "find, grep and du walk the mount" {
	mount_store
	echo '-- TODO' >"$mnt/programs/a"
	echo 'return 1' >"$mnt/programs/b"
	[[ $(cd "$mnt" && find programs | sort | tr '\n' ' ') == "programs programs/a programs/b " ]]
	[[ $(grep -rl TODO "$mnt/programs") == "$mnt/programs/a" ]]
	du -s "$mnt"
}

@test "a large directory lists each name once, also while names go" {
	mount_store relaxed,noverify
	(cd "$mnt/programs" && seq -f 'name%g' 1 3000 | xargs -n 500 touch)
	[[ $(ls -U "$mnt/programs" | wc -l) == 3000 ]]
	[[ $(find "$mnt/programs" -name "*name*" | wc -l) == 3000 ]]
	rm -rf "$mnt"/programs 2>/dev/null || true
	[[ -z $(ls "$mnt/programs") ]]
}

@test "what another process publishes and removes shows soon" {
	mount_store
	echo 'return 1' >"$mnt/programs/a"
	content programs/a 'return 1'
	[[ $(ls "$mnt/programs") == a ]]
	run cat "$mnt/programs/b"
	[[ $status == 1 ]]
	echo 'return 2' | thoxctl_store put a -
	wait_until content programs/a 'return 2'
	echo 'return 3' | thoxctl_store put b.lua -
	wait_until content programs/b 'return 3'
	wait_until lists programs 'a b.lua'
	thoxctl_store rm b.lua
	wait_until test ! -e "$mnt/programs/b"
	wait_until lists programs a
}

@test "a store has one thoxfs" {
	mount_store
	mkdir "$dir/second"
	run "$THOX_LIBEXEC_DIR/thoxfs" --store "$store" -o noverify "$dir/second"
	[[ $status == 5 ]]
}
