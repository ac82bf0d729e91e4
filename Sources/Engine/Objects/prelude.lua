-- What every type file can use beside the sandbox: the declaration, lists as text.

declared = {}

-- Declares the file's type. Its functions are the methods, `new` the constructor; names with a leading `_` are private.
function object(name)
    local declaration = {
        name = name, methods = {}, readonly = {}, indexes = {}, defaults = {}, needs = {}, makes = {}, pinned = false,
    }
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
        -- How many arguments a method has to be given, by its name; the others may be missing, and are nil then.
        needs = function(counts)
            for name, count in pairs(counts) do declaration.needs[name] = count end
        end,
        -- By a method's name a constructor without arguments: a call on an object that is not there makes it first.
        makes = function(constructors)
            for name, constructor in pairs(constructors) do declaration.makes[name] = constructor end
        end,
        -- Looks at an object that `new` would replace: what it returns is answered instead, and the object stays; nil lets go.
        keeps = function(check) declaration.keeps = check end,
        -- Its objects are never evicted.
        pinned = function() declaration.pinned = true end,
    }
    declared[#declared + 1] = declaration
    return setmetatable(declaration.methods, { __index = declarers })
end

-- The constructor of a type that has none, but defaults.
function new_of_defaults() return {} end

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
