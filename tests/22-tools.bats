#!/usr/bin/env bats
# Editors and tools that write in their own ways; scratch files and streams.

load mount

@test "vim edits a program" {
	mount_store
	echo 'return 1' >"$mnt/programs/hello"
	vim -u NONE -es -c '%s/1/2/' -c 'wq' "$mnt/programs/hello" </dev/null
	content programs/hello 'return 2'
	[[ $(ls -A "$mnt/programs") == hello ]]
}

@test "vim with a swap file and a kept backup edits a program" {
	mount_store
	echo 'return 1' >"$mnt/programs/hello"
	for copy in yes no auto; do
		vim -u NONE -es -c "set swapfile backup backupskip= backupcopy=$copy" \
			-c "call setline(1, 'return \"$copy\"')" -c wq "$mnt/programs/hello" </dev/null
		content programs/hello "return \"$copy\""
	done
	[[ $(ls -A "$mnt/programs" | tr '\n' ' ') == "hello hello~ " ]]
}

@test "sed -i and perl -i edit a program, and leave nothing else" {
	mount_store
	echo 'return 1' >"$mnt/programs/hello"
	sed -i 's/1/2/' "$mnt/programs/hello"
	content programs/hello 'return 2'
	perl -pi -e 's/2/3/' "$mnt/programs/hello"
	content programs/hello 'return 3'
	[[ $(ls -A "$mnt/programs") == hello ]]
}

@test "rsync copies, finds nothing to do, and copies what changed" {
	mount_store
	mkdir "$dir/src"
	echo 'return 1' >"$dir/src/a"
	echo 'return 2' >"$dir/src/b"
	touch -d '2020-01-01' "$dir/src/a"
	rsync -rt "$dir/src/" "$mnt/programs/"
	content programs/a 'return 1'
	[[ $(stat -c %Y "$mnt/programs/a") == "$(stat -c %Y "$dir/src/a")" ]]
	[[ -z $(rsync -rti "$dir/src/" "$mnt/programs/" | grep '^>f') ]]
	echo 'return 11' >"$dir/src/a"
	[[ $(rsync -rti "$dir/src/" "$mnt/programs/" | grep -c '^>f') == 1 ]]
	content programs/a 'return 11'
	rsync -a --delete "$dir/src/" "$mnt/programs/"
	rsync -a --inplace "$dir/src/" "$mnt/programs/"
	[[ $(ls -A "$mnt/programs" | tr '\n' ' ') == "a b " ]]
}

@test "tar unpacks over what is there, and packs it" {
	mount_store
	mkdir "$dir/src"
	echo 'return 1' >"$dir/src/a"
	chmod 600 "$dir/src/a"
	tar -C "$dir/src" -cf "$dir/t.tar" a
	tar -C "$mnt/programs" -xpf "$dir/t.tar"
	tar -C "$mnt/programs" -xpf "$dir/t.tar"
	content programs/a 'return 1'
	[[ $(tar -C "$mnt" -cf - programs | tar -t | sort | tr '\n' ' ') == "programs/ programs/a " ]]
}

@test "cp -a, chmod, chown and touch do not fail" {
	mount_store
	echo 'return 1' >"$dir/a"
	cp -a "$dir/a" "$mnt/programs/a"
	cp -a "$mnt/programs/a" "$mnt/programs/b"
	chmod 600 "$mnt/programs/a"
	chown "$(id -u):$(id -g)" "$mnt/programs/a"
	touch "$mnt/programs/a" "$mnt/programs"
	[[ $(stat -c %a "$mnt/programs/a") == 755 ]]
	cmp "$dir/a" "$mnt/programs/b"
}

@test "git checks programs out" {
	mount_store
	git init -q "$dir/repo"
	cd "$dir/repo"
	git config user.email a@example.org
	git config user.name a
	echo 'return 1' >a
	git add a && git commit -qm 1
	echo 'return 2' >a
	git commit -qam 2
	git --work-tree="$mnt/programs" checkout -qf HEAD~1 -- a
	content programs/a 'return 1'
	git --work-tree="$mnt/programs" checkout -qf master -- a 2>/dev/null ||
		git --work-tree="$mnt/programs" checkout -qf main -- a
	content programs/a 'return 2'
}

