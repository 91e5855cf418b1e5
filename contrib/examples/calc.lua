-- A calculator: expressions as arguments, or one a line on standard input.
-- Its exit code is 1 when an expression was wrong.
--
--   thox-exec calc '2^10 + 1' 'sin(pi / 6)'
--   seq 10 | thox-exec calc

-- An expression sees the math library and nothing else.
local scope = setmetatable({}, { __index = math })
local failed = false

local function evaluate(text)
	local chunk, err = load("return " .. text, "=expression", "t", scope)
	if not chunk then
		return nil, err
	end
	local ok, value = pcall(chunk)
	if not ok then
		return nil, value
	end
	return value
end

local function show(text)
	local value, err = evaluate(text)
	if err then
		failed = true
		io.stderr:write(("%s: %s\n"):format(text, err))
	else
		print(value)
	end
end

if #arg > 0 then
	for _, text in ipairs(arg) do
		show(text)
	end
else
	for text in io.lines() do
		show(text)
	end
end
os.exit(failed and 1 or 0)
