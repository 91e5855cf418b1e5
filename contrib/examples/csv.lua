-- A library: reading comma-separated values, quotes included. Copy it to
-- libraries/csv; programs get it by require "csv" (see total.lua).

local csv = {}

-- The fields of one line: `a,"b, c","say ""hi"""` has three.
function csv.fields(line)
	local fields, at = {}, 1
	line = line:gsub("\r$", "")
	repeat
		local field, after
		if line:sub(at, at) == '"' then
			local from = at + 1
			local close = line:find('"', from, true)
			while close and line:sub(close + 1, close + 1) == '"' do
				close = line:find('"', close + 2, true)
			end
			if not close then
				return nil, "a quote is not closed"
			end
			field = line:sub(from, close - 1):gsub('""', '"')
			after = close + 1
		else
			after = line:find(",", at, true) or #line + 1
			field = line:sub(at, after - 1)
		end
		fields[#fields + 1] = field
		at = after + 1
	until after > #line
	return fields
end

-- Each line after the first as a table by the first line's names.
function csv.records(lines)
	local names = csv.fields(lines() or "")
	return function()
		local line = lines()
		if not line then
			return nil
		end
		local fields, err = csv.fields(line)
		if not fields then
			error(err, 0)
		end
		local record = {}
		for i, name in ipairs(names) do
			record[name] = fields[i]
		end
		return record
	end
end

return csv
