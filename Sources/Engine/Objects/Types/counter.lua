-- The type `counter`: one number, changed by adding to it.
local Counter = object "counter"

--- counter:new:NAME[:START], 0 unless given.
function Counter.new(start)
    return { value = start == nil and 0 or number(start, "start") }
end

-- Whole numbers stay whole: a sum that does not fit into 64 bits is refused, not wrapped around.
local function sum(value, amount)
    local total = value + amount
    if math.type(total) == "integer" and (amount >= 0) ~= (total >= value) then error("the counter is full", 2) end
    return total
end

--- Adds AMOUNT, 1 unless given, and answers the new value.
function Counter:add(amount)
    self.value = sum(self.value, amount == nil and 1 or number(amount, "amount"))
    return self.value
end

--- Takes AMOUNT away, 1 unless given, and answers the new value.
function Counter:sub(amount)
    self.value = sum(self.value, -(amount == nil and 1 or number(amount, "amount")))
    return self.value
end

--- The value.
function Counter:get()
    return self.value
end

--- Begins again at 0, and answers what the value was.
function Counter:reset()
    local value = self.value
    self.value = 0
    return value
end

Counter.readonly { "get" }
