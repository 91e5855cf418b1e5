-- Adds up one column of comma-separated values, by the groups of another.
-- Uses the library `csv`.
--
--   thox-exec total amount <orders.csv
--   thox-exec total amount customer <orders.csv

local csv = require("csv")
local column, group = arg[1], arg[2]

if not column then
	io.stderr:write("usage: total COLUMN [GROUP-BY] <FILE.csv\n")
	os.exit(2)
end

local sums, order = {}, {}
for record in csv.records(io.lines()) do
	local key = group and record[group] or "total"
	local value = tonumber(record[column])
	if not value then
		error(("no number in column %s: %s"):format(column,
			tostring(record[column])), 0)
	end
	if not sums[key] then
		sums[key] = 0
		order[#order + 1] = key
	end
	sums[key] = sums[key] + value
end

for _, key in ipairs(order) do
	print(key, sums[key])
end
