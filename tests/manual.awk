# Takes the examples out of a man page: what stands between .EX and .EE goes
# into the file DIR/N, and a line `N KIND [NAME]` is printed for it, as the
# comment before it says:
#
#     .\" test: service NAME     a program that is to serve meanwhile
#     .\" test: file NAME        a program for others
#     .\" test: program [NAME]   one that prints what its `--> ` comments say
#     .\" test: stored NAME      the same, from the store
#     .\" test: shell            commands behind `$ `, and what they print
#
# An example without one is an error: nothing in a page goes untested.

function fail(what) {
	printf "%s:%d: %s\n", FILENAME, FNR, what >"/dev/stderr"
	status = 1
	exit 1
}

/^\.\\" test: / {
	kind = $3
	name = $4
	next
}
/^\.EX$/ {
	if (kind == "")
		fail("an example that nothing tests")
	file = sprintf("%s/%02d", dir, ++n)
	printf "%02d %s %s\n", n, kind, name
	inside = 1
	next
}
/^\.EE$/ {
	close(file)
	inside = 0
	kind = name = ""
	next
}
/^\.RS/ || !inside {
	next
}
{
	sub(/^\\&/, "")
	gsub(/\\-/, "-")
	gsub(/\\\(aq/, "'")
	gsub(/\\\(dq/, "\"")
	gsub(/\\\(ti/, "~")
	gsub(/\\\(ha/, "^")
	gsub(/\\\(ga/, "`")
	rest = $0
	gsub(/\\e/, "", rest)
	if (index(rest, "\\"))
		fail("what is this escape?")
	gsub(/\\e/, "\\")
	print >file
}
END {
	if (!status && n == 0)
		fail("no examples")
}
