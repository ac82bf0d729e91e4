-- A table of months and airports: flights, how many have a recorded departure delay, its mean and its worst.
job.about  = "Departure delays by month and origin"
job.params = { from_month = 1, to_month = 12 }

function map(shard, p)
  return shard:frame("flights")
    :where("month", "between", p.from_month, p.to_month)
    :group("month", "origin")
    :agg {
      flights  = count(),
      recorded = count("dep_delay"),
      delay    = avg("dep_delay"),
      worst    = max("dep_delay"),
      miles    = sum("distance"),
    }
end
