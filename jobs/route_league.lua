-- A league table of routes by how late they arrive in the mean, the best first; routes with few arrivals do not play.
job.about  = "Routes by mean arrival delay, in minutes"
job.params = { min_flights = 500, limit = 10 }

function map(shard)
  return shard:frame("flights"):where("arr_delay", "notnull"):group("origin", "dest"):agg {
    flights  = count(),
    delay    = avg("arr_delay"),
    stddev   = stddev("arr_delay"),
    carriers = distinct("carrier"),
  }
end

function finish(r, p)
  return r:having("flights", ">=", p.min_flights):sort("delay", "asc"):limit(p.limit)
end
