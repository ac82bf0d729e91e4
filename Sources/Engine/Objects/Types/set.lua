-- The type `set`: members, each once. Answers are in sorted order.
local Set = object "set"
local text = text

--- set:new:NAME: an empty one.
function Set.new()
    return { members = {}, size = 0 }
end

--- Puts a member in.
function Set:put(member)
    local members = self.members
    member = text(member, "member")
    if members[member] == nil then
        members[member] = true
        self.size = self.size + 1
    end
    return "SUCCESS"
end

--- EXISTS, or NOT_FOUND.
function Set:exist(member)
    return self.members[text(member, "member")] and "EXISTS" or "NOT_FOUND"
end

--- Takes a member out, whether or not it was there.
function Set:delete(member)
    local members = self.members
    member = text(member, "member")
    if members[member] ~= nil then
        members[member] = nil
        self.size = self.size - 1
    end
    return "SUCCESS"
end

--- How many members there are.
function Set:count()
    return self.size
end

--- All members.
function Set:getall()
    return lines(sorted_keys(self.members))
end

--- The members of this set or of any of the others, objects of the same shard.
function Set:union(...)
    local all = {}
    for member in pairs(self.members) do all[member] = true end
    for i = 1, select("#", ...) do
        local other = peek("set", text((select(i, ...)), "name of the other set"))
        for member in pairs(other.members) do all[member] = true end
    end
    return lines(sorted_keys(all))
end

--- The members that this set and all of the others share.
function Set:intersection(...)
    local shared = {}
    for member in pairs(self.members) do shared[member] = true end
    for i = 1, select("#", ...) do
        local theirs = peek("set", text((select(i, ...)), "name of the other set")).members
        for member in pairs(shared) do
            if not theirs[member] then shared[member] = nil end
        end
    end
    return lines(sorted_keys(shared))
end

Set.needs { put = 1, exist = 1, delete = 1, union = 1, intersection = 1 }
Set.readonly { "exist", "count", "getall", "union", "intersection" }
