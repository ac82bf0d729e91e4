-- The type `swcounter`: the last `size` numbers added, and figures over them. Only numbers really added count; with none,
-- every figure is 0.
local SlidingWindow = object "swcounter"
local number = number

local SIZE_MAX = 100000

--- swcounter:new:NAME[:SIZE], 16 unless given.
function SlidingWindow.new(size)
    size = size == nil and 16 or towhole(size)
    if not size or size < 1 or size > SIZE_MAX then return nil end
    return { size = size, at = 0, values = {} }
end

--- Adds a number.
function SlidingWindow:add(value)
    value = number(value, "value")
    local at = self.at % self.size + 1
    self.values[at] = value
    self.at = at
    return "SUCCESS"
end

--- The last number.
function SlidingWindow:getlast()
    return self.values[self.at] or 0
end

--- The least of them.
function SlidingWindow:getmin()
    local least = self.values[1] or 0
    for _, value in ipairs(self.values) do least = math.min(least, value) end
    return least
end

--- The greatest of them.
function SlidingWindow:getmax()
    local greatest = self.values[1] or 0
    for _, value in ipairs(self.values) do greatest = math.max(greatest, value) end
    return greatest
end

--- Their average.
function SlidingWindow:getavg()
    local sum, count = 0.0, 0
    for _, value in ipairs(self.values) do sum, count = sum + value, count + 1 end
    if count == 0 then return 0 end
    if sum - sum == 0 then return sum / count end
    -- The sum is larger than a number may be; the average is not.
    local average = 0.0
    for _, value in ipairs(self.values) do average = average + value / count end
    return average
end

SlidingWindow.needs { new = 0, add = 1 }
SlidingWindow.readonly { "getlast", "getmin", "getmax", "getavg" }
