-- Prints how many primes there are below a number, by Eratosthenes' sieve:
-- something to compute, to see limits at work.
--
--   thox-exec primes 1000000
--   thox-exec --memory 1M primes 1000000      stopped by its limit
--   thox-exec --cpu 0.1s primes 100000000     stopped by its limit

local limit = math.tointeger(tonumber(arg[1] or 100000))
if not limit or limit < 0 then
	io.stderr:write("usage: primes [BELOW]\n")
	os.exit(2)
end

local composite, count = {}, 0
for n = 2, limit - 1 do
	if not composite[n] then
		count = count + 1
		for multiple = n * n, limit - 1, n do
			composite[multiple] = true
		end
	end
end
print(count)
