# shellcheck shell=bash
# What contrib/quickstart and contrib/check share: saying what happens,
# installing Debian packages that are missing, generating configure.
#
# Sourced, with `set -euo pipefail` on. Sets `top`, the source tree.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() {
	printf '%s: %s\n' "${0##*/}" "$*"
}

die() {
	printf '%s: error: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# 75 -> 1:15
clock() {
	printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

# packages_of WHEN...: the packages that contrib/packages lists for these.
packages_of() {
	local when
	for when; do
		awk -v when="$when" '$1 == when { print $2 }' \
			"$top/contrib/packages"
	done | sort -u
}

# Prints those of the arguments that are not installed. A virtual package
# counts when a package that provides it is.
packages_missing() {
	local package
	for package; do
		dpkg-query -W -f '${db:Status-Abbrev}\n' "$package" 2>/dev/null |
			grep -q '^.i' || printf '%s\n' "$package"
	done
}

# as_root COMMAND...: as it is for root, through sudo otherwise.
as_root() {
	if [[ $(id -u) == 0 ]]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this needs root, and there is no sudo: run as root: $*"
	fi
}

# install_packages WHEN...: only what is missing; nothing missing, no root.
install_packages() {
	local wanted missing
	command -v dpkg-query >/dev/null ||
		die "this is not Debian (no dpkg): install what contrib/packages" \
			"lists by hand, then run ./configure && make"
	mapfile -t wanted < <(packages_of "$@")
	mapfile -t missing < <(packages_missing "${wanted[@]}")
	if [[ ${#missing[@]} == 0 ]]; then
		say "packages: all ${#wanted[@]} are installed"
		return
	fi
	say "packages: installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	as_root apt-get -q update ||
		die "apt-get update failed (see above): is there a network?"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		--no-install-recommends install "${missing[@]}" ||
		die "apt-get could not install: ${missing[*]}"
}

# Generate configure where it is missing or older than what it is made of.
generate() {
	local f
	for f in configure.ac Makefile.am; do
		if [[ ! -e $top/configure || ! -e $top/Makefile.in ||
			$top/$f -nt $top/configure ]]; then
			say "generating configure"
			(cd "$top" && autoreconf -fi) ||
				die "autoreconf failed"
			return
		fi
	done
}
