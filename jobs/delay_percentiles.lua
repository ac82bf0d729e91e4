-- How late flights leave each airport: what half of them, nine in ten and 99 in 100 do not exceed. Cancelled flights do
-- not count.
job.about  = "Percentiles of the departure delay by airport, in minutes"
job.params = { carrier = "" }

function map(shard, p)
  local flights = shard:frame("flights"):where("dep_delay", "notnull")
  if p.carrier ~= "" then flights = flights:where("carrier", "=", p.carrier) end
  return flights:group("origin"):agg {
    flights = count(),
    p50     = quantile("dep_delay", 0.5),
    p90     = quantile("dep_delay", 0.9),
    p99     = quantile("dep_delay", 0.99),
    worst   = max("dep_delay"),
  }
end

function finish(r) return r:sort("p99", "desc") end
