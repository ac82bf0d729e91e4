-- The type `bloom`: whether a text was added; wrong only for one that was not, and that as rarely as asked for (Bloom, CACM
-- 1970; two hashes make all of them: Kirsch and Mitzenmacher, ESA 2006).
local Bloom = object "bloom"

local CAPACITY_MAX = 1000000

--- bloom:new:NAME[:CAPACITY[:ERROR]]: for so many texts, 10,000 unless given; ERROR is the share of wrong answers, 0.01.
function Bloom.new(capacity, share)
    capacity = capacity == nil and 10000 or towhole(capacity)
    share = share == nil and 0.01 or tonumeral(share)
    if not capacity or capacity < 1 or capacity > CAPACITY_MAX then return nil end
    if not share or not (share >= 1e-6 and share <= 0.5) then return nil end
    local bits = math.ceil(-capacity * math.log(share) / math.log(2) ^ 2)
    local words = {}
    for word = 1, bits // 64 + 1 do words[word] = 0 end
    return { bits = bits, hashes = math.max(1, math.floor(bits / capacity * math.log(2) + 0.5)), added = 0, words = words }
end

-- Whether all bits of a text are set; sets them when `words` is to be written.
local function visit(words, bits, hashes, item, isSetting)
    local first, step, isThere = hash(item) >> 1, hash(item, 1) >> 1 | 1, true
    for i = 0, hashes - 1 do
        local bit = ((first + i * step) & math.maxinteger) % bits
        local word, mask = bit // 64 + 1, 1 << (bit % 64)
        local value = words[word]
        if value & mask == 0 then
            isThere = false
            if not isSetting then return false end
            words[word] = value | mask
        end
    end
    return isThere
end

--- Adds a text: ADDED, or EXISTS where it (or others that look like it) had been.
function Bloom:add(item)
    if visit(self.words, self.bits, self.hashes, text(item, "item"), true) then return "EXISTS" end
    self.added = self.added + 1
    return "ADDED"
end

--- EXISTS when the text was probably added, NOT_FOUND when it certainly was not.
function Bloom:exist(item)
    return visit(self.words, self.bits, self.hashes, text(item, "item"), false) and "EXISTS" or "NOT_FOUND"
end

--- How many texts were added, those left out that looked like earlier ones.
function Bloom:count()
    return self.added
end

Bloom.needs { new = 0, add = 1, exist = 1 }
Bloom.readonly { "exist", "count" }
