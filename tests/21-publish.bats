#!/usr/bin/env bats
# When and how a write becomes a version.

load mount

@test "a shell's redirection publishes once" {
	mount_store
	printf 'return 1\n' >"$mnt/programs/a"
	content programs/a 'return 1'
	[[ $(version programs/a) == 1 ]]
	(echo 'local x = 1'; echo 'return x') >"$mnt/programs/a"
	content programs/a $'local x = 1\nreturn x'
	[[ $(version programs/a) == 2 ]]
}

@test "several programs that share a descriptor publish one version" {
	mount_store
	bash -c '(/bin/echo "local x = 1"; /bin/echo "local y = 2"; /bin/echo "return x") >'"$mnt/programs/a"
	content programs/a $'local x = 1\nlocal y = 2\nreturn x'
	[[ $(version programs/a) == 1 ]]
}

@test "truncation by a shell publishes the empty text" {
	mount_store
	echo 'return 1' >"$mnt/programs/a"
	: >"$mnt/programs/a"
	[[ $(stat -c %s "$mnt/programs/a") == 0 ]]
	[[ $(version programs/a) == 2 ]]
	: >"$mnt/programs/new"
	[[ -f $mnt/programs/new && ! -s $mnt/programs/new ]]
	[[ $(version programs/new) == 1 ]]
}

@test "touch makes an empty text, and sets the time of one that is there" {
	mount_store
	touch "$mnt/programs/a"
	[[ -n $(find "$mnt/programs" -name a) ]]
	echo 'return 1' >"$mnt/programs/a"
	touch -d '2021-01-01 UTC' "$mnt/programs/a"
	[[ $(stat -c %Y "$mnt/programs/a") == 1609459200 ]]
	content programs/a 'return 1'
	[[ $(version programs/a) == 2 ]]
}

@test "tee, dd, install, cp and cat >> publish" {
	mount_store
	echo 'return 1' | tee "$mnt/programs/tee" >/dev/null
	content programs/tee 'return 1'
	echo 'return 2' | dd of="$mnt/programs/dd" status=none
	content programs/dd 'return 2'
	echo 'return 3' >"$dir/x"
	install -m 700 "$dir/x" "$mnt/programs/install"
	install "$dir/x" "$mnt/programs/install"
	content programs/install 'return 3'
	cp "$dir/x" "$mnt/programs/"
	content programs/x 'return 3'
	echo 'local x = 1' >"$mnt/programs/append"
	echo 'return x' >"$dir/y"
	cat "$dir/y" >>"$mnt/programs/append"
	content programs/append $'local x = 1\nreturn x'
	[[ $(version programs/append) == 2 ]]
}

@test "an open for appending that writes nothing publishes nothing" {
	mount_store
	echo 'return 1' >"$mnt/programs/a"
	: >>"$mnt/programs/a"
	[[ $(version programs/a) == 1 ]]
	exec 4<>"$mnt/programs/a"
	exec 4>&-
	[[ $(version programs/a) == 1 ]]
}

@test "dd writes into the middle, and beyond the end" {
	mount_store relaxed,noverify
	printf 'aaaaaaaaaa' >"$mnt/programs/a"
	printf 'bb' | dd of="$mnt/programs/a" bs=1 seek=4 conv=notrunc status=none
	content programs/a aaaabbaaaa
	printf 'z' | dd of="$mnt/programs/a" bs=1 seek=100000 conv=notrunc status=none
	[[ $(stat -c %s "$mnt/programs/a") == 100001 ]]
	[[ $(head -c 10 "$mnt/programs/a") == aaaabbaaaa ]]
	[[ $(tail -c 1 "$mnt/programs/a") == z ]]
	cmp <(head -c 100000 "$mnt/programs/a" | tail -c +11) <(head -c 99990 /dev/zero)
}

@test "truncate(1) by path and by descriptor publishes" {
	mount_store relaxed,noverify
	printf 'abcdef' >"$mnt/programs/a"
	truncate -s 3 "$mnt/programs/a"
	content programs/a abc
	perl -e 'truncate($ARGV[0], 2) or die $!' "$mnt/programs/a"
	content programs/a ab
	perl -e 'open(F, "+<", $ARGV[0]) or die; truncate(F, 1) or die $!; close(F) or die $!' "$mnt/programs/a"
	content programs/a a
	[[ $(version programs/a) == 4 ]]
}

