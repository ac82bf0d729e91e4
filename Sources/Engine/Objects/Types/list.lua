-- The type `list`: the last `size` texts that were put, the newest first.
local List = object "list"

local SIZE_MAX = 100000

--- list:new:NAME[:SIZE], 10 unless given, 100,000 at most.
function List.new(size)
    size = size == nil and 10 or towhole(size)
    if not size or size < 1 or size > SIZE_MAX then return nil end
    return { size = size, at = 0, _count = 0, items = {} }
end

--- Puts a text before the others, and answers how many are kept. The oldest goes when there is no room.
function List:put(item)
    -- A ring: `at` is the place of the newest.
    local at = self.at % self.size + 1
    self.items[at], self.at = text(item, "item"), at
    local kept = self._count
    if kept < self.size then
        kept = kept + 1
        self._count = kept
    end
    return kept
end

-- The i-th newest.
local function item(items, at, size, i)
    return items[(at - i) % size + 1]
end

--- The newest COUNT texts, all unless given, as JSON.
function List:get(count)
    local kept = self._count
    count = count == nil and kept or whole(count, "count")
    if count < 0 then error("count must be 0 or more, not " .. count) end
    count = math.min(count, kept)
    local found, items, at, size = {}, self.items, self.at, self.size
    for i = 1, count do found[i] = item(items, at, size, i) end
    return found
end

--- All texts, the newest first, each followed by an end of line.
function List:getall()
    return lines(self:get())
end

--- The newest text, or NOT_FOUND.
function List:getlast()
    return self.items[self.at] or "NOT_FOUND"
end

--- How many texts are kept.
function List:count()
    return self._count
end

--- Forgets them all.
function List:clear()
    self.at, self._count, self.items = 0, 0, {}
    return "SUCCESS"
end

List.needs { new = 0, put = 1, get = 0 }
List.readonly { "get", "getall", "getlast", "count" }
