-- The share of each carrier's arrivals in each month that were less than `late` minutes behind schedule.
job.about  = "On-time ratio by carrier and month"
job.params = { late = 15 }

function map(shard, p)
  return shard:frame("flights"):group("carrier", "month"):agg { arrivals = histogram("arr_delay", { p.late }) }
end

function finish(r)
  local carriers, rows = {}, {}
  for _, row in ipairs(r:rows()) do
    if not carriers[row.carrier] then
      carriers[row.carrier] = { carrier = row.carrier }
      rows[#rows + 1] = carriers[row.carrier]
      for month = 1, 12 do carriers[row.carrier][("m%02d"):format(month)] = "" end
    end
    local onTime, late = row.arrivals[1], row.arrivals[2]
    if onTime + late > 0 then
      carriers[row.carrier][("m%02d"):format(row.month)] = ("%.1f %%"):format(100 * onTime / (onTime + late))
    end
  end
  return rows
end