@test "a bad text is refused by cp, the old one stays, the text is kept" {
	mount_store
	echo 'return 1' >"$mnt/programs/hello"
	printf 'x = 1\ny = 2\nreturn }\n' >"$dir/bad"
	run cp "$dir/bad" "$mnt/programs/hello"
	[[ $status == 1 && $output == *"Invalid argument"* ]]
	content programs/hello 'return 1'
	[[ $(version programs/hello) == 1 ]]
	[[ $(refused programs/hello) == "hello:3: unexpected symbol near '}'" ]]
	cmp "$dir/bad" "$mnt/programs/hello@rejected"
	[[ $(refused programs/hello@rejected) == "hello:3: "* ]]
	[[ $(ls "$mnt/programs") == hello ]]
	echo 'return 2' >"$mnt/programs/hello"
	run refused programs/hello
	[[ -z $output ]]
}

@test "a bad text under a new name makes no name" {
	mount_store
	printf 'return }\n' >"$dir/bad"
	run cp "$dir/bad" "$mnt/programs/hello"
	[[ $status == 1 ]]
	[[ -z $(ls "$mnt/programs") ]]
	run cat "$mnt/programs/hello"
	[[ $status == 1 ]]
	cmp "$dir/bad" "$mnt/programs/hello@rejected"
}

@test "noverify accepts anything" {
	mount_store relaxed,noverify
	echo 'return }' >"$mnt/programs/hello"
	content programs/hello 'return }'
}

@test "bytecode and NUL bytes are refused" {
	mount_store
	printf '\033Lua' >"$dir/bytecode"
	run cp "$dir/bytecode" "$mnt/programs/a"
	[[ $status == 1 ]]
	printf 'return 1\0' >"$dir/nul"
	run cp "$dir/nul" "$mnt/programs/a"
	[[ $status == 1 ]]
	[[ -z $(ls "$mnt/programs") ]]
}

@test "a reader keeps the version that it opened" {
	mount_store relaxed,noverify
	head -c 300000 /dev/zero | tr '\0' a >"$dir/old"
	head -c 300000 /dev/zero | tr '\0' b >"$dir/new"
	cp "$dir/old" "$mnt/programs/a"
	exec 4<"$mnt/programs/a"
	head -c 1000 <&4 >"$dir/got"
	cp "$dir/new" "$mnt/programs/a"
	cat <&4 >>"$dir/got"
	exec 4<&-
	cmp "$mnt/programs/a" "$dir/new"
	[[ $(tr -d a <"$dir/got" | wc -c) == 0 ]]
}

@test "nobody sees a draft before it is published" {
	mount_store relaxed,noverify
	a=$mnt/programs/a fresh=$mnt/programs/fresh
	echo old >"$a"
	start_writer
	writer_does open "$a"
	writer_does write "$a" new
	writer_does open "$fresh"
	writer_does write "$fresh" x
	content programs/a old
	[[ $(stat -c %s "$a") == 4 ]]
	run cat "$fresh"
	[[ $status == 1 ]]
	[[ $(ls "$mnt/programs") == a ]]
	writer_does close "$a"
	writer_does close "$fresh"
	content programs/a new
	content programs/fresh x
	exec 7>&-
	wait "$writer"
}

@test "a process sees the new name that it is writing" {
	mount_store relaxed,noverify
	perl -e '
		use IO::Handle;
		open(A, ">", $ARGV[0]) or die; print A "new"; A->flush;
		-s $ARGV[0] == 3 or die "size: $!";
		close(A) or die;' "$mnt/programs/a"
}

@test "of two writers the last close wins, and both are whole" {
	mount_store relaxed,noverify
	for _ in new old; do
		perl -e '
			use IO::Handle;
			open(A, ">", $ARGV[0]) or die; open(B, ">", $ARGV[0]) or die "B: $!";
			for (1..3) { print A "first $_\n"; A->flush; print B "second $_\n"; B->flush }
			close(B) or die; close(A) or die;' "$mnt/programs/a"
		content programs/a $'first 1\nfirst 2\nfirst 3'
	done
	content programs/a@3 $'second 1\nsecond 2\nsecond 3'
}

