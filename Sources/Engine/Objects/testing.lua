-- What the tests of types, files *_test.lua, have besides what methods have, and `call` and `clock` of the host.

local tests = {}

-- A test: each begins with no objects, and at the same time of a clock of its own.
function test(name, body)
    if type(name) ~= "string" or type(body) ~= "function" then
        error('test needs a name and a function: test("name", function() ... end)', 2)
    end
    tests[#tests + 1] = { name = name, body = body }
end

local function same(a, b)
    if type(a) ~= "table" or type(b) ~= "table" then
        if a == nil or b == nil then return a == b end
        return tostring(a) == tostring(b)
    end
    for key, value in pairs(a) do
        if not same(value, b[key]) then return false end
    end
    for key in pairs(b) do
        if a[key] == nil then return false end
    end
    return true
end

local function shown(value)
    if type(value) == "table" then return json.encode(value) end
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

-- Ends the test unless both are the same: as text, tables by what they hold.
function expect(got, wanted)
    if not same(got, wanted) then error("got " .. shown(got) .. ", wanted " .. shown(wanted), 2) end
end

function test_names()
    local names = {}
    for index, one in ipairs(tests) do names[index] = one.name end
    return names
end

function run_test(index) tests[index].body() end
