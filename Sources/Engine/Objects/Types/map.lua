-- The type `map`: values by key. Answers are in the order of the keys.
local Map = object "map"

function Map.new()
    return { entries = {} }
end

function Map:put(key, value)
    self.entries[text(key, "key")] = text(value, "value")
    return "SUCCESS"
end

function Map:get(key)
    local value = self.entries[text(key, "key")]
    if value == nil then return "NOT_FOUND" end
    return key .. " : " .. value
end

function Map:delete(key)
    self.entries[text(key, "key")] = nil
    return "SUCCESS"
end

function Map:count()
    local count = 0
    for _ in pairs(self.entries) do count = count + 1 end
    return count
end

function Map:getkeys()
    return lines(sorted_keys(self.entries))
end

function Map:getvalues()
    local values = {}
    for _, key in ipairs(sorted_keys(self.entries)) do values[#values + 1] = self.entries[key] end
    return lines(values)
end

function Map:getall()
    local all = {}
    for _, key in ipairs(sorted_keys(self.entries)) do all[#all + 1] = key .. " : " .. self.entries[key] end
    return lines(all)
end

Map.readonly { "get", "count", "getkeys", "getvalues", "getall" }
