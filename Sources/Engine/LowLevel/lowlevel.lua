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

math.mod = math.fmod
math.pow = function(base, exponent) return base ^ exponent end
math.log10 = function(number) return math.log(number, 10) end

-- MARK: Numbers as text

-- Numbers were all of one kind there, and written by 14 digits: 4 / 2 as 2, 1e15 as 1e+15. What `..`, tostring, the functions
-- of `string` and writeString make of a number is one thing.
local written, plain_format = tostring, string.format

local function numeral(value)
    if math.type(value) == "integer" and value > -100000000000000 and value < 100000000000000 then return written(value) end
    -- The float, so that an integer of 15 digits is written as one.
    return plain_format("%.14g", value + 0.0)
end

local function shown(value)
    if type(value) == "number" then return numeral(value) end
    return value
end

function tostring(value)
    if type(value) == "number" then return numeral(value) end
    return written(value)
end

local concat = table.concat

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

for _, name in ipairs { "byte", "find", "gmatch", "gsub", "len", "lower", "match", "rep", "reverse", "sub", "upper" } do
    local original = string[name]
    string[name] = function(text, ...) return original(shown(text), ...) end
end
-- Of these the second argument is a text, too; of the first one the third as well.
local gsub, find, match, gmatch = string.gsub, string.find, string.match, string.gmatch
function string.gsub(text, pattern, replacement, ...)
    local given = replacement
    if type(given) == "function" then replacement = function(...) return shown((given(...))) end end
    if type(given) == "table" then replacement = function(key) return shown(given[key]) end end
    return gsub(text, shown(pattern), shown(replacement), ...)
end
function string.find(text, pattern, ...) return find(text, shown(pattern), ...) end
function string.match(text, pattern, ...) return match(text, shown(pattern), ...) end
function string.gmatch(text, pattern) return gmatch(text, shown(pattern)) end
string.gfind = string.gmatch

-- `%s` of a number is its text; `%d` and its kind drop what is behind the point.
function string.format(template, ...)
    local arguments, at = table.pack(...), 0
    for kind in gmatch(gsub(template, "%%%%", ""), "%%[-+ #0-9.]*(%a)") do
        at = at + 1
        local value = arguments[at]
        if kind == "s" or kind == "q" then
            arguments[at] = shown(value)
        elseif find("cdiouxX", kind, 1, true) then
            value = tonumber(value) or value
            if math.type(value) == "float" and value - value == 0 then
                value = value < 0 and math.ceil(value) or math.floor(value)
            end
            arguments[at] = value
        end
    end
    return plain_format(template, table.unpack(arguments, 1, math.max(arguments.n, at)))
end

function table.concat(list, separator, from, to)
    local texts = {}
    from, to = from or 1, to or #list
    for at = from, to do texts[at] = shown(list[at]) end
    return concat(texts, shown(separator), from, to)
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
