-- The type `session`: values by field, and an end: a session that nobody asks for goes after so many seconds.
local Session = object "session"

-- Ten years: what lives longer needs no end.
local SECONDS_MAX = 315360000

--- session:new:NAME[:SECONDS]: how long it lives without being used, 1800 unless given. In place of one that is there;
--- session:add leaves that as it is.
function Session.new(seconds)
    seconds = seconds == nil and 1800 or towhole(seconds)
    if not seconds or seconds < 1 or seconds > SECONDS_MAX then return nil end
    expire(seconds)
    return { seconds = seconds, since = now(), fields = {} }
end

--- Puts a value under a field.
function Session:put(field, value)
    expire(self.seconds)
    self.fields[text(field, "field")] = text(value, "value")
    return "SUCCESS"
end

--- The value of a field, or NOT_FOUND.
function Session:get(field)
    expire(self.seconds)
    local value = self.fields[text(field, "field")]
    if value == nil then return "NOT_FOUND" end
    return value
end

--- Forgets a field.
function Session:delete(field)
    expire(self.seconds)
    self.fields[text(field, "field")] = nil
    return "SUCCESS"
end

--- All fields, as JSON.
function Session:getall()
    expire(self.seconds)
    if next(self.fields) == nil then return "{}" end
    return self.fields
end

--- Nothing but another use.
function Session:touch()
    expire(self.seconds)
    return "SUCCESS"
end

--- The seconds since it was made. No use of it.
function Session:age()
    return now() - self.since
end

Session.needs { new = 0, put = 2, get = 1, delete = 1 }
Session.readonly { "age" }