@test "the own output can be opened again by /dev/stdout" {
	mount_store relaxed,noverify
	bash -c 'echo one; echo two >>/dev/stdout; echo three | tee -a /dev/fd/4 4>&1 >/dev/null' >"$mnt/programs/a"
	content programs/a $'one\ntwo\nthree'
}

@test "many writers of one name leave one whole text" {
	mount_store relaxed,noverify
	local writers=()
	for i in {1..8}; do
		(for _ in {1..20}; do
			head -c 20000 /dev/zero | tr '\0' "$i" >"$mnt/programs/a"
		done) 3>&- &
		writers+=($!)
	done
	wait "${writers[@]}"
	[[ $(stat -c %s "$mnt/programs/a") == 20000 ]]
	[[ $(fold -w1 "$mnt/programs/a" | sort -u | wc -l) == 1 ]]
	[[ $(version programs/a) == 160 ]]
}

@test "O_EXCL makes a name once" {
	mount_store relaxed,noverify
	set -o noclobber
	echo 1 >"$mnt/programs/a"
	run bash -c "set -o noclobber; echo 2 >'$mnt/programs/a'"
	[[ $status != 0 ]]
	set +o noclobber
	content programs/a 1
	perl -e '
		use Fcntl;
		sysopen(A, $ARGV[0], O_WRONLY|O_CREAT|O_EXCL) or die "first: $!";
		sysopen(B, $ARGV[0], O_WRONLY|O_CREAT|O_EXCL) and die "second";
		close(A) or die;' "$mnt/programs/b"
}

@test "fsync works, and a file written, synced and closed is published" {
	mount_store noverify
	perl -e '
		use IO::Handle;
		open(F, ">", $ARGV[0]) or die; print F "x"; F->flush; F->sync or die $!;
		close(F) or die $!' "$mnt/programs/a"
	content programs/a x
	echo data >"$mnt/data/stream"
	sync "$mnt/data/stream" "$mnt/programs/a"
}

@test "a file over the limit is refused and nothing of it stays" {
	mount_store relaxed,noverify,limit=1000000
	run dd if=/dev/zero of="$mnt/programs/a" bs=65536 count=20
	[[ $status == 1 && $output == *"File too large"* ]]
	[[ ! -e $mnt/programs/a ]]
	head -c 1000000 /dev/zero >"$mnt/programs/b"
	[[ $(stat -c %s "$mnt/programs/b") == 1000000 ]]
	run truncate -s 1000001 "$mnt/programs/b"
	[[ $status == 1 ]]
	[[ $(stat -c %s "$mnt/programs/b") == 1000000 ]]
	run bash -c "head -c 1000001 /dev/zero >'$mnt/programs/b'"
	[[ $status == 1 && $output == *"File too large"* ]]
	run bash -c "echo more >>'$mnt/programs/b'"
	[[ $status == 1 ]]
	[[ $(stat -c %s "$mnt/programs/b") == 1000000 ]]
	[[ $(getfattr --only-values -n user.thox.version "$mnt/programs/b") == 1 ]]
	wait_until no_drafts
}

@test "16 MiB fit by default, one byte more does not" {
	mount_store relaxed,noverify
	head -c 16777216 /dev/zero >"$mnt/programs/a"
	[[ $(stat -c %s "$mnt/programs/a") == 16777216 ]]
	run bash -c "head -c 16777217 /dev/zero >'$mnt/programs/b'"
	[[ $status == 1 && $output == *"File too large"* ]]
	[[ ! -e $mnt/programs/b ]]
}

@test "over the quota nothing new fits, and what was there stays" {
	mount_store relaxed,noverify,quota=400000
	head -c 100000 /dev/zero >"$mnt/programs/a"
	run bash -c "head -c 900000 /dev/zero >'$mnt/programs/b'"
	[[ $status == 1 ]]
	[[ ! -e $mnt/programs/b ]]
	run bash -c "head -c 900000 /dev/zero >'$mnt/programs/a'"
	[[ $status == 1 ]]
	[[ $(stat -c %s "$mnt/programs/a") == 100000 ]]
	wait_until no_drafts
	echo x >"$mnt/programs/c"
	content programs/c x
}

