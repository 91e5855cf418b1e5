-- Tables and comparators: sorting, with closures and objects. Where it has a
-- function `turn` it lets others have theirs, in the middle of each round.
local turn = _G.turn or function() end
local seed = 42
local function random()
	seed = (seed * 1103515245 + 12345) % 2147483648
	return seed
end
for _ = 1, 6 do
	local items = {}
	for i = 1, 50000 do
		items[i] = { key = random(), name = i }
	end
	turn()
	table.sort(items, function(a, b)
		return a.key < b.key
	end)
	turn()
	for i = 2, #items do
		assert(items[i - 1].key <= items[i].key)
	end
end
