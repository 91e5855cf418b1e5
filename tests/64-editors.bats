#!/usr/bin/env bats
# What editors and checkers are told of thox is what programs find.

load helper

source_dir=${THOX_SOURCE_DIR:-$BATS_TEST_DIRNAME/..}

setup() {
	start_thox '[thoxd]' 'mount = no'
	command -v luacheck >/dev/null || skip "no luacheck"
	printf '%s\n' "stds.thox = dofile('$source_dir/contrib/luacheck/thox.lua')" \
		'std = "thox"' >"$THOX_DIR/luacheckrc"
}

teardown() {
	stop_thox
}

check() {
	luacheck --no-cache --no-color -q --config "$THOX_DIR/luacheckrc" "$@"
}

@test "the examples satisfy the luacheck standard" {
	run -0 check "$source_dir"/contrib/examples/*.lua
}

@test "what programs have not, the standard does not know" {
	local text

	for text in 'io.open("x")' 'os.execute("x")' 'os.remove("x")' 'dofile("x")' \
		'loadfile("x")' 'string.dump(print)' 'debug.sethook()' \
		'package.loadlib("x")' 'package.cpath = ""' 'io.popen("x")' \
		'os.tmpname()' 'loadstring("x")' 'unpack {}' 'mine = 1'; do
		run -1 check - <<<"$text"
	done
}

@test "every global of a program is in the standard" {
	local name

	# shellcheck disable=SC2016 # Lua
	thox-exec -e 'for name, value in pairs(_G) do
		if name ~= "_G" then
			print("local _ = " .. name)
			if type(value) == "table" and name ~= "arg" then
				for field in pairs(value) do
					print(("do local _ = %s.%s end"):format(name, field))
				end
			end
		end
	end' | sort >"$THOX_DIR/globals.lua"
	[ "$(wc -l <"$THOX_DIR/globals.lua")" -gt 100 ]
	run check --no-unused --no-redefined "$THOX_DIR/globals.lua"
	assert_status 0
}

@test "every function of os in the standard is there, and declared" {
	local name missing

	lua5.4 -e 'for name in pairs(dofile(arg[1]).read_globals.os.fields) do print(name) end' \
		"$source_dir/contrib/luacheck/thox.lua" | sort >"$THOX_DIR/standard"
	thox-exec -e 'for name in pairs(os) do print(name) end' |
		sort >"$THOX_DIR/there"
	missing=$(comm -23 "$THOX_DIR/standard" "$THOX_DIR/there")
	# Secrets are for services only.
	[[ -z $missing || $missing == secret ]]
	for name in $(grep -vxE "clock|date|difftime|exit|getenv|time" "$THOX_DIR/standard"); do
		grep -qE "^(function )?os\.$name( = |\()" \
			"$source_dir/contrib/luals/thox.lua" || {
			echo "not declared: os.$name" >&2
			return 1
		}
	done
}

@test "every function of the libraries is declared, and no other" {
	local library

	for library in daemon log net rpc sandbox task; do
		# shellcheck disable=SC2016 # Lua
		thox-exec -e 'local name = arg[1]
			for key, value in pairs(require(name)) do
				if type(key) == "string" and type(value) == "function" then
					print(name .. "." .. key)
				end
			end' "$library" | sort >"$THOX_DIR/there"
		grep -oE "^function $library\.[a-z_]+" \
			"$source_dir/contrib/luals/$library.lua" |
			sed 's/^function //' | sort >"$THOX_DIR/declared"
		diff "$THOX_DIR/there" "$THOX_DIR/declared"
	done
}

@test "the declarations for the language server are Lua" {
	local file

	for file in "$source_dir"/contrib/luals/*.lua; do
		lua5.4 -e 'assert(loadfile(arg[1], "t"))' "$file"
		[[ $(head -n 1 "$file") == ---@meta* ]]
	done
}
