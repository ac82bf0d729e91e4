-- The built-in type `session`, which lives as long as it is used.

test("each use makes it live on, its age does not", function()
    expect(call("session:new:s:60"), "CREATED")
    expect(call("session:put:s:name", "alice"), "SUCCESS")
    for _ = 1, 5 do
        clock(59)
        expect(call("session:get:s:name"), "alice")
    end
    expect(call("session:age:s"), 295)
    clock(30)
    expect(call("session:age:s"), 325)
    clock(30)
    expect(call("session:age:s"), "ERROR_CACHE_MISS")
end)

test("add leaves one that is there as it is, new replaces it", function()
    call("session:new:s:60")
    call("session:put:s:a:1")
    expect(call("session:add:s"), "EXISTS")
    expect(call("session:getall:s"), '{"a":"1"}')
    expect(call("session:new:s:60"), "CREATED")
    expect(call("session:get:s:a"), "NOT_FOUND")
end)
