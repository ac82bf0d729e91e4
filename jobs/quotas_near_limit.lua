-- Who is about to run out: quotas of which at least `share` is used in the current hour, day or month.
job.about  = "Quotas near their limit"
job.params = { share = 0.8, limit = 20 }

local windows = {
  hour  = function() return now() // 3600 end,
  day   = function() return now() // 86400 end,
  month = function() return os.date("!%Y-%m", now() // 1) end,
}

function map(shard, p)
  local found, cursor = {}, nil
  repeat
    local objects
    objects, cursor = shard:objects("quota", cursor)
    for _, object in ipairs(objects) do
      local quota = object.state
      local used = quota.window == windows[quota.period]() and quota.used or 0
      if quota.limit > 0 and used / quota.limit >= p.share then
        found[#found + 1] = { quota = object.name, used = used, limit = quota.limit, period = quota.period }
      end
    end
  until not cursor
  return found
end

function reduce(a, b)
  for _, quota in ipairs(b) do a[#a + 1] = quota end
  return a
end

function finish(found, p)
  table.sort(found, function(a, b)
    local x, y = a.used / a.limit, b.used / b.limit
    if x ~= y then return x > y end
    return a.quota < b.quota
  end)
  while #found > p.limit do found[#found] = nil end
  return found
end
