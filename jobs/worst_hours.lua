-- The hours of the day to avoid: the worst mean departure delays by airport and scheduled hour, where enough flights leave.
job.about  = "The hours with the worst mean departure delay, by airport"
job.params = { min_flights = 1000, limit = 10 }

function map(shard)
  return shard:frame("flights"):group("origin", "hour"):agg {
    flights = count("dep_delay"),
    delay   = avg("dep_delay"),
    p95     = quantile("dep_delay", 0.95),
  }
end

function finish(r, p)
  return r:having("flights", ">=", p.min_flights):sort("delay", "desc"):limit(p.limit)
end
