# Runs the console blocks of a Markdown file: prints a shell script whose
# every step runs one command and compares what it prints with what the file
# says. `…` in an expected line stands for anything; a line that is `…` alone
# for any number of lines. A command goes on in lines that begin with `> `.

function quoted(s) {
	gsub(/'/, "'\\''", s)
	return "'" s "'"
}

function flush_step() {
	if (command != "")
		print "step " quoted(command) " " quoted(expected)
	command = ""
	expected = ""
}

/^```console$/ {
	inside = 1
	next
}
/^```$/ {
	flush_step()
	inside = 0
	next
}
inside && /^\$ / {
	flush_step()
	command = substr($0, 3)
	next
}
inside && /^> / && expected == "" {
	command = command "\n" substr($0, 3)
	next
}
inside {
	expected = expected $0 "\n"
}
