#!/usr/bin/env bats
# thoxfs dies and another goes on with its mount.

load mount

more_setup() {
	[[ $(printf '%s\n6.9\n' "$(uname -r)" | sort -V | head -n 1) == 6.9 ]] ||
		skip "the kernel cannot send requests again (Linux 6.9)"
}

@test "the mount goes on after kill -9" {
	mount_store
	echo 'return 1' >"$mnt/programs/a"
	kill_worker
	content programs/a 'return 1'
	echo 'return 2' >"$mnt/programs/a"
	content programs/a 'return 2'
	content programs/a@1 'return 1'
	[[ $(ls "$mnt/programs") == a ]]
}

@test "open files stay open, old versions too" {
	mount_store relaxed,noverify
	head -c 300000 /dev/zero | tr '\0' a >"$mnt/programs/a"
	exec 4<"$mnt/programs/a"
	head -c 300000 /dev/zero | tr '\0' b >"$mnt/programs/a"
	exec 5<"$mnt/programs/a"
	kill_worker
	[[ $(cat <&4 | tr -d a | wc -c) == 0 ]]
	[[ $(cat <&5 | tr -d b | wc -c) == 0 ]]
	exec 4<&- 5<&-
}

@test "a draft goes on, and its close publishes" {
	mount_store
	a=$mnt/programs/a fresh=$mnt/programs/fresh same=$mnt/programs/./a
	echo 'return 1' >"$a"
	start_writer
	writer_does open "$a"
	writer_does write "$a" 'local x = 1'
	writer_does open "$fresh"
	writer_does open "$same" '>>'
	kill_worker
	content programs/a 'return 1'
	writer_does write "$a" 'return x'
	writer_does write "$fresh" 'return 5'
	writer_does close "$a"
	content programs/a $'local x = 1\nreturn x'
	writer_does close "$fresh"
	content programs/fresh 'return 5'
	# opened, never written: publishes nothing
	writer_does close "$same"
	[[ $(version programs/a) == 2 ]]
	kill_worker
	content programs/fresh 'return 5'
	exec 7>&-
	wait "$writer"
}

@test "an empty text that was only opened is not taken for one that was emptied" {
	mount_store relaxed,noverify
	: >"$mnt/programs/a"
	: >"$mnt/programs/b"
	exec 4<>"$mnt/programs/a" 5<>"$mnt/programs/b"
	# emptied through its descriptor: that is a truncation
	: >/proc/self/fd/5
	echo new >"$mnt/programs/a"
	echo new >"$mnt/programs/b"
	kill_worker
	exec 4>&- 5>&-
	wait_until no_drafts
	content programs/a new
	content programs/b ""
}

@test "a draft that a write failed to is not published by the next one either" {
	mount_store relaxed,noverify,limit=20
	echo old >"$mnt/programs/a"
	start_writer
	writer_does open "$mnt/programs/a"
	writer_does write "$mnt/programs/a" half
	writer_does write "$mnt/programs/a" "far too much for this limit"
	kill_worker
	echo close "$mnt/programs/a" >&7
	run wait "$writer"
	[[ $status != 0 ]]
	exec 7>&-
	content programs/a old
	wait_until no_drafts
}

@test "a draft that was published goes on after kill -9" {
	mount_store
	exec 4>"$mnt/programs/a"
	/bin/echo 'local x = 1' >&4
	content programs/a 'local x = 1'
	kill_worker
	/bin/echo 'return x' >&4
	content programs/a $'local x = 1\nreturn x'
	kill_worker
	exec 4>&-
	content programs/a $'local x = 1\nreturn x'
}

@test "scratch files and streams stay open" {
	mount_store
	exec 4<>"$mnt/programs/.x" 5<>"$mnt/data/s"
	echo one >&4
	echo one >&5
	kill_worker
	echo two >&4
	echo two >&5
	exec 4>&- 5>&-
	content programs/.x $'one\ntwo'
	content data/s $'one\ntwo'
}

@test "a copy that runs meanwhile succeeds, whole" {
	mount_store relaxed,noverify
	head -c 8000000 /dev/urandom >"$dir/big"
	for round in 1 2 3 4 5; do
		cp "$dir/big" "$mnt/programs/big$round" 3>&- &
		copy=$!
		kill_worker
		wait "$copy"
		cmp "$dir/big" "$mnt/programs/big$round"
	done
}

@test "requests that were under way are answered" {
	mount_store noverify
	for i in {1..8}; do
		(for j in {1..30}; do
			echo "$i $j" >"$mnt/programs/p$i" || exit 1
			[[ $(cat "$mnt/programs/p$i") == "$i $j" ]] || exit 2
			mv "$mnt/programs/p$i" "$mnt/programs/q$i" || exit 3
			rm "$mnt/programs/q$i" || exit 4
			echo x >"$mnt/data/d$i" && ln -s p1 "$mnt/programs/l$i" && rm "$mnt/programs/l$i" || exit 5
		done) 3>&- &
		pids[i]=$!
	done
	for round in 1 2 3 4; do
		kill_worker
	done
	for i in {1..8}; do
		wait "${pids[i]}"
	done
	[[ -z $(ls "$mnt/programs") ]]
}

@test "what was published while nobody answered shows afterwards" {
	mount_store
	echo 'return 1' >"$mnt/programs/a"
	echo 'return 1' >"$mnt/programs/gone"
	content programs/a 'return 1'
	content programs/gone 'return 1'
	run cat "$mnt/programs/b"
	[[ $status == 1 ]]
	old=$(worker)
	kill -STOP "$keeper"
	kill -KILL "$old"
	echo 'return 2' | thoxctl_store put a -
	echo 'return 2' | thoxctl_store put b -
	thoxctl_store rm gone
	kill -CONT "$keeper"
	wait_until worker_is_not "$old"
	wait_until content programs/a 'return 2'
	wait_until content programs/b 'return 2'
	wait_until test ! -e "$mnt/programs/gone"
	wait_until lists programs 'a b'
}

@test "a listing that is under way goes on" {
	mount_store relaxed,noverify
	(cd "$mnt/programs" && seq -f 'name%g' 1 2000 | xargs touch)
	perl -e '
		opendir(D, $ARGV[0]) or die; my %seen;
		for (1..100) { $seen{readdir(D)}++ }
		system("kill", "-KILL", $ARGV[1]);
		while (my $n = readdir(D)) { $seen{$n}++ }
		print scalar(keys %seen), " ", (grep { $_ > 1 } values %seen) + 0, "\n"' \
		"$mnt/programs" "$(worker)" >"$dir/out"
	[[ $(cat "$dir/out") == "2002 0" ]]
}

@test "a mount without a record says that a new one is needed" {
	mount_store
	wait_until test -e "$store/.session"
	rm "$store/.session"
	kill -KILL "$(worker)"
	code=0
	wait "$keeper" || code=$?
	keeper=
	[[ $code == 3 ]]
	! mountpoint -q "$mnt"
}

@test "thoxfs holds no privilege but its store" {
	mount_store
	echo x >"$mnt/data/x"
	status=/proc/$(worker)/status
	grep -qx $'NoNewPrivs:\t1' "$status"
	# The sanitizers' own calls are not in the table.
	if ! ldd "$THOX_LIBEXEC_DIR/thoxfs" | grep -q asan; then
		grep -qx $'Seccomp:\t2' "$status"
	fi
	[[ -z $(find "/proc/$(worker)/fd" -lname '/dev/*' ! -lname /dev/fuse ! -lname /dev/null) ]]
}
