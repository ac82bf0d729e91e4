-- The share of flights that never left, by day of the week.
job.about  = "Cancelled flights by weekday"

local names = { "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday" }
local offsets = { 0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4 }

-- 1 for Monday (Sakamoto).
local function weekday(year, month, day)
  if month < 3 then year = year - 1 end
  local sunday = (year + year // 4 - year // 100 + year // 400 + offsets[month] + day) % 7
  return sunday == 0 and 7 or sunday
end

function map(shard)
  return shard:frame("flights"):group("year", "month", "day"):agg { flights = count(), left = count("dep_time") }
end

function finish(r)
  local days = {}
  for at, name in ipairs(names) do days[at] = { weekday = at .. " " .. name, flights = 0, cancelled = 0 } end
  for _, row in ipairs(r:rows()) do
    local day = days[weekday(row.year, row.month, row.day)]
    day.flights = day.flights + row.flights
    day.cancelled = day.cancelled + row.flights - row.left
  end
  for _, day in ipairs(days) do day.share = day.flights > 0 and day.cancelled / day.flights or 0 end
  return days
end
