-- The type `digest`: quantiles of a stream of numbers, each within 1 % of the true value (DDSketch, Masson and others, VLDB
-- 2019). Equal digests come of equal numbers, in any order.
local Digest = object "digest"

local ACCURACY, BUCKETS_MAX = 0.01, 4096
local GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
local LOG_GAMMA = math.log(GAMMA)
-- Smaller numbers count as zero.
local LEAST = 1e-12

--- digest:new:NAME.
function Digest.new()
    return { total = 0, sum = 0.0, zeros = 0, buckets = {}, kept = 0 }
end

-- The bucket of a number: its size's logarithm; negative ones are far below.
local OFFSET = 1 << 20

local function bucket(value)
    if value > 0 then return math.ceil(math.log(value) / LOG_GAMMA) + OFFSET end
    return -(math.ceil(math.log(-value) / LOG_GAMMA) + OFFSET)
end

local function middle(index)
    if index > 0 then return 2 * GAMMA ^ (index - OFFSET) / (GAMMA + 1) end
    return -2 * GAMMA ^ (-index - OFFSET) / (GAMMA + 1)
end

local function sorted_buckets(buckets)
    local indices = {}
    for index in pairs(buckets) do indices[#indices + 1] = index end
    table.sort(indices)
    return indices
end

-- Too many buckets: the lowest eighth becomes one. Only the lowest quantiles lose their accuracy.
local function collapse(self)
    local indices, buckets, sum = sorted_buckets(self.buckets), {}, 0
    local cut = #indices // 8
    for i = 1, cut do sum = sum + self.buckets[indices[i]] end
    for i = cut + 1, #indices do buckets[indices[i]] = self.buckets[indices[i]] end
    buckets[indices[cut + 1]] = buckets[indices[cut + 1]] + sum
    self.buckets, self.kept = buckets, #indices - cut
end

--- Takes in a number, COUNT times or once.
function Digest:add(value, count)
    value = number(value, "value")
    count = count == nil and 1 or whole(count, "count")
    if count < 1 then error("count must be 1 or more, not " .. count) end
    local sum = self.sum + value * count
    if count > math.maxinteger - self.total or sum == math.huge or sum == -math.huge then
        error("the digest is full: the count or the sum would not fit into 64 bits")
    end
    self.total, self.sum = self.total + count, sum
    if self.least == nil or value < self.least then self.least = value end
    if self.greatest == nil or value > self.greatest then self.greatest = value end
    if value > -LEAST and value < LEAST then
        self.zeros = self.zeros + count
        return "SUCCESS"
    end
    local index, buckets = bucket(value), self.buckets
    local before = buckets[index]
    buckets[index] = (before or 0) + count
    if before == nil then
        self.kept = self.kept + 1
        if self.kept > BUCKETS_MAX then collapse(self) end
    end
    return "SUCCESS"
end

--- The number below which a share of Q, from 0 to 1, lies; NOT_FOUND when there are no numbers.
function Digest:quantile(q)
    q = number(q, "q")
    if q < 0 or q > 1 then error("q must be from 0 to 1, not " .. q) end
    if self.total == 0 then return "NOT_FOUND" end
    if q == 0 then return self.least end
    if q == 1 then return self.greatest end
    local rank, seen, zeros = q * (self.total - 1), 0, self.zeros
    for _, index in ipairs(sorted_buckets(self.buckets)) do
        if index > 0 and zeros > 0 then
            seen = seen + zeros
            if seen > rank then return 0 end
            zeros = 0
        end
        seen = seen + self.buckets[index]
        if seen > rank then return math.max(self.least, math.min(self.greatest, middle(index))) end
    end
    return zeros > 0 and 0 or self.greatest
end

--- How many numbers there were.
function Digest:count()
    return self.total
end

--- The least of them, exactly.
function Digest:getmin()
    return self.least or "NOT_FOUND"
end

--- The greatest of them, exactly.
function Digest:getmax()
    return self.greatest or "NOT_FOUND"
end

--- Their average.
function Digest:getavg()
    return self.total == 0 and "NOT_FOUND" or self.sum / self.total
end

Digest.needs { add = 1, quantile = 1 }
Digest.readonly { "quantile", "count", "getmin", "getmax", "getavg" }
