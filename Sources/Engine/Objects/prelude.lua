-- What every type file can use beside the sandbox: the declaration, checks that name the argument, lists as text.

declared = {}

-- As locals they are found faster than in the sandbox's tables.
local tostring, tonumber, tointeger, huge = tostring, tonumber, math.tointeger, math.huge

-- Declares the file's type. Its functions are the methods, `new` the constructor; names with a leading `_` are private.
function object(name)
    local declaration = { name = name, methods = {}, readonly = {}, indexes = {}, defaults = {}, pinned = false }
    -- Read through the table of methods, so that a method may have one of these names.
    local declarers = {
        -- Names of the methods that write nothing.
        readonly = function(names)
            for _, name in ipairs(names) do declaration.readonly[name] = true end
        end,
        -- Names of readonly methods whose answer, a number, orders the objects: `index:top:TYPE.METHOD:10`.
        index = function(names)
            for _, name in ipairs(names) do declaration.indexes[name] = true end
        end,
        -- What a field is that an object does not have: plain values by name.
        defaults = function(values)
            for field, value in pairs(values) do declaration.defaults[field] = value end
        end,
        -- Its objects are never evicted.
        pinned = function() declaration.pinned = true end,
    }
    declared[#declared + 1] = declaration
    return setmetatable(declaration.methods, { __index = declarers })
end

-- The constructor of a type that has none, but defaults.
function new_of_defaults() return {} end

-- For error messages: short, in quotes.
local function quoted(argument)
    if argument == nil then return "missing" end
    local shown = tostring(argument)
    if #shown > 40 then shown = shown:sub(1, 40) .. "…" end
    return "'" .. shown .. "'"
end

-- The argument as a finite number; raises when it is none.
function number(argument, name)
    local value = tonumber(argument)
    if not value or value ~= value or value == huge or value == -huge then
        error(name .. " must be a number, not " .. quoted(argument), 2)
    end
    return value
end

-- The argument as an integer.
function whole(argument, name)
    local value = tointeger(tonumber(argument))
    if not value then error(name .. " must be a whole number, not " .. quoted(argument), 2) end
    return value
end

-- The argument as a string; raises when it is missing.
function text(argument, name)
    if argument == nil then error(name .. " is missing", 2) end
    return tostring(argument)
end

-- Each element followed by an end of line.
function lines(elements)
    if #elements == 0 then return "" end
    return table.concat(elements, "\r\n") .. "\r\n"
end

function sorted_keys(entries)
    local keys = {}
    for key in pairs(entries) do keys[#keys + 1] = key end
    table.sort(keys)
    return keys
end
