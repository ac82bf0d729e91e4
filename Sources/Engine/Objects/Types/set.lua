-- The type `set`: members, each once. Answers are in sorted order.
local Set = object "set"

function Set.new()
    return { members = {} }
end

function Set:put(member)
    self.members[text(member, "member")] = true
    return "SUCCESS"
end

function Set:exist(member)
    return self.members[text(member, "member")] and "EXISTS" or "NOT_FOUND"
end

function Set:delete(member)
    self.members[text(member, "member")] = nil
    return "SUCCESS"
end

function Set:count()
    local count = 0
    for _ in pairs(self.members) do count = count + 1 end
    return count
end

function Set:getall()
    return lines(sorted_keys(self.members))
end

-- The members of this set or of the other one, an object of the same shard.
function Set:union(other)
    local all = {}
    for member in pairs(self.members) do all[member] = true end
    for member in pairs(peek("set", text(other, "name of the other set")).members) do all[member] = true end
    return lines(sorted_keys(all))
end

-- The members that this set and the other one share.
function Set:intersection(other)
    local theirs, both = peek("set", text(other, "name of the other set")).members, {}
    for member in pairs(self.members) do
        if theirs[member] then both[member] = true end
    end
    return lines(sorted_keys(both))
end

Set.readonly { "exist", "count", "getall", "union", "intersection" }