@test "on a full disk a text is not published by halves, and the old one stays" {
	[[ $(id -u) == 0 ]] || skip "mounting needs root"
	mkdir "$store"
	mount -t tmpfs -o size=2m,mode=700 thox-test "$store" ||
		skip "mounting is not allowed here"
	mount_store relaxed,noverify
	echo old >"$mnt/programs/a"
	head -c 1900000 /dev/zero >"$dir/big"
	run cp "$dir/big" "$mnt/programs/a"
	[[ $status == 1 && $output == *"No space left"* ]]
	content programs/a old
	run cp "$dir/big" "$mnt/programs/b"
	[[ $status == 1 && ! -e $mnt/programs/b ]]
	# Not a byte of this one fits.
	dd if=/dev/zero of="$store/filler" bs=4k 2>/dev/null || true
	run bash -c "echo new >'$mnt/programs/a'"
	[[ $status == 1 ]]
	content programs/a old
	rm "$store/filler"
	wait_until no_drafts
	# Who begins anew in the same open file is not held to what failed.
	perl -e 'open(F, ">", $ARGV[0]) or die; syswrite(F, "x" x 500000) or last
			for 1 .. 10; truncate(F, 0) or die; sysseek(F, 0, 0);
		syswrite(F, "new\n") or die; close(F) or die "close: $!"' "$mnt/programs/a"
	content programs/a new
	unmount
	wait_until umount --quiet "$store"
}

# A text that has bytes already, and is not published.
has_draft() {
	[[ -n $(find "$store/.drafts" -type f -size +0) ]]
}

@test "a writer that is killed publishes nothing" {
	mount_store relaxed,noverify
	echo old >"$mnt/programs/a"
	mkfifo "$dir/fifo"
	cat "$dir/fifo" >"$mnt/programs/a" 3>&- &
	writer=$!
	exec 4>"$dir/fifo"
	head -c 100000 /dev/zero >&4
	wait_until has_draft
	kill -KILL "$writer"
	wait "$writer" || true
	exec 4>&-
	content programs/a old
	[[ $(version programs/a) == 1 ]]
	wait_until test -e "$mnt/programs/a@rejected"
	[[ $(refused programs/a@rejected) == "writer was killed" ]]
}

@test "a writer that is killed before its first byte empties nothing" {
	mount_store relaxed,noverify
	echo old >"$mnt/programs/a"
	mkfifo "$dir/fifo"
	cat "$dir/fifo" >"$mnt/programs/a" 3>&- &
	writer=$!
	exec 4>"$dir/fifo" # when it has been opened for reading, too
	kill -KILL "$writer"
	wait "$writer" || true
	exec 4>&-
	run perl -e 'open(F, ">", $ARGV[0]) or die; kill "TERM", $$; sleep' "$mnt/programs/new"
	[[ $status == 143 ]]
	wait_until no_drafts
	content programs/a old
	[[ $(version programs/a) == 1 ]]
	[[ $(ls "$mnt/programs") == a ]]
	# and what is closed does
	: >"$mnt/programs/a"
	[[ $(stat -c %s "$mnt/programs/a") == 0 ]]
}

@test "a shared writable mapping is refused" {
	mount_store relaxed,noverify
	head -c 4096 /dev/zero >"$mnt/programs/a"
	python3 - "$mnt/programs/a" <<-'PY'
		import errno, mmap, os, sys
		fd = os.open(sys.argv[1], os.O_RDWR)
		try:
		    mmap.mmap(fd, 4096)
		except OSError as e:
		    sys.exit(e.errno != errno.ENODEV)
		sys.exit(1)
	PY
	python3 - "$mnt/programs/a" <<-'PY'
		import mmap, os, sys
		fd = os.open(sys.argv[1], os.O_RDONLY)
		m = mmap.mmap(fd, 4096, prot=mmap.PROT_READ)
		sys.exit(m[:] != b"\0" * 4096)
	PY
}

@test "the text survives an unmount, drafts and scratch files do not" {
	mount_store noverify
	echo x >"$mnt/programs/a"
	echo y >"$mnt/programs/.hidden"
	remount noverify
	content programs/a x
	[[ $(ls -A "$mnt/programs") == a ]]
	[[ -z $(find "$store" -path '*draft*' -type f) ]]
}

@test "an empty file is in the next listing after its close" {
	mount_store noverify
	for i in 1 2 3 4 5 6 7 8 9; do
		exec 5>"$mnt/programs/empty$i"
		ls "$mnt/programs" >"$dir/before" # which the kernel keeps
		exec 5>&-
		ls "$mnt/programs" | grep -qx "empty$i"
	done
}
