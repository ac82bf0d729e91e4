-- What scripts for the low-level interface find beside it: helpers for tables kept in the cache, and what Lua 5.1 had.

-- MARK: Lua 5.1

function table.getn(list) return #list end

function table.maxn(list)
    local greatest = 0
    for key in pairs(list) do
        if type(key) == "number" and key > greatest then greatest = key end
    end
    return greatest
end

function table.foreach(list, visit)
    for key, value in pairs(list) do
        local result = visit(key, value)
        if result ~= nil then return result end
    end
end

function table.foreachi(list, visit)
    for index, value in ipairs(list) do
        local result = visit(index, value)
        if result ~= nil then return result end
    end
end

-- MARK: Numbers as text

-- Numbers were all doubles there, and written by 14 digits: 4 / 2 as 2, 1e15 as 1e+15. What `..`, tostring, the functions
-- of `string` and writeString make of a number is one thing.
local written, plain_format, concat, plain_unpack = tostring, string.format, table.concat, table.unpack
local plain_floor, plain_ceil, sub, match, lower = math.floor, math.ceil, string.sub, string.match, string.lower

local function numeral(value)
    if math.type(value) == "integer" and value > -100000000000000 and value < 100000000000000 then return written(value) end
    -- The float, so that an integer of 15 digits is written as one.
    return plain_format("%.14g", math.type(value) == "integer" and value + 0.0 or value)
end

local function shown(value)
    if type(value) == "number" then return numeral(value) end
    return value
end

function tostring(value)
    if type(value) == "number" then return numeral(value) end
    return written(value)
end

-- Each `a .. b` of a script is a call of this (see LowLevelConcatenation.swift).
function lua51_join(...)
    local parts, count, isText = { ... }, select("#", ...), true
    for at = 1, count do
        local part = shown(parts[at])
        parts[at] = part
        if type(part) ~= "string" then isText = false end
    end
    if isText then return concat(parts) end
    local joined = parts[count]
    for at = count - 1, 1, -1 do
        local left = parts[at]
        for _, part in pairs { left == nil and "nil" or type(left), joined == nil and "nil" or type(joined) } do
            if part ~= "string" and part ~= "table" and part ~= "userdata" then
                error("attempt to concatenate a " .. part .. " value", 2)
            end
        end
        joined = left .. joined
    end
    return joined
end

local plain_select = select

-- A position or a count: what is behind its point is dropped, as a C cast does.
local function whole(value)
    local number = tonumber(value)
    if math.type(number) ~= "float" then return number or value end
    if number ~= number or number >= 0x1p63 or number < -0x1p63 then return math.mininteger end
    return math.tointeger(number < 0 and plain_ceil(number) or plain_floor(number))
end

-- The functions of Lua 5.4 with texts for numbers where a text is to be, and whole numbers where a position is to be.
local function adapt(library, name, kinds)
    local original, last = library[name], #kinds
    library[name] = function(...)
        local arguments, count = { ... }, plain_select("#", ...)
        for at = 1, count do
            local place = at < last and at or last
            local kind = sub(kinds, place, place)
            if kind == "s" then
                arguments[at] = shown(arguments[at])
            elseif kind == "i" then
                arguments[at] = whole(arguments[at])
            end
        end
        return original(plain_unpack(arguments, 1, count))
    end
end

local gsub, find, gmatch = string.gsub, string.find, string.gmatch
for name, kinds in pairs {
    byte = "si", char = "i", find = "ssix", gmatch = "ss", len = "s", lower = "s", match = "ssi", rep = "sis", reverse = "s",
    sub = "si", upper = "s",
} do
    adapt(string, name, kinds)
end
string.gfind = string.gmatch

function string.gsub(text, pattern, replacement, ...)
    local given = replacement
    if type(given) == "function" then replacement = function(...) return shown((given(...))) end end
    if type(given) == "table" then replacement = function(key) return shown(given[key]) end end
    return gsub(shown(text), shown(pattern), shown(replacement), whole((...)))
end

-- The 64 bits that C made of a number that is to be unsigned.
local function bits(number)
    if number >= 0x1p64 then return 0 end
    return number >= 0x1p63 and math.tointeger(number - 0x1p63) + math.mininteger or whole(number)
end

local function unsigned(number)
    local whole = bits(number)
    if whole >= 0 then return written(whole) end
    local tens = (whole >> 1) // 5
    return written(tens) .. written(whole - tens * 10)
