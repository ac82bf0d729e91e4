-- The type `quota`: at most `limit` units in each calendar hour, day or month (UTC).
local Quota = object "quota"
Quota.pinned()
local whole = whole

-- What tells one window from the next; the count starts again when it changes.
local windows = {
    hour = function() return now() // 3600 end,
    day = function() return now() // 86400 end,
    month = function() return os.date("!%Y-%m", now()) end,
}

--- quota:new:NAME:LIMIT:PERIOD, the period being hour, day or month. In place of one that is there all units are free
--- again; quota:add leaves it as it is.
function Quota.new(limit, period)
    limit = towhole(limit)
    if not limit or limit < 0 or not windows[period] then return nil end
    return { limit = limit, period = period, window = windows[period](), used = 0 }
end

--- Takes `count` units (1 unless given) if all of them still fit, else none.
function Quota:addandcheck(count)
    count = count == nil and 1 or whole(count, "count")
    if count < 1 then error("count must be 1 or more, not " .. count) end
    local window = windows[self.period]()
    if window ~= self.window then
        self.window, self.used = window, 0
    end
    -- Not `used + count > limit`: that sum can overflow.
    if count > self.limit - self.used then return "QUOTA_EXCEEDED" end
    self.used = self.used + count
    return "QUOTA_OK"
end

--- All units are free again.
function Quota:reset()
    self.window, self.used = windows[self.period](), 0
    return "QUOTA_OK"
end

--- The units that are still free.
function Quota:getleft()
    return windows[self.period]() == self.window and self.limit - self.used or self.limit
end

-- When the window of now ends.
local ends = {
    hour = function() return (now() // 3600 + 1) * 3600 end,
    day = function() return (now() // 86400 + 1) * 86400 end,
    month = function()
        -- 32 days after the first of a month is a day of the next one.
        local today = now() // 86400
        local later = today - os.date("!*t", now()).day + 33
        return (later - os.date("!*t", later * 86400).day + 1) * 86400
    end,
}

--- The share of the limit that is used, 0 to 1. There is an index of it: index:top:quota.getshare:10.
function Quota:getshare()
    if self.limit == 0 then return 1 end
    if windows[self.period]() ~= self.window then return 0 end
    return self.used / self.limit, ends[self.period](), 0
end

Quota.needs { new = 2, addandcheck = 0 }
Quota.readonly { "getleft", "getshare" }
Quota.index { "getshare" }
