# fish completion for thoxctl; its commands are those of `thoxctl --help`.

function __thoxctl_words
    string match -v -- '-*' (commandline -opc)[2..-1]
end

function __thoxctl_at
    test "$(__thoxctl_words | string join ' ')" = "$argv"
end

function __thoxctl_names
    set -l mode
    contains -- --system (commandline -opc); and set mode --system
    for dir in programs libraries runtimes services data
        set -l prefix $dir/
        test $dir = programs; and set prefix ''
        thoxctl $mode --json store ls $dir 2>/dev/null |
            command grep -o '{"name": *"[^"]*"' | command cut -d '"' -f 4 |
            string replace -r '^' "$prefix"
    end
end

function __thoxctl_processes
    THOX_NO_AUTOSTART=1 thoxctl --json ps 2>/dev/null |
        command grep -oE '"(pid|name)": *("[^"]*"|[0-9]+)' |
        string replace -r '^"[a-z]+": *"?([^"]*)"?$' '$1'
end

# Names that are bound on the bus.
function __thoxctl_bus
    THOX_NO_AUTOSTART=1 thoxctl --json bus 2>/dev/null |
        command grep -o '"name": *"[^"]*"' | command cut -d '"' -f 4
end

function __thoxctl_services
    thoxctl --json store ls services 2>/dev/null |
        command grep -o '{"name": *"[^"]*"' | command cut -d '"' -f 4
end

function __thoxctl_programs
    thoxctl --json store ls 2>/dev/null |
        command grep -o '{"name": *"[^"]*"' | command cut -d '"' -f 4
end

complete -c thoxctl -f
complete -c thoxctl -l json -d 'the answer as JSON'
complete -c thoxctl -l user -d 'the instance of the user'
complete -c thoxctl -l system -d 'the instance of the system'
complete -c thoxctl -s h -l help -d help
complete -c thoxctl -s V -l version -d version
complete -c thoxctl -n '__thoxctl_at ""' -a 'ps status kill terminate pause resume call push listen bus trace events graph logs mount unmount top label daemon-reexec shutdown start stop restart try-restart reload reset enable disable list tree show is-active is-enabled is-failed cat edit rollback who-can daemon-reload verify store storage kv data locks backup restore'
complete -c thoxctl -n '__thoxctl_at store' -a 'ls cat put log diff rollback verify rm'
complete -c thoxctl -n '__thoxctl_at storage' -a 'ls stat export import compact adopt rm'
complete -c thoxctl -n '__thoxctl_at kv' -a 'get set del list dump watch'
complete -c thoxctl -n '__thoxctl_at data' -a 'cat put'
complete -c thoxctl -n '__thoxctl_at storage import' -F
complete -c thoxctl -n '__thoxctl_at backup' -F
complete -c thoxctl -n '__thoxctl_at restore' -F
complete -c thoxctl -n 'string match -q -- "storage export *" (__thoxctl_words | string join " ")' -F
for command in 'storage stat' 'storage export' 'storage compact' 'storage adopt' 'storage rm' 'kv get' 'kv set' 'kv del' 'kv list' 'kv dump' 'kv watch' 'data cat' 'data put' locks
    complete -c thoxctl -n "__thoxctl_at $command" -a '(__thoxctl_programs)'
end
complete -c thoxctl -n '__thoxctl_at kv set' -l ttl -x -d 'remove it after this'
for command in 'kv set' 'kv del'
    complete -c thoxctl -n "__thoxctl_at $command" -l if-version -x -d 'only if that is its version'
    complete -c thoxctl -n "__thoxctl_at $command" -l sync -d 'return when it is on the disk'
end
complete -c thoxctl -n 'string match -q -- "data put *" (__thoxctl_words | string join " ")' -F
for command in kill terminate pause resume status
    complete -c thoxctl -n "__thoxctl_at $command" -a '(__thoxctl_processes)'
end
for command in call push listen trace
    complete -c thoxctl -n "__thoxctl_at $command" -a '(__thoxctl_bus)'
end
complete -c thoxctl -n '__thoxctl_at trace' -a '(__thoxctl_processes)'
complete -c thoxctl -n 'contains -- call (__thoxctl_words)[1]' -s t -l timeout -x -d 'wait no longer'
complete -c thoxctl -n 'contains -- listen (__thoxctl_words)[1]' -s n -l count -x -d 'end after so many'
complete -c thoxctl -n 'contains -- tree (__thoxctl_words)[1]' -l services -d 'services, not processes'
complete -c thoxctl -n 'contains -- top (__thoxctl_words)[1]' -s d -l delay -x -d 'look again after this'
complete -c thoxctl -n 'contains -- top (__thoxctl_words)[1]' -s s -l sort -x -a 'name state cpu memory calls queue restarts pid'
complete -c thoxctl -n 'contains -- top (__thoxctl_words)[1]' -s r -l reverse -d 'turn the order round'
complete -c thoxctl -n 'contains -- top (__thoxctl_words)[1]' -s b -l batch -d 'print lines'
complete -c thoxctl -n 'contains -- top (__thoxctl_words)[1]' -s n -l count -x -d 'so many reports'
for command in start stop restart try-restart reload reset
    complete -c thoxctl -n "contains -- $command (__thoxctl_words)[1]" -s t -l timeout -x -d 'wait no longer'
    complete -c thoxctl -n "contains -- $command (__thoxctl_words)[1]" -l no-wait -d 'do not wait'
end
for command in start stop restart try-restart
    complete -c thoxctl -n "contains -- $command (__thoxctl_words)[1]" -s n -l dry-run -d 'only say what would happen'
end
for command in start restart
    complete -c thoxctl -n "contains -- $command (__thoxctl_words)[1]" -l wait -d 'wait for their end, too'
end
for command in enable disable
    complete -c thoxctl -n "contains -- $command (__thoxctl_words)[1]" -l now -d 'at once, too'
end
complete -c thoxctl -n 'contains -- logs (__thoxctl_words)[1]' -s f -l follow -d 'go on with what comes'
for option in lines since until grep priority output unit
    complete -c thoxctl -n 'contains -- logs (__thoxctl_words)[1]' -l $option -x
end
for command in mount unmount
    complete -c thoxctl -n "__thoxctl_at $command" -a '(__fish_complete_directories)'
end
for command in start stop restart try-restart reload reset enable disable list top tree show is-active is-enabled is-failed cat edit rollback status
    complete -c thoxctl -n "contains -- $command (__thoxctl_words)[1]" -a '(__thoxctl_services)'
end
complete -c thoxctl -n '__thoxctl_at who-can' -a '(__thoxctl_bus)'
complete -c thoxctl -n '__thoxctl_at verify' -F
for command in ls cat put log diff rollback verify rm
    complete -c thoxctl -n "__thoxctl_at store $command" -a '(__thoxctl_names)'
end
complete -c thoxctl -n 'string match -q -- "store put *" (__thoxctl_words | string join " ")' -F
complete -c thoxctl -n 'string match -q -- "store diff *" (__thoxctl_words | string join " ")' -a '(__thoxctl_names)'
