-- The type `lock`: held by one at a time, and by nobody for longer than a lease. A token is larger than all before it, so
-- that whatever the lock protects can refuse a holder that came too late.
local Lock = object "lock"
Lock.pinned()

local SECONDS_MAX = 86400
-- A lock that `acquire` made stays so long after its lease, so that a holder who is late is told so.
local SECONDS_KEPT = 3600

--- lock:new:NAME: a free lock that stays; LOCKED where somebody holds it. No client needs it: acquire makes the lock.
function Lock.new()
    return { token = 0, until_ms = 0, owner = "" }
end

function Lock._brief()
    return { token = 0, until_ms = 0, owner = "", brief = true }
end

local function lease(seconds)
    seconds = number(seconds, "seconds")
    if seconds <= 0 or seconds > SECONDS_MAX then
        error("seconds must be more than 0, at most " .. SECONDS_MAX .. ", not " .. seconds, 2)
    end
    return nowms() + math.ceil(seconds * 1000)
end

-- Until then it is held.
local function hold(self, ends)
    self.until_ms = ends
    if self.brief then expire((ends - nowms()) / 1000 + SECONDS_KEPT) end
end

--- Takes the lock for SECONDS and answers the token; LOCKED when somebody has it. Makes the lock where there is none.
function Lock:acquire(seconds, owner)
    local ends = lease(seconds)
    owner = owner == nil and "" or text(owner, "owner")
    if nowms() < self.until_ms then return "LOCKED" end
    self.token, self.owner = ticket(self.token), owner
    hold(self, ends)
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
    hold(self, ends)
    return "RENEWED"
end

--- FREE, or as JSON the token, the owner and the milliseconds that are left.
function Lock:holder()
    local left = self.until_ms - nowms()
    if left <= 0 then return "FREE" end
    return { token = self.token, owner = self.owner, left_ms = left }
end

Lock.needs { acquire = 1, release = 1, renew = 2 }
Lock.makes { acquire = Lock._brief }
Lock.keeps(function(lock)
    if nowms() < lock.until_ms then return "LOCKED" end
end)
Lock.readonly { "holder" }
