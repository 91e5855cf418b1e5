# Mounts for the tests of the mount: thoxfs by hand, on a store of the test's
# own. Load it beside nothing else; setup and teardown are here.

: "${THOX_LIBEXEC_DIR:=${THOX_BUILD_DIR:-$PWD}/libexec}"
export THOX_LIBEXEC_DIR

setup() {
	need_fuse
	dir=$(mktemp -d "${TMPDIR:-/tmp}/thoxfs.XXXXXX")
	store=$dir/store
	mnt=$dir/mnt
	builtin=$dir/builtin
	mkdir -p "$mnt" "$builtin"/{programs,libraries,runtimes}
	if declare -F more_setup >/dev/null; then
		more_setup
	fi
}

# Also after a failure: nothing stays mounted, nothing keeps running.
teardown() {
	[[ -n ${dir:-} ]] || return 0
	if [[ -n ${keeper:-} ]]; then
		unmount || true
	fi
	if mountpoint -q "$mnt"; then
		umount -l "$mnt" || fusermount3 -uz "$mnt"
	fi
	# Of a build with the sanitizers.
	bad=$(grep -h -A12 "ERROR: \|runtime error" "$dir/log" 2>/dev/null || true)
	rm -rf "$dir"
	[[ -z $bad ]] || {
		echo "$bad"
		return 1
	}
}

need_fuse() {
	if [[ ! -w /dev/fuse ]] || [[ $(id -u) != 0 && ! -u $(command -v fusermount3) ]]; then
		skip "no right to mount here"
	fi
}

# Poll a condition with a deadline: wait_until COMMAND...
wait_until() {
	local deadline=$((SECONDS + 60))

	until "$@" >/dev/null 2>&1; do
		if ((SECONDS > deadline)); then
			echo "waited in vain for: $*" >&2
			return 1
		fi
		sleep 0.02
	done
}

# mount_store [OPTIONS]: as `-o OPTIONS`; relaxed unless the test says else.
mount_store() {
	"$THOX_LIBEXEC_DIR/thoxfs" --store "$store" --builtin "$builtin" \
		-o "${1:-relaxed}" "$mnt" >"$dir/log" 2>&1 3>&- &
	keeper=$!
	wait_until mountpoint -q "$mnt"
	wait_until worker_is_not "" # which comes after the mount
}

unmount() {
	[[ -n $keeper ]] || return 0
	kill -TERM "$keeper" 2>/dev/null || true
	wait "$keeper" 2>/dev/null
	keeper=
}

remount() {
	unmount
	mount_store "$@"
}

# The process that answers the kernel (its parent holds the mount).
worker() {
	tr -d " " <"/proc/$keeper/task/$keeper/children"
}

# Another one answers than $1.
worker_is_not() {
	local now

	now=$(worker)
	[[ -n $now && $now != "$1" ]]
}

kill_worker() {
	local old

	old=$(worker)
	kill -KILL "$old"
	wait_until worker_is_not "$old"
}

# Another process on the same store, without the mount.
thoxctl_store() {
	THOX_DIR=$dir THOX_NO_AUTOSTART=1 \
		"${THOX_BUILD_DIR:-$PWD}/bin/thoxctl" store "$@"
}

# How many versions a name of programs/ has: history is what xattrs say.
version() {
	getfattr --only-values -n user.thox.version "$mnt/${1}" 2>/dev/null
}

refused() {
	getfattr --only-values -n user.thox.error "$mnt/${1}" 2>/dev/null
}

content() {
	[[ $(cat "$mnt/$1") == "$2" ]] || {
		echo "$1 holds: $(cat "$mnt/$1")"
		return 1
	}
}

# A release, which frees what failed, is not waited for by close().
no_drafts() {
	[[ -z $(ls "$store/.drafts") ]]
}

# A process that has files open for writing, opened by perl: a shell would
# close duplicates. It writes when told to, and closes when told so.
start_writer() {
	mkfifo "$dir/in"
	perl -e '
		use IO::Handle;
		my %f; STDOUT->autoflush;
		while (<STDIN>) {
			chomp; my ($do, $name, $text) = split / /, $_, 3;
			if ($do eq "open") { open($f{$name}, $text || ">", $name) or die "$name: $!" }
			if ($do eq "write") { print {$f{$name}} "$text\n"; $f{$name}->flush }
			if ($do eq "close") { close($f{$name}) or die "$name: $!" }
			open(A, ">>", $ARGV[0]) or die; print A "$_\n"; close(A);
		}' "$dir/done" <"$dir/in" 3>&- &
	# shellcheck disable=SC2034 # for the tests
	# shellcheck disable=SC2034 # for the test to wait for
	writer=$!
	exec 7>"$dir/in"
}

# Tell it, and wait until it has done so.
writer_does() {
	echo "$*" >&7
	wait_until writer_did "$*"
}

writer_did() {
	[[ $(tail -n 1 "$dir/done") == "$1" ]]
}

lists() {
	[[ $(ls "$mnt/$1" | tr '\n' ' ') == "$2 " ]]
}
