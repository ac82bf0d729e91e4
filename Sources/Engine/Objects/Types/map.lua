-- The type `map`: values by key. Answers are in the order of the keys.
local Map = object "map"
local text = text

--- map:new:NAME: an empty one.
function Map.new()
    return { entries = {}, size = 0 }
end

--- Puts a value under a key.
function Map:put(key, value)
    local entries = self.entries
    key, value = text(key, "key"), text(value, "value")
    local isNew = entries[key] == nil
    entries[key] = value
    if isNew then self.size = self.size + 1 end
    return "SUCCESS"
end

--- The key and its value, or NOT_FOUND.
function Map:get(key)
    local value = self.entries[text(key, "key")]
    if value == nil then return "NOT_FOUND" end
    return key .. " : " .. value
end

--- Forgets a key, whether or not it was there.
function Map:delete(key)
    local entries = self.entries
    key = text(key, "key")
    if entries[key] ~= nil then
        entries[key] = nil
        self.size = self.size - 1
    end
    return "SUCCESS"
end

--- How many keys there are.
function Map:count()
    return self.size
end

--- All keys.
function Map:getkeys()
    return lines(sorted_keys(self.entries))
end

--- All values, in the order of their keys.
function Map:getvalues()
    local values = {}
    for _, key in ipairs(sorted_keys(self.entries)) do values[#values + 1] = self.entries[key] end
    return lines(values)
end

--- All keys with their values.
function Map:getall()
    local all = {}
    for _, key in ipairs(sorted_keys(self.entries)) do all[#all + 1] = key .. " : " .. self.entries[key] end
    return lines(all)
end

Map.needs { put = 2, get = 1, delete = 1 }
Map.readonly { "get", "count", "getkeys", "getvalues", "getall" }
