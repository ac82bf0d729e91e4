-- What the cache holds: keys, memory and expiry by what keys begin with, up to the first colon. Walks over all keys in
-- slices; clients go on meanwhile.
job.about  = "Keys of the cache by prefix: how many, their bytes, how many expire, the longest time to live in hours"
job.params = { prefix = "", limit = 20 }

local function add(sums, name, keys, bytes, expiring, ttl)
  local sum = sums[name] or { keys = 0, bytes = 0, expiring = 0, ttl = 0 }
  sum.keys, sum.bytes, sum.expiring = sum.keys + keys, sum.bytes + bytes, sum.expiring + expiring
  sum.ttl = math.max(sum.ttl, ttl)
  sums[name] = sum
end

function map(shard, p)
  local sums, cursor = {}, nil
  repeat
    local keys
    keys, cursor = shard:keys(p.prefix, cursor)
    for _, item in ipairs(keys) do
      local colon = item.key:find(":", 1, true)
      add(sums, colon and item.key:sub(1, colon) or "", 1, item.bytes, item.ttl and 1 or 0, item.ttl or 0)
    end
  until not cursor
  return sums
end

function reduce(a, b)
  for name, sum in pairs(b) do add(a, name, sum.keys, sum.bytes, sum.expiring, sum.ttl) end
  return a
end

function finish(sums, p)
  local rows = {}
  for name, sum in pairs(sums) do
    rows[#rows + 1] = {
      prefix = name, keys = sum.keys, bytes = sum.bytes, expiring = sum.expiring, hours = math.ceil(sum.ttl / 3600),
    }
  end
  table.sort(rows, function(a, b)
    if a.bytes ~= b.bytes then return a.bytes > b.bytes end
    return a.prefix < b.prefix
  end)
  while #rows > p.limit do rows[#rows] = nil end
  return rows
end
