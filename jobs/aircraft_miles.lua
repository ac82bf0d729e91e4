-- The aircraft that flew the most miles: how often, to how many airports, and to which ones mostly.
job.about  = "Aircraft by miles flown"
job.params = { limit = 10, favourites = 3 }

function map(shard, p)
  return shard:frame("flights"):where("tailnum", "notnull"):where("air_time", "notnull"):group("tailnum"):agg {
    miles    = sum("distance"),
    flights  = count(),
    airports = distinct("dest"),
    mostly   = topk("dest", p.favourites),
    since    = first("origin", "time_hour"),
  }
end

function finish(r, p)
  local rows = r:sort("miles", "desc"):limit(p.limit):rows()
  for _, row in ipairs(rows) do
    local words = {}
    for _, top in ipairs(row.mostly) do words[#words + 1] = top.value .. " " .. top.count end
    row.mostly = table.concat(words, ", ")
  end
  return rows
end
