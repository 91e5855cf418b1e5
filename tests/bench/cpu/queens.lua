-- Arrays and recursion: all ways to put nine queens on a board.
local size, ways = 9, 0
local columns, rising, falling = {}, {}, {}

local function place(row)
	if row > size then
		ways = ways + 1
		return
	end
	for column = 1, size do
		local up, down = row + column, row - column + size
		if not (columns[column] or rising[up] or falling[down]) then
			columns[column], rising[up], falling[down] = true, true, true
			place(row + 1)
			columns[column], rising[up], falling[down] = nil, nil, nil
		end
	end
end

for _ = 1, 120 do
	ways = 0
	place(1)
end
assert(ways == 352)
