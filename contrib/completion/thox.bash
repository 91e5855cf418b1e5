# bash completion for thox-exec and thoxctl; thoxctl's commands are those of
# `thoxctl --help`.

# Names of a directory of the store, both layers; quiet when there is none.
_thox_names() {
	local mode=() word

	for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
		[[ $word != --system ]] || mode=(--system)
	done
	thoxctl "${mode[@]}" --json store ls "$1" 2>/dev/null |
		command grep -o '{"name": *"[^"]*"' | command cut -d '"' -f 4
}

_thox_processes() {
	THOX_NO_AUTOSTART=1 thoxctl --json ps 2>/dev/null |
		command grep -oE '"(pid|name)": *("[^"]*"|[0-9]+)' |
		command sed -E 's/^"[a-z]+": *"?([^"]*)"?$/\1/'
}

# Names that are bound on the bus.
_thox_bus() {
	THOX_NO_AUTOSTART=1 thoxctl --json bus 2>/dev/null |
		command grep -o '"name": *"[^"]*"' | command cut -d '"' -f 4
}

# Files with a slash are files; anything else is a name of the store.
_thox_exec() {
	local cur prev word i skip=

	_get_comp_words_by_ref -n '@#:=' cur prev 2>/dev/null || {
		cur=${COMP_WORDS[COMP_CWORD]}
		prev=${COMP_WORDS[COMP_CWORD - 1]}
	}
	COMPREPLY=()
	case $prev in
	-r | --runtime)
		mapfile -t COMPREPLY < <(compgen -W "native $(_thox_names runtimes)" -- "$cur")
		return
		;;
	--env)
		mapfile -t COMPREPLY < <(compgen -v -- "$cur")
		return
		;;
	-e | --memory | --cpu | --timeout | --name)
		return
		;;
	--allow | --deny)
		compopt -o nospace 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -W "call= bind= run= store=" -- "$cur")
		return
		;;
	esac
	# After the program its own arguments come: files.
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ -n $skip ]]; then
			skip=
		elif [[ $word == -[re] || $word =~ ^--(runtime|memory|cpu|timeout|env|allow|deny|name)$ ]]; then
			skip=1
		elif [[ $word != -* || $word == - ]]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
		fi
	done
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "-r --runtime -e -i \
			--interactive -d --background --name --memory --cpu \
			--timeout --env --allow --deny --no-calls --json \
			--user --system --help --version" -- "$cur")
	elif [[ $cur == */* || $cur == ~* ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -W "$(_thox_names programs)" -- "$cur")
	fi
}

# Commands whose operands are services.
_thoxctl_for_services=" start stop restart try-restart reload reset enable \
disable list top tree show is-active is-enabled is-failed cat edit rollback "

# Options of a command's own.
_thoxctl_options() {
	case $1 in
	call) echo --timeout ;;
	listen) echo --count ;;
	tree) echo --services ;;
	top) echo --delay --sort --reverse --batch --count ;;
	start | restart) echo --timeout --no-wait --wait --dry-run ;;
	stop | try-restart) echo --timeout --no-wait --dry-run ;;
	reload | reset) echo --timeout --no-wait ;;
	enable | disable) echo --now ;;
	kv) echo --ttl --if-version --sync ;;
	logs) echo --follow --lines --since --until --grep --priority --output --unit ;;
	esac
}

_thoxctl() {
	local cur word words=()

	cur=${COMP_WORDS[COMP_CWORD]}
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		[[ $word == -* ]] || words+=("$word")
	done
	COMPREPLY=()
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--json --user --system \
			--help --version $(_thoxctl_options "${words[0]:-}")" -- "$cur")
		return
	fi
	if [[ -n ${words[0]:-} && $_thoxctl_for_services == *" ${words[0]} "* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_thox_names services)" -- "$cur")
		return
	fi
	case "${words[*]:0:2}" in
	"")
		mapfile -t COMPREPLY < <(compgen -W "ps status kill terminate \
			pause resume call push listen bus trace events graph logs mount unmount top label daemon-reexec shutdown start stop restart try-restart \
			reload reset enable disable list tree show is-active \
			is-enabled is-failed cat edit rollback who-can \
			daemon-reload verify store storage kv data locks backup restore" -- "$cur")
		;;
	store)
		mapfile -t COMPREPLY < <(compgen -W "ls cat put log diff \
			rollback verify rm" -- "$cur")
		;;
	storage)
		mapfile -t COMPREPLY < <(compgen -W "ls stat export import compact adopt rm" -- "$cur")
		;;
	kv)
		mapfile -t COMPREPLY < <(compgen -W "get set del list dump watch" -- "$cur")
		;;
	data)
		mapfile -t COMPREPLY < <(compgen -W "cat put" -- "$cur")
		;;
	"storage ls") ;;
	"storage import" | backup* | restore*)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	"storage "* | "kv "* | "data "* | locks*)
		if ((${#words[@]} < 3)); then
			mapfile -t COMPREPLY < <(compgen -W "$(_thox_names programs)" -- "$cur")
		elif [[ ${words[*]:0:2} == "data put" || ${words[*]:0:2} == "storage export" ]]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		fi
		;;
	status*)
		mapfile -t COMPREPLY < <(compgen -W "$(_thox_processes) \
			$(_thox_names services)" -- "$cur")
		;;
	who-can)
		mapfile -t COMPREPLY < <(compgen -W "$(_thox_bus)" -- "$cur")
		;;
	kill* | terminate* | pause* | resume*)
		mapfile -t COMPREPLY < <(compgen -W "$(_thox_processes)" -- "$cur")
		;;
	call | push | listen)
		mapfile -t COMPREPLY < <(compgen -W "$(_thox_bus)" -- "$cur")
		;;
	trace)
		mapfile -t COMPREPLY < <(compgen -W "$(_thox_bus) \
			$(_thox_processes)" -- "$cur")
		;;
	logs*)
		mapfile -t COMPREPLY < <(compgen -W "$(_thox_names services)" -- "$cur")
		;;
	verify)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	mount* | unmount*)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		;;
	"store put")
		if ((${#words[@]} > 2)); then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
		fi
		;;&
	"store "*)
		_thoxctl_store_name
		;;
	esac
}

_thoxctl_store_name() {
	local dir=programs names dirs="libraries/ runtimes/ services/ data/"

	if [[ $cur == */* ]]; then
		dir=${cur%%/*}
		names=$(_thox_names "$dir" | command sed "s|^|$dir/|")
	else
		names="$(_thox_names programs) $dirs"
		[[ $dirs != *" $cur"* && $dirs != "$cur"* ]] || compopt -o nospace 2>/dev/null
	fi
	mapfile -t COMPREPLY < <(compgen -W "$names" -- "$cur")
}

complete -F _thox_exec thox-exec
complete -F _thoxctl thoxctl
