-- The type `lock`: held by one at a time, and by nobody for longer than a lease. A token is larger than all before it, so
-- that whatever the lock protects can refuse a holder that came too late.
local Lock = object "lock"
Lock.pinned()

local SECONDS_MAX = 86400

--- lock:new:NAME: a free lock.
function Lock.new()
    return { token = 0, until_ms = 0, owner = "" }
end

local function lease(seconds)
    seconds = number(seconds, "seconds")
    if seconds <= 0 or seconds > SECONDS_MAX then error("seconds must be more than 0, at most " .. SECONDS_MAX) end
    return nowms() + math.ceil(seconds * 1000)
end

--- Takes the lock for SECONDS and answers the token; LOCKED when somebody has it.
function Lock:acquire(seconds, owner)
    local ends = lease(seconds)
    if nowms() < self.until_ms then return "LOCKED" end
    -- At least the time: also a lock that was dropped and made anew gives larger tokens than before.
    self.token = math.max(self.token + 1, nowms())
    self.until_ms, self.owner = ends, owner == nil and "" or text(owner, "owner")
    return self.token
end

local function is_held(self, token)
    return whole(token, "token") == self.token and nowms() < self.until_ms
end

--- Gives it back: RELEASED, or NOT_HELD when the token is not the holder's, or the lease is over.
function Lock:release(token)
    if not is_held(self, token) then return "NOT_HELD" end
    self.until_ms = 0
    return "RELEASED"
end

--- From now on SECONDS more: RENEWED, or NOT_HELD.
function Lock:renew(token, seconds)
    local ends = lease(seconds)
    if not is_held(self, token) then return "NOT_HELD" end
    self.until_ms = ends
    return "RENEWED"
end

--- FREE, or as JSON the token, the owner and the milliseconds that are left.
function Lock:holder()
    local left = self.until_ms - nowms()
    if left <= 0 then return "FREE" end
    return { token = self.token, owner = self.owner, left_ms = left }
end

Lock.readonly { "holder" }
