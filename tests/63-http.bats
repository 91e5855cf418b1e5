#!/usr/bin/env bats
# thox-http: programs ask the network, and the network asks programs.

load helper

setup_file() {
	[[ -x $build_dir/thox-http || -n ${THOX_PREFIX:-} ]] ||
		skip "built without thox-http"
	start_thox '[thoxd]' 'mount = no'
	export mnt thox_sessions
	export server_port other_port server_pid other_pid
	serve_web web
	server_port=$port server_pid=$web_pid
	serve_web other
	other_port=$port other_pid=$web_pid
}

teardown_file() {
	end "$server_pid" "$other_pid"
	stop_thox
}

setup() {
	pids=()
}

teardown() {
	end "${pids[@]}"
	wait_until nothing_is_bound
}

nothing_is_bound() {
	[[ $(thoxctl --json bus) == "[]" ]]
}

# end PID...: all gone when it returns.
end() {
	local pid

	for pid; do
		[[ -z $pid ]] || kill "$pid" 2>/dev/null || true
	done
	for pid; do
		[[ -z $pid ]] || wait_until is_gone "$pid"
	done
}

# A web server whose words go to $THOX_DIR/NAME: $port, $web_pid.
serve_web() {
	python3 "$source_dir/tests/http-server.py" >"$THOX_DIR/$1" 3>&- &
	web_pid=$!
	wait_until test -s "$THOX_DIR/$1"
	port=$(head -n 1 "$THOX_DIR/$1")
}

source_dir=${THOX_SOURCE_DIR:-$BATS_TEST_DIRNAME/..}

# thox-http in the background with these options; $listening where it does.
start_http() {
	local out

	out=$(mktemp "$THOX_DIR/http.XXXXXX")
	"$build_dir/thox-http" "$@" >"$out" 2>&1 3>&- &
	pids+=($!)
	wait_until has_line "$out" ready || {
		cat "$out" >&2
		return 1
	}
	listening=$(sed -n 's/^listening on //p' "$out")
}

web() {
	echo "http://127.0.0.1:$server_port/$1"
}

# --- programs ask -------------------------------------------------------------

@test "wrong use is refused with the reason" {
	local bad

	for bad in "" "--allow a/b" "--listen 127.0.0.1:1" "--expose a" \
		"--listen 127.0.0.1:0 --expose **" "--allow a extra" \
		"--allow a --timeout x" "--allow a --max-answer 1G" \
		"--listen localhost:80 --expose a" "--token-file /nonexistent"; do
		# shellcheck disable=SC2086 # words
		run -2 "$build_dir/thox-http" $bad
		assert_output_has "thox-http: "
	done
	run -0 "$build_dir/thox-http" --help
	assert_output_has "--allow" "--listen"
}

@test "without an instance it says so" {
	run -1 env THOX_DIR="$THOX_DIR/none" "$build_dir/thox-http" --allow a
	assert_output_has "no instance of thox"
}

@test "http.get answers status, headers and body" {
	start_http --allow "127.0.0.1:$server_port"
	run -0 thoxctl --json call http.get "$(web hello)"
	[ "$(gojq -r '.[0].status' <<<"$output")" = 200 ]
	[ "$(gojq -r '.[0].body' <<<"$output")" = "hello, wörld" ]
	[ "$(gojq -r '.[0].headers["content-type"]' <<<"$output")" = text/plain ]
	[ "$(gojq -r '.[0].headers["x-twice"]' <<<"$output")" = "a, b" ]
	[ "$(gojq -r '.[0].url' <<<"$output")" = "$(web hello)" ]
	run -0 thoxctl --json call http.get "$(web status/404)"
	[ "$(gojq -r '.[0].status' <<<"$output")" = 404 ]
}

