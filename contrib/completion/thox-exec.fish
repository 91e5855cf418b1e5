# fish completion for thox-exec

# Names of a directory of the store, both layers; quiet when there is none.
function __thox_names
    set -l mode
    contains -- --system (commandline -opc); and set mode --system
    thoxctl $mode --json store ls $argv[1] 2>/dev/null |
        command grep -o '{"name": *"[^"]*"' | command cut -d '"' -f 4
end

# Is the program still to be named?
function __thox_needs_program
    set -l skip
    for word in (commandline -opc)[2..-1]
        if test -n "$skip"
            set skip
        else if contains -- $word -r --runtime -e --memory --cpu --timeout --env --allow --deny --name
            set skip 1
        else if not string match -q -- '-*' $word
            return 1
        end
    end
end

complete -c thox-exec -n __thox_needs_program -f -a '(__thox_names programs)'
complete -c thox-exec -n '__thox_needs_program; and string match -q -- "*/*" (commandline -ct)' -F
complete -c thox-exec -n __thox_needs_program -s r -l runtime -x -a 'native (__thox_names runtimes)' -d 'run it under this runtime'
complete -c thox-exec -n __thox_needs_program -s e -x -d 'run this text'
complete -c thox-exec -n __thox_needs_program -s i -l interactive -d 'a prompt'
complete -c thox-exec -n __thox_needs_program -s d -l background -d 'leave it running'
complete -c thox-exec -n __thox_needs_program -l name -x -d 'what it is called in the background'
complete -c thox-exec -n __thox_needs_program -l memory -x -d 'at most this much memory'
complete -c thox-exec -n __thox_needs_program -l cpu -x -d 'at most this much CPU time'
complete -c thox-exec -n __thox_needs_program -l timeout -x -d 'end it after this time'
complete -c thox-exec -n __thox_needs_program -l env -x -a '(set -xn)' -d 'give it this variable'
complete -c thox-exec -n __thox_needs_program -l allow -x -a 'call= bind= run= store=' -d 'it may call these names only'
complete -c thox-exec -n __thox_needs_program -l deny -x -a 'call= bind= run= store=' -d 'it may not call these names'
complete -c thox-exec -n __thox_needs_program -l no-calls -d 'it may call, bind, run and publish nothing'
complete -c thox-exec -n __thox_needs_program -l json -d 'the result as JSON'
complete -c thox-exec -n __thox_needs_program -l user -d 'the instance of the user'
complete -c thox-exec -n __thox_needs_program -l system -d 'the instance of the system'
complete -c thox-exec -n __thox_needs_program -s h -l help -d help
complete -c thox-exec -n __thox_needs_program -s V -l version -d version
