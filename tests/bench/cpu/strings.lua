-- Strings, patterns and the collector: a text taken apart and put together.
local words = {}
for i = 1, 2000 do
	words[i] = ("word%d"):format(i * 7919 % 1000)
end
local text = table.concat(words, " ")
local total = 0
for round = 1, 250 do
	local count = {}
	for word in text:gmatch("%a+%d+") do
		count[word] = (count[word] or 0) + 1
	end
	local parts = {}
	for word, n in pairs(count) do
		parts[#parts + 1] = word:upper() .. "=" .. n + round
	end
	total = total + #table.concat(parts, ",")
end
assert(total > 0)