@test "a program of Lua asks, unless its policy says no" {
	local text

	start_http --allow "127.0.0.1:$server_port"
	text="local status, page = os.wait(os.call(0, 'http.get', '$(web hello)'))
		print(status, status == 0 and page.status or page, page.body)"
	run -0 thox-exec -e "$text"
	[ "$output" = $'0\t200\thello, wörld' ]
	run thox-exec --deny call=http.get -e "$text"
	[ "${output%%	*}" = 3 ]
	assert_output_has http.get
}

@test "http.request sends method, headers and body" {
	start_http --allow "127.0.0.1:$server_port"
	run -0 thoxctl --json call http.request "{\"url\": \"$(web echo)\",
		\"method\": \"put\", \"body\": \"x=1\",
		\"headers\": {\"X-Mine\": \"yes\", \"Content-Type\": \"text/x\"}}"
	seen=$(gojq -r '.[0].body' <<<"$output")
	[ "$(gojq -r .method <<<"$seen")" = PUT ]
	[ "$(gojq -r .body <<<"$seen")" = x=1 ]
	[ "$(gojq -r '.headers["x-mine"]' <<<"$seen")" = yes ]
	[ "$(gojq -r '.headers["content-type"]' <<<"$seen")" = text/x ]
	run -0 thoxctl --json call http.request \
		"{\"url\": \"$(web hello)\", \"method\": \"HEAD\"}"
	[ "$(gojq -r '.[0].body' <<<"$output")" = "" ]
}

@test "only hosts on the list, on their ports, by http and https" {
	start_http --allow "127.0.0.1:$server_port" --allow '*'
	run -5 thoxctl call http.get "http://127.0.0.1:$other_port/hello"
	assert_output_has "DENIED" "127.0.0.1:$other_port" "--allow"
	# What the star admits must not be this machine.
	run -5 thoxctl call http.get "http://127.0.0.1/hello"
	assert_output_has "DENIED" "this machine"
	run -5 thoxctl call http.get "http://localhost/hello"
	run -5 thoxctl call http.get "http://[::1]/hello"
	run -5 thoxctl call http.get "http://2130706433/hello"
	for url in file:///etc/passwd gopher://127.0.0.1/ nonsense "http://"; do
		run -2 thoxctl call http.get "$url"
		assert_output_has INVALID
	done
}

@test "redirects are followed where the list admits, without secrets" {
	start_http --allow "127.0.0.1:$server_port"
	run -0 thoxctl --json call http.get "$(web "to//hello")"
	[ "$(gojq -r '.[0].body' <<<"$output")" = "hello, wörld" ]
	[ "$(gojq -r '.[0].url' <<<"$output")" = "$(web hello)" ]
	run -5 thoxctl call http.get "$(web "to/http://127.0.0.1:$other_port/hello")"
	run -0 thoxctl --json call http.get "$(web loop)"
	[ "$(gojq -r '.[0].status' <<<"$output")" = 302 ]
	run -0 thoxctl --json call http.get "$(web "to//hello")" '{"redirect": false}'
	[ "$(gojq -r '.[0].status' <<<"$output")" = 302 ]
	# 303 turns a POST into a GET.
	run -0 thoxctl --json call http.request \
		"{\"url\": \"$(web "see//echo")\", \"method\": \"POST\", \"body\": \"b\"}"
	seen=$(gojq -r '.[0].body' <<<"$output")
	[ "$(gojq -r .method <<<"$seen")" = GET ]
	[ "$(gojq -r .body <<<"$seen")" = "" ]
}

@test "a redirect to another host takes no Authorization along" {
	start_http --allow "127.0.0.1:$server_port" \
		--allow "127.0.0.1:$other_port"
	run -0 thoxctl --json call http.get \
		"$(web "to/http://127.0.0.1:$other_port/echo")" \
		'{"headers": {"Authorization": "secret", "X-Plain": "1"}}'
	seen=$(gojq -r '.[0].body' <<<"$output")
	[ "$(gojq -r '.headers["x-plain"]' <<<"$seen")" = 1 ]
	[ "$(gojq -r '.headers.authorization' <<<"$seen")" = null ]
	run -0 thoxctl --json call http.get "$(web "to//echo")" \
		'{"headers": {"Authorization": "secret"}}'
	[ "$(gojq -r '.[0].body' <<<"$output" | gojq -r .headers.authorization)" = secret ]
}

