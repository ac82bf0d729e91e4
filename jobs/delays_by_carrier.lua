-- Average departure delay of each carrier, the worst first. Flights without a recorded delay (cancelled ones) do not
-- count; with min_delay=15 only flights that left at least that many minutes late do.
job.about  = "Average departure delay by carrier, in minutes"
job.params = { min_delay = -1000, limit = 5 }

function map(shard, p)
  return shard:frame("flights")
    :where("dep_delay", ">=", p.min_delay)
    :group("carrier")
    :agg { flights = count(), delay = avg("dep_delay") }
end

function finish(r, p)
  return r:sort("delay", "desc"):limit(p.limit)
end
