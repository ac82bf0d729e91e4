-- The type `hll`: how many different texts there were, within about 1.6 %, in 7 KB (HyperLogLog, Flajolet and others 2007,
-- with the estimator of Ertl, "New cardinality estimation algorithms", 2017, which needs no tables).
local HyperLogLog = object "hll"

-- Ten registers of six bits to an integer.
local REGISTERS, BITS, MASK = 10, 6, 63

--- hll:new:NAME[:PRECISION]: 2^PRECISION registers, 4 to 14, 12 unless given; the error is 1.04 / 2^(PRECISION / 2).
function HyperLogLog.new(precision)
    precision = precision == nil and 12 or towhole(precision)
    if not precision or precision < 4 or precision > 14 then return nil end
    local words = {}
    for word = 1, (1 << precision) // REGISTERS + 1 do words[word] = 0 end
    return { precision = precision, words = words }
end

-- The number of the register and the rank that a text has in it.
local function place(item, precision)
    local bits = hash(item)
    local rest, rank = bits << precision, 1
    while rest > 0 and rank <= 64 - precision do rest, rank = rest << 1, rank + 1 end
    if rest == 0 then rank = 65 - precision end
    return bits >> (64 - precision), rank
end

local function raise(words, register, rank)
    local word, shift = register // REGISTERS + 1, register % REGISTERS * BITS
    local value = words[word]
    if (value >> shift) & MASK >= rank then return false end
    words[word] = value & ~(MASK << shift) | rank << shift
    return true
end

--- Takes in one text or several; CHANGED when the count may be higher now, SEEN otherwise.
function HyperLogLog:add(...)
    local changed = false
    for i = 1, select("#", ...) do
        local register, rank = place(text((select(i, ...)), "item"), self.precision)
        changed = raise(self.words, register, rank) or changed
    end
    return changed and "CHANGED" or "SEEN"
end

--- Takes in what another one has seen, of the same shard and precision.
function HyperLogLog:merge(other)
    local theirs = peek("hll", text(other, "name of the other one"))
    if theirs.precision ~= self.precision then error("the other one has another precision, " .. theirs.precision) end
    local words, others = self.words, theirs.words
    for register = 0, (1 << self.precision) - 1 do
        local word, shift = register // REGISTERS + 1, register % REGISTERS * BITS
        raise(words, register, (others[word] >> shift) & MASK)
    end
    return "SUCCESS"
end

local function sigma(x)
    if x == 1 then return math.huge end
    local y, z, before = 1, x, nil
    repeat
        x = x * x
        before, z, y = z, z + x * y, y + y
    until z == before
    return z
end

local function tau(x)
    if x == 0 or x == 1 then return 0 end
    local y, z, before = 1, 1 - x, nil
    repeat
        x, y = math.sqrt(x), y / 2
        before, z = z, z - (1 - x) ^ 2 * y
    until z == before
    return z / 3
end

--- The number of different texts, as a whole number.
function HyperLogLog:count()
    local ranks, size, left = {}, 1 << self.precision, 1 << self.precision
    for rank = 0, MASK do ranks[rank] = 0 end
    for _, word in ipairs(self.words) do
        for _ = 1, math.min(REGISTERS, left) do
            local rank = word & MASK
            ranks[rank], word = ranks[rank] + 1, word >> BITS
        end
        left = left - REGISTERS
    end
    local last = 64 - self.precision
    local z = size * tau(1 - ranks[last + 1] / size)
    for rank = last, 1, -1 do z = (z + ranks[rank]) / 2 end
    z = z + size * sigma(ranks[0] / size)
    return math.floor(size * size / (2 * math.log(2)) / z + 0.5)
end

HyperLogLog.needs { new = 0, add = 1, merge = 1 }
HyperLogLog.readonly { "count" }