@test "mv renames, moves between directories and replaces" {
	mount_store
	echo 'return 1' >"$mnt/programs/a"
	mv "$mnt/programs/a" "$mnt/programs/b"
	content programs/b 'return 1'
	[[ ! -e $mnt/programs/a ]]
	echo 'return 2' >"$mnt/programs/c"
	mv "$mnt/programs/c" "$mnt/programs/b"
	content programs/b 'return 2'
	[[ $(ls "$mnt/programs") == b ]]
	mv "$mnt/programs/b" "$mnt/libraries/"
	content libraries/b 'return 2'
	[[ -z $(ls "$mnt/programs") ]]
	echo 'return 3' >"$dir/x"
	mv "$dir/x" "$mnt/libraries/b"
	content libraries/b 'return 3'
	mv "$mnt/libraries/b" "$dir/x"
	[[ $(cat "$dir/x") == 'return 3' ]]
}

@test "a rename over a name checks the text" {
	mount_store
	echo 'return 1' >"$mnt/programs/a"
	echo 'return }' >"$mnt/programs/.tmp"
	run mv "$mnt/programs/.tmp" "$mnt/programs/a"
	[[ $status == 1 ]]
	content programs/a 'return 1'
	[[ $(cat "$mnt/programs/.tmp") == 'return }' ]]
	[[ $(refused programs/a) == "a:1: "* ]]
	echo 'return 2' >"$mnt/programs/.tmp"
	mv "$mnt/programs/.tmp" "$mnt/programs/a"
	content programs/a 'return 2'
	[[ $(ls -A "$mnt/programs") == a ]]
}

@test "a text that moves to a scratch name is withdrawn, and comes back" {
	mount_store
	echo 'return 1' >"$mnt/programs/a"
	mv "$mnt/programs/a" "$mnt/programs/a~"
	[[ $(ls -A "$mnt/programs") == a~ ]]
	[[ $(cat "$mnt/programs/a~") == 'return 1' ]]
	[[ ! -e $store/programs/a ]]
	mv "$mnt/programs/a~" "$mnt/programs/a"
	content programs/a 'return 1'
	[[ $(version programs/a) == 2 ]]
}

@test "a file that is renamed before it is closed is published so" {
	mount_store
	perl -e '
		use IO::Handle;
		open(F, ">", "$ARGV[0]/new") or die; print F "return 1\n"; F->flush; F->sync;
		rename("$ARGV[0]/new", "$ARGV[0]/a") or die "rename: $!";
		close(F) or die $!' "$mnt/programs"
	content programs/a 'return 1'
	[[ $(ls "$mnt/programs") == a ]]
}

@test "a file that is removed before it is closed is not published" {
	mount_store
	perl -e '
		open(F, ">", "$ARGV[0]/new") or die; print F "return 1\n";
		unlink("$ARGV[0]/new") or die "unlink: $!";
		close(F) or die $!' "$mnt/programs"
	[[ -z $(ls -A "$mnt/programs") ]]
}

