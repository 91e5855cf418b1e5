# shellcheck shell=bash
# For tests of programs that talk: some in the background, one in front.

clients=()

# spawn NAME [ARG...]: in the background until the test ends; waits until it
# has printed `ready`. $client is its thox-exec, $out what it prints.
spawn() {
	start_client "$@"
	wait_until has_line "$out" ready || {
		cat "$out" >&2
		return 1
	}
}

start_client() {
	out=$(mktemp "$THOX_DIR/out.XXXXXX")
	[ -p "$THOX_DIR/silent" ] || mkfifo "$THOX_DIR/silent"
	# A background job of a script has its interrupts ignored.
	env --default-signal=INT,QUIT thox-exec "$@" \
		0<>"$THOX_DIR/silent" >"$out" 2>&1 3>&- &
	client=$!
	clients+=("$client")
}

end_clients() {
	local client

	for client in "${clients[@]}"; do
		kill -KILL "$client" 2>/dev/null || true
		wait "$client" || true
	done
	clients=()
	wait_until no_process_runs
}

no_process_runs() {
	[[ $(thoxctl --json ps) == "[]" ]]
}

# The exit code of the last client is $1.
ended_with() {
	local code=0

	wait_until is_gone "$client" || {
		cat "$out" >&2
		return 1
	}
	wait "$client" || code=$?
	[ "$code" -eq "$1" ] || {
		echo "exit code $code instead of $1; it said:" >&2
		cat "$out" >&2
		return 1
	}
}

# passes [ARG...]: a program from stdin, which asserts, and says `ok` at its
# end. It gets the prelude below.
passes() {
	local text

	text=$(cat)
	run thox-exec -e "$prelude
local function main() $text
end main() finish()" "$@"
	[[ $status -eq 0 && $output == *ok ]] || {
		echo "$output" >&2
		return 1
	}
}

# service NAME: install the program of stdin with the prelude.
service() {
	local text

	text=$(cat)
	install_program "$1" "$prelude$text"
}

prelude='
local status = os.status
local function check(ok, ...)
  if not ok then error("not so: " .. table.concat({...}, " "), 2) end
end
local function is(a, b)
  if a ~= b then
    error(("%s (%s) is not %s (%s)"):format(tostring(a), math.type(a)
      or type(a), tostring(b), math.type(b) or type(b)), 2)
  end
end
local function bind(name, options)
  is(os.wait(os.call(0, "bind", name, options)), status.OK)
end
local function finish() print("ok") io.stdout:flush() end
local function ready() print("ready") io.stdout:flush() end
local function call(name, ...) return os.wait(os.call(0, name, ...)) end
'