@test "limits: size, time, number; bytes arrive as they are" {
	start_http --allow "127.0.0.1:$server_port" --max-answer 100K \
		--max-transfers 1
	run -1 thoxctl call http.get "$(web big/200000)"
	assert_output_has TOO_LARGE --max-answer
	run -0 thoxctl --json call http.get "$(web big/3)"
	[ "$(gojq -c '.[0].body' <<<"$output")" = '{"$bytes":"////"}' ]
	run -6 thoxctl call http.get "$(web silent)" '{"timeout": 0.2}'
	assert_output_has TIMEOUT
	thoxctl call http.get "$(web silent/busy)" >/dev/null 2>&1 3>&- &
	pids+=($!)
	wait_until web_says "asked busy"
	run thoxctl call http.get "$(web hello)"
	assert_output_has TOO_LARGE --max-transfers
}

@test "a caller that goes ends its transfer" {
	start_http --allow "127.0.0.1:$server_port"
	thoxctl call http.get "$(web silent/caller)" >/dev/null 2>&1 3>&- &
	caller=$!
	wait_until web_says "asked caller"
	run ! web_says "gone caller"
	kill "$caller"
	wait_until web_says "gone caller"
}

# Of /silent/NAME: what it says of another request may come late.
web_says() {
	has_line "$THOX_DIR/web" "$1"
}

@test "nobody there is an error with the reason" {
	start_http --allow "127.0.0.1:1"
	run -1 thoxctl call http.get "http://127.0.0.1:1/"
	assert_output_has "ERROR" "127.0.0.1"
	run -4 thoxctl call http.post
	assert_output_has NOT_FOUND
}

@test "a name that is taken is reported" {
	start_http --allow a
	run -1 timeout 20 "$build_dir/thox-http" --allow b
	assert_output_has "http: " "bound already"
	start_http --allow b --name web
	run -2 thoxctl call web.get
	assert_output_has INVALID "a URL is wanted"
}

# --- the network asks ---------------------------------------------------------

# ask NAME [CURL OPTION...]: $output is the body, $code the status.
ask() {
	local name=$1

	shift
	run curl -s -w '\n%{http_code} %{content_type}' "$@" \
		"http://$listening/$name"
	code=${lines[-1]}
	output=${output%$'\n'*}
}

start_ping() {
	local python=python3

	[[ ! -x /usr/bin/python3 ]] || python=/usr/bin/python3
	: >"$THOX_DIR/ping" # that of the test before was ready, too
	"$python" "$source_dir/contrib/python/thox_ping.py" \
		>"$THOX_DIR/ping" 2>&1 3>&- &
	pids+=($!)
	wait_until has_line "$THOX_DIR/ping" ready
}

@test "POST /NAME is a call, and its answer the body" {
	start_ping
	start_http --listen 127.0.0.1:0 --expose 'ping.**'
	ask ping.echo -d 'a text'
	[ "$code" = "200 text/plain; charset=utf-8" ]
	[ "$output" = "a text" ]
	ask ping.echo -X POST
	[ "$code" = "204 " ]
	ask ping.echo -H 'Content-Type: application/json' -d '[1, 2.5, {"a": null}]'
	[ "$code" = "200 application/json" ]
	[ "$output" = '[1,2.5,{"a":null}]' ]
	ask ping.echo -H 'Content-Type: application/json' -d '"one"'
	[ "$output" = '["one"]' ]
	ask ping.greet -d you
	[ "$code" = "200 application/json" ]
	[ "$(gojq -r '.[0]' <<<"$output")" = "hello you" ]
	# shellcheck disable=SC2016 # sent so
	ask ping.echo -H 'Content-Type: application/json' -d '{"$bytes": "/w=="}'
	# shellcheck disable=SC2016
	[ "$output" = '[{"$bytes":"/w=="}]' ]
}

