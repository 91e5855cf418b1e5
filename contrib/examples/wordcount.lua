-- Counts lines, words and bytes on standard input, and the words used most.
--
--   thox-exec wordcount <README.md
--   dmesg | thox-exec wordcount 5          the five most frequent words

local top = math.tointeger(tonumber(arg[1] or 3))
if not top then
	io.stderr:write("usage: wordcount [HOW-MANY] <TEXT\n")
	os.exit(2)
end

local lines, words, bytes = 0, 0, 0
local count, order = {}, {}

for line in io.stdin:lines("L") do
	lines = lines + 1
	bytes = bytes + #line
	for word in line:lower():gmatch("[%w']+") do
		words = words + 1
		if not count[word] then
			order[#order + 1] = word
		end
		count[word] = (count[word] or 0) + 1
	end
end

-- The most frequent first; among equals, by name.
table.sort(order, function(a, b)
	if count[a] ~= count[b] then
		return count[a] > count[b]
	end
	return a < b
end)

print(("%d lines, %d words, %d bytes"):format(lines, words, bytes))
for i = 1, math.min(top, #order) do
	print(("%6d %s"):format(count[order[i]], order[i]))
end
