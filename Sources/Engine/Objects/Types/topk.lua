-- The type `topk`: the most frequent texts of a stream, in bounded memory. Counts are never too high, and too low by at
-- most `error` (Misra and Gries' summary, pruned in batches as in "Mergeable Summaries", PODS 2012).
local TopK = object "topk"

local SIZE_MAX = 1000

--- topk:new:NAME[:SIZE]: how many to keep track of, 10 unless given, 1,000 at most.
function TopK.new(size)
    size = size == nil and 10 or towhole(size)
    if not size or size < 1 or size > SIZE_MAX then return nil end
    return { size = size, room = math.max(10 * size, 100), kept = 0, error = 0, total = 0, counts = {} }
end

-- Takes the count of the first text that has no room from all of them: those below it go.
local function prune(self)
    local sorted = {}
    for _, count in pairs(self.counts) do sorted[#sorted + 1] = count end
    table.sort(sorted, function(a, b) return a > b end)
    local taken, counts, kept = sorted[self.room + 1], {}, 0
    for text, count in pairs(self.counts) do
        if count > taken then counts[text], kept = count - taken, kept + 1 end
    end
    self.counts, self.kept, self.error = counts, kept, self.error + taken
end

--- Counts a text, COUNT times or once.
function TopK:add(item, count)
    item = text(item, "item")
    count = count == nil and 1 or whole(count, "count")
    if count < 1 then error("count must be 1 or more, not " .. count) end
    -- No text's count is above the total.
    if count > math.maxinteger - self.total then error("the counts are full: " .. self.total .. " is counted in all") end
    local counts = self.counts
    local before = counts[item]
    counts[item] = (before or 0) + count
    self.total = self.total + count
    if before == nil then
        self.kept = self.kept + 1
        -- Twice the room before any work: pruning costs little a text then.
        if self.kept >= 2 * self.room then prune(self) end
    end
    return "SUCCESS"
end

--- The most frequent texts as JSON: `item`, `count`, and `error`, by which the true count may be higher.
function TopK:get(size)
    size = size == nil and self.size or whole(size, "size")
    if size < 0 then error("size must be 0 or more, not " .. size) end
    local ranked = {}
    for item, count in pairs(self.counts) do ranked[#ranked + 1] = { item = item, count = count, error = self.error } end
    table.sort(ranked, function(a, b)
        if a.count ~= b.count then return a.count > b.count end
        return a.item < b.item
    end)
    return table.move(ranked, 1, math.min(size, #ranked), 1, {})
end

--- What is known of a text's count; 0 when it is not among the frequent ones.
function TopK:count(item)
    return self.counts[text(item, "item")] or 0
end

--- How much was counted in all.
function TopK:gettotal()
    return self.total
end

TopK.needs { new = 0, get = 0, add = 1, count = 1 }
TopK.readonly { "get", "count", "gettotal" }