@test "what goes wrong has its code, and the reason as JSON" {
	start_ping
	start_http --listen 127.0.0.1:0 --expose 'ping.**' --expose gone \
		--max-body 1K
	ask ping.fail -d 'oh no'
	[ "${code%% *}" = 500 ]
	[ "$output" = '{"status":"ERROR","message":"oh no"}' ]
	ask ping.nothing -d x
	[ "${code%% *}" = 404 ]
	ask gone -d x
	[ "${code%% *}" = 404 ]
	[ "$(gojq -r .status <<<"$output")" = NOT_FOUND ]
	ask ping.greet -X POST
	[ "${code%% *}" = 400 ]
	ask ping.echo
	[ "${code%% *}" = 405 ]
	ask ping.echo -H 'Content-Type: application/json' -d '[1'
	[ "${code%% *}" = 400 ]
	ask ping.echo -d "$(printf '%2000s' x)"
	[ "${code%% *}" = 413 ]
	start_http --listen 127.0.0.1:0 --expose 'ping.**' \
		--call-timeout 300ms
	kill -STOP "${pids[0]}"
	ask ping.echo -d x
	kill -CONT "${pids[0]}"
	[ "${code%% *}" = 504 ]
	[ "$(gojq -r .status <<<"$output")" = TIMEOUT ]
}

@test "only what is exposed, to who has the token, for no other site's page" {
	start_ping
	echo sesame >"$THOX_DIR/token"
	start_http --listen 127.0.0.1:0 --expose ping.echo \
		--token-file "$THOX_DIR/token"
	ask ping.echo -d x
	[ "${code%% *}" = 401 ]
	ask ping.echo -d x -H 'Authorization: Bearer sesam'
	[ "${code%% *}" = 401 ]
	ask ping.echo -d x -H 'Authorization: Bearer sesame'
	[ "${code%% *}" = 200 ]
	ask ping.greet -d x -H 'Authorization: Bearer sesame'
	[ "${code%% *}" = 404 ]
	ask process.run -d x -H 'Authorization: Bearer sesame'
	[ "${code%% *}" = 404 ]
	ask ping.echo -d x -H 'Authorization: Bearer sesame' -H 'Origin: http://evil'
	[ "${code%% *}" = 403 ]
	ask 'ping.echo/../../x' -d x --path-as-is -H 'Authorization: Bearer sesame'
	[ "${code%% *}" = 404 ]
}

@test "many at once are all answered" {
	local i

	start_ping
	start_http --listen 127.0.0.1:0 --expose 'ping.**'
	for ((i = 0; i < 50; i++)); do
		((i == 0)) || echo next
		printf 'url = "http://%s/ping.echo"\ndata = "number %s"\noutput = "%s/answer.%s"\n' \
			"$listening" "$i" "$THOX_DIR" "$i"
	done >"$THOX_DIR/urls"
	curl -s --parallel --parallel-max 25 -K "$THOX_DIR/urls"
	for ((i = 0; i < 50; i++)); do
		[ "$(cat "$THOX_DIR/answer.$i")" = "number $i" ]
	done
}

@test "it ends on a signal with calls under way, both ways" {
	start_http --allow "127.0.0.1:$server_port" --listen 127.0.0.1:0 \
		--expose http.get
	curl -s -d "$(web silent/both)" "http://$listening/http.get" >/dev/null 3>&- &
	pids+=($!)
	wait_until web_says "asked both"
	kill "${pids[0]}"
	wait_until is_gone "${pids[0]}"
	wait_until web_says "gone both"
}

@test "it ends with thoxd" {
	start_http --allow "127.0.0.1:$server_port"
	kill -KILL "$(thoxctl --json status | gojq .pid)"
	wait_until is_gone "${pids[0]}"
	wait_until thoxctl status
}