end

-- `%s` of a number is its text; `%d` and its kind drop what is behind the point.
function string.format(template, ...)
    local arguments, at = table.pack(...), 0
    template = gsub(shown(template), "%%([-+ #0-9.]*)(.)", function(flags, kind)
        if kind == "%" then return nil end
        at = at + 1
        local value = arguments[at]
        if kind == "s" or kind == "q" then
            arguments[at] = shown(value)
        elseif find("cdi", kind, 1, true) then
            arguments[at] = whole(value)
        elseif find("ouxX", kind, 1, true) and tonumber(value) then
            arguments[at] = kind == "u" and unsigned(tonumber(value)) or bits(tonumber(value))
            -- There is no `%u` any more, and texts are not filled up with zeros.
            if kind == "u" then return "%" .. gsub(flags, "[+ #0]*", "", 1) .. "s" end
        end
        return nil
    end)
    return plain_format(template, plain_unpack(arguments, 1, at > arguments.n and at or arguments.n))
end

function table.concat(list, separator, from, to)
    local texts = {}
    from, to = whole(from or 1), whole(to or #list)
    for at = from, to do texts[at] = shown(list[at]) end
    return concat(texts, shown(separator), from, to)
end

-- MARK: Doubles

local plain_error, plain_tonumber, plain_next = error, tonumber, next

-- A message that is a number becomes a text where the position is put before it.
function error(message, level)
    level = whole(level or 1)
    if type(message) == "number" and level ~= 0 then message = numeral(message) end
    plain_error(type(message) == "number" and math.tointeger(message) or message, level == 0 and 0 or level + 1)
end

function assert(...)
    local condition, message = ...
    if condition then return ... end
    if type(message) ~= "string" and type(message) ~= "number" and message ~= nil then plain_error(message, 0) end
    plain_error(message == nil and "assertion failed!" or shown(message), 2)
end

local names = { inf = math.huge, infinity = math.huge, nan = 0 / 0 }

function tonumber(value, base)
    base = base and whole(base)
    if base and base ~= 10 then
        local number = plain_tonumber(shown(value), base)
        -- As strtoul reads a minus.
        return number and (number < 0 and 0x1p64 or 0.0) + number
    end
    if base then value = shown(value) end
    local number = plain_tonumber(value)
    if math.type(number) then return number + 0.0 end
    if type(value) ~= "string" then return nil end
    local sign, name = match(value, "^%s*([-+]?)(%a+)%s*$")
    number = name and names[lower(name)]
    return number and (sign == "-" and -number or number)
end

-- For the bounds of loops: what is no number stays, and Lua says so.
function lua51_number(value)
    if math.type(value) == "float" then return value end
    return type(value) == "string" and tonumber(value) or type(value) == "number" and value + 0.0 or value
end

local held = {}

-- Each `a % b` of a script is `a % lua51_remainder % b` (see LowLevelNumbers.swift).
function held.__mod(left, right)
    if right == lua51_remainder then return setmetatable({ left }, held) end
    left = left[1]
    local dividend, divisor = lua51_number(left), lua51_number(right)
    if type(dividend) == "number" and type(divisor) == "number" then
        local quotient = dividend / divisor
        -- An integer's quotient rounds to one, and a float may be beyond integers.
        return dividend - (quotient // 1.0) * divisor
    end
    local other = type(right) == "table" and getmetatable(right)
    if type(other) == "table" and other.__mod then return (other.__mod(left, right)) end
    local culprit = type(dividend) == "number" and right or left
    plain_error("attempt to perform arithmetic on a " .. type(culprit) .. " value", 2)
end

lua51_remainder = setmetatable({}, held)

-- A key that is a whole number is an integer to Lua 5.4.
local function double(key)
    if math.type(key) == "integer" then return key + 0.0 end
    return key
end

function next(list, key)
    if math.type(key) == "float" then key = math.tointeger(key) or key end
    local found, value = plain_next(list, key)
    return double(found), value
end

function pairs(list)
    local _ = plain_next(list)
    return next, list, nil
end

for _, name in plain_next, { "abs", "fmod", "floor", "ceil", "max", "min" } do
    local original = math[name]
    math[name] = function(first, second, ...)
        first, second = lua51_number(first), lua51_number(second)
        if name == "floor" or name == "ceil" then
            local result = original(first) + 0.0
            -- The sign of a zero is the number's.
            return result == 0 and first * 0.0 or result
        end
        if name == "abs" then return original(first) end
        if second == nil then return original(first) end
        return original(first, second, ...)
    end
end
adapt(math, "random", "i")
do
    local insert = table.insert
    function table.insert(list, at, ...)
        if plain_select("#", ...) == 0 then return insert(list, at) end
        return insert(list, whole(at), ...)
    end
end
adapt(table, "remove", "xi")
adapt(table, "unpack", "xi")
unpack = table.unpack
function select(from, ...) return plain_select(from == "#" and from or whole(from), ...) end
math.mod = math.fmod
function math.pow(base, exponent) return lua51_number(base) ^ lua51_number(exponent) end
function math.log10(number) return math.log(number, 10) end
function math.atan2(y, x) return math.atan(y, x) end
function math.ldexp(fraction, exponent) return fraction * 2.0 ^ whole(exponent) end
function math.sinh(x) return (math.exp(x) - math.exp(-x)) / 2 end
function math.cosh(x) return (math.exp(x) + math.exp(-x)) / 2 end
function math.tanh(x) return x > 20 and 1.0 or x < -20 and -1.0 or 1 - 2 / (math.exp(2 * x) + 1) end
function math.frexp(number)
    if number == 0 or number ~= number or number - number ~= 0 then return number, 0.0 end
    local exponent = 0.0
    while math.abs(number) >= 1 do number, exponent = number / 2, exponent + 1 end
    while math.abs(number) < 0.5 do number, exponent = number * 2, exponent - 1 end
    return number, exponent
end

-- MARK: Tables

function table.clone(...)
    -- Also called as a method of `table`.
    local list = select(select("#", ...), ...)
    if type(list) ~= "table" then return list end
    local copy = {}
    for key, value in pairs(list) do copy[key] = table.clone(value) end
    return copy
end

-- MARK: Helpers

-- Answers a value under a key, as a get does.
function writeStringAsValue(command, key, value)
    value = tostring(value)
    command:writeString(string.format("VALUE %s 0 %d\r\n%s\r\n", key, #value, value))
end

local MISS = "ERROR_CACHE_MISS"

local function place(objectType, name) return objectType .. "$" .. tostring(name) end

-- The table kept under a type and a name; nil when there is none.
local function fetch(objectType, name)
    local item = getHashMap():get(place(objectType, name))
    return item and table.unmarshal(item:getData())
end

local function keep(command, objectType, name, object)
    command:setKey(place(objectType, name))
    command:setData(table.marshal(object))
    getHashMap():put(command:newCacheItem())
end

-- Makes what `make` returns the object of that name, in place of one that is there.
function executeNew(command, originalKey, objectType, cacheKey, make, ...)
    getHashMap():delete(place(objectType, cacheKey))
    local object = make(...)
    if object == nil then return writeStringAsValue(command, originalKey, "NOT_CREATED") end
    keep(command, objectType, cacheKey, object)
    writeStringAsValue(command, originalKey, "CREATED")
end

-- Answers what `look` returns for the object.
function executeReadOnly(command, originalKey, objectType, cacheKey, look, ...)
    local object = fetch(objectType, cacheKey)
    writeStringAsValue(command, originalKey, object == nil and MISS or look(object, ...))
end

-- Answers what `change` returns for the object, and keeps what it made of it.
function executeReadWrite(command, originalKey, objectType, cacheKey, change, ...)
    local object = fetch(objectType, cacheKey)
    if object == nil then return writeStringAsValue(command, originalKey, MISS) end
    local answer = change(object, ...)
    keep(command, objectType, cacheKey, object)
    writeStringAsValue(command, originalKey, answer)
end

-- The parts of a text between colons.
function split(text)
    local parts = {}
    for part in string.gmatch(text .. ":", "([^:]*):") do parts[#parts + 1] = part end
    return parts
end

-- The handler that a key names and its arguments; nil when it names none.
function getVirtualKeyHandler(key)
    local parts = split(key)
    local handlers = _G[parts[1]]
    local handler = type(handlers) == "table" and parts[2] and handlers[parts[2]]
    if not handler then return nil, nil end
    return handler, table.move(parts, 3, #parts, 1, {})
end

-- Writes the item of a key, if there is one.
function handleGET(command, key)
    local item = getHashMap():get(key)
    if item then command:writeCacheItem(item) end
end