@test "scratch files are files, unchecked and without versions" {
	mount_store
	for name in .x 'x~' 4913 '.#odd name'; do
		echo 'return }' >"$mnt/programs/$name"
		[[ $(cat "$mnt/programs/$name") == 'return }' ]]
		echo more >>"$mnt/programs/$name"
		[[ $(wc -l <"$mnt/programs/$name") == 2 ]]
		run version "programs/$name"
		[[ $status != 0 ]]
	done
	mv "$mnt/programs/.x" "$mnt/programs/.y"
	[[ $(ls -A "$mnt/programs" | wc -l) == 4 ]]
	[[ -z $(ls -A "$store/programs") ]]
	rm "$mnt"/programs/.[xy#]* "$mnt"/programs/x~ "$mnt"/programs/4913
	[[ -z $(ls -A "$mnt/programs") ]]
}

@test "scratch files of two directories are different files" {
	mount_store
	echo 1 >"$mnt/programs/.x"
	echo 2 >"$mnt/libraries/.x"
	content programs/.x 1
	content libraries/.x 2
	rm "$mnt/programs/.x"
	content libraries/.x 2
}

@test "data/ is written in place, unchecked and without versions" {
	mount_store
	echo one >"$mnt/data/a"
	ino=$(stat -c %i "$mnt/data/a")
	echo two >>"$mnt/data/a"
	content data/a $'one\ntwo'
	echo 1 | dd of="$mnt/data/a" bs=1 count=1 conv=notrunc status=none
	content data/a $'1ne\ntwo'
	exec 4<"$mnt/data/a"
	echo three >"$mnt/data/a"
	[[ $(cat <&4) == three ]]
	exec 4<&-
	[[ $(stat -c %i "$mnt/data/a") == "$ino" ]]
	run version data/a
	[[ $status != 0 ]]
	echo four >"$mnt/data/b"
	mv "$mnt/data/b" "$mnt/data/a"
	content data/a four
	[[ $(ls "$mnt/data") == a ]]
	rm "$mnt/data/a"
	[[ -z $(ls "$mnt/data") ]]
}

@test "a stream that its program has open is copied to another name, not moved" {
	mount_store
	echo one >"$mnt/data/a"
	mv "$mnt/data/a" "$mnt/data/b"
	echo two >"$mnt/data/b"
	# as thoxd opens it for a process: past the mount
	exec 5<>"$store/data/b"
	mv "$mnt/data/b" "$mnt/data/c"
	echo 3 >&5
	exec 5>&-
	[[ $(cat "$mnt/data/c") == two ]]
	[[ $(ls "$mnt/data") == c ]]
	mv "$mnt/data/c" "$mnt/data/d"
	[[ $(cat "$mnt/data/d") == two ]]
	rm "$mnt/data/d"
}

@test "data/ shows at once what somebody else wrote below" {
	mount_store
	echo one >"$mnt/data/a"
	content data/a one
	echo more >>"$store/data/a"
	content data/a $'one\nmore'
	ls "$mnt/data"
	echo x >"$store/data/b"
	[[ $(ls "$mnt/data" | tr '\n' ' ') == "a b " ]]
}

@test "a file that is removed while open goes on" {
	mount_store
	for name in data/a programs/.a; do
		echo one >"$mnt/$name"
		exec 4<>"$mnt/$name"
		rm "$mnt/$name"
		[[ $(cat <&4) == one ]]
		echo two >&4
		exec 4>&-
		[[ ! -e $mnt/$name ]]
	done
	echo 'return 1' >"$mnt/programs/a"
	exec 4<"$mnt/programs/a"
	rm "$mnt/programs/a"
	[[ $(cat <&4) == 'return 1' ]]
	exec 4<&-
}

@test "only the owner and root change anything" {
	[[ $(id -u) == 0 ]] || skip "needs another user"
	mount_store relaxed,allow_other
	chmod 755 "$dir"
	echo 'return 1' >"$mnt/programs/a"
	as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
	[[ $(as_nobody cat "$mnt/programs/a") == 'return 1' ]]
	for command in "cp $mnt/programs/a $mnt/programs/b" "rm -f $mnt/programs/a" \
		"truncate -s 0 $mnt/programs/a" "cp $mnt/programs/a $mnt/data/b" \
		"touch $mnt/programs/.x" "ln -s a $mnt/programs/l" \
		"mv $mnt/programs/a $mnt/programs/b" "cp $mnt/programs/a $mnt/programs/a~"; do
		run as_nobody $command
		[[ $status == 1 && $output == *"ermission denied"* ]] || {
			echo "$command: $status $output"
			false
		}
	done
	content programs/a 'return 1'
	[[ $(ls -A "$mnt/programs") == a ]]
}

@test "a read-only store can be read and not written" {
	mount_store
	echo 'return 1' >"$mnt/programs/a"
	remount ro
	content programs/a 'return 1'
	for command in "cp $mnt/programs/a $mnt/programs/b" "rm -f $mnt/programs/a" \
		"touch $mnt/programs/.x" "touch $mnt/data/x"; do
		run $command
		[[ $status == 1 && $output == *"Read-only file system"* ]]
	done
}
