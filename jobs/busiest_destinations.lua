-- Where New York flies to: the destinations with the most flights.
job.about  = "Destinations by number of flights"
job.params = { limit = 5 }

function map(shard, p)
  return shard:frame("flights")
    :group("dest")
    :agg { flights = count(), miles = sum("distance"), shortest = min("air_time"), longest = max("air_time") }
end

function finish(r, p)
  return r:sort("flights", "desc"):limit(p.limit)
end
