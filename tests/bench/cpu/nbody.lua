-- Floating point and fields: five bodies attracting each other.
local sqrt = math.sqrt
local bodies = {}
for i = 1, 5 do
	bodies[i] = {
		x = i * 1.5, y = i * -0.7, z = i * 0.2,
		vx = 0.01 * i, vy = 0.02 * (5 - i), vz = 0.0,
		mass = 1.0 / i,
	}
end

local function advance(dt)
	for i = 1, 5 do
		local a = bodies[i]
		for j = i + 1, 5 do
			local b = bodies[j]
			local dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
			local square = dx * dx + dy * dy + dz * dz
			local pull = dt / (square * sqrt(square))
			a.vx = a.vx - dx * b.mass * pull
			a.vy = a.vy - dy * b.mass * pull
			a.vz = a.vz - dz * b.mass * pull
			b.vx = b.vx + dx * a.mass * pull
			b.vy = b.vy + dy * a.mass * pull
			b.vz = b.vz + dz * a.mass * pull
		end
	end
	for i = 1, 5 do
		local a = bodies[i]
		a.x = a.x + dt * a.vx
		a.y = a.y + dt * a.vy
		a.z = a.z + dt * a.vz
	end
end

for _ = 1, 200000 do
	advance(0.001)
end
assert(bodies[1].x == bodies[1].x)
