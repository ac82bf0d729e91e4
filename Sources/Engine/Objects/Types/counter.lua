-- The type `counter`: one number, changed by adding to it.
local Counter = object "counter"
-- As locals they are found faster.
local number, huge, kind = number, math.huge, math.type

--- counter:new:NAME[:START], 0 unless given.
function Counter.new(start)
    return { value = start == nil and 0 or number(start, "start") }
end

-- Whole numbers stay whole: what does not fit into 64 bits is refused, not wrapped around, nor made infinite.
local function refuse(value)
    error("the counter is full: it stays at " .. value, 3)
end

-- Whole numbers beyond 2^53 that a number with a fraction would round.
local function isLarge(value)
    return kind(value) == "integer" and (value > 1 << 53 or value < -(1 << 53))
end

-- Nor is what a number with a fraction has no digits for dropped.
local function checkFraction(value, amount, total)
    if total == huge or total == -huge then
        error("the counter is full: it stays at " .. value, 4)
    elseif isLarge(value) or isLarge(amount) then
        error("a whole number beyond 2^53 would be rounded by one with a fraction: the counter stays at " .. value, 4)
    elseif total == value and amount ~= 0 then
        error(amount .. " is too small to change the counter: it stays at " .. value, 4)
    end
end

local function sum(value, amount)
    local total = value + amount
    if kind(total) == "integer" then
        if (amount >= 0) ~= (total >= value) then refuse(value) end
    else
        checkFraction(value, amount, total)
    end
    return total
end

-- Not the sum with -amount: the least integer has no opposite.
local function difference(value, amount)
    local total = value - amount
    if kind(total) == "integer" then
        if (amount >= 0) ~= (total <= value) then refuse(value) end
    else
        checkFraction(value, amount, total)
    end
    return total
end

--- Adds AMOUNT, 1 unless given, and answers the new value.
function Counter:add(amount)
    self.value = sum(self.value, amount == nil and 1 or number(amount, "amount"))
    return self.value
end

--- Takes AMOUNT away, 1 unless given, and answers the new value.
function Counter:sub(amount)
    self.value = difference(self.value, amount == nil and 1 or number(amount, "amount"))
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

Counter.needs { new = 0, add = 0, sub = 0 }
Counter.readonly { "get" }
