# shellcheck shell=bash
# For tests of services.

# define NAME LINE...: a service; [service] is there already.
define() {
	local name=$1

	shift
	printf '%s\n' '[service]' "$@" | thoxctl store put "services/$name" - >/dev/null
}

# field NAME KEY: of thoxctl show.
field() {
	thoxctl --json show "$1" | gojq -r ".[0].$2"
}

state_is() {
	[[ $(field "$1" state) == "$2" ]]
}

# of its first instance
pid_of_service() {
	field "$1" 'pid // 0'
}

# ends_with_reason NAME TEXT: so its first instance is as it is.
ends_with_reason() {
	[[ $(field "$1" 'instances[0].why') == *"$2"* ]]
}

# is_taken_back NAME PROGRAM: the store says that a version failed there.
is_taken_back() {
	thoxctl store log "$2" | grep -qF "rejected: service $1 did not go over to it"
}

logged() {
	thoxctl logs "$1" | grep -qF -- "$2"
}

# logged_times NAME TEXT N: it has said so in N lines. What it printed may come
# into its log after its end is known.
logged_times() {
	[[ $(thoxctl logs "$1" | grep -cF -- "$2") -eq $3 ]]
}

# cpu_of NAME: what its process has used, in microseconds.
cpu_of() {
	field "$1" 'instances[0].process.cpu_us'
}

is_held() {
	[[ $(field "$1" 'instances[0].process.state') == paused ]]
}
