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

string.gfind = string.gmatch
math.mod = math.fmod
math.pow = function(base, exponent) return base ^ exponent end
math.log10 = function(number) return math.log(number, 10) end

-- Numbers were all of one kind there: 4 / 2 was written as 2.
local written = tostring
function tostring(value)
    if math.type(value) == "float" and value % 1 == 0 and value > -2 ^ 53 and value < 2 ^ 53 then
        return string.format("%d", value)
    end
    return written(value)
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
