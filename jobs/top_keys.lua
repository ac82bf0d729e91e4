-- The hottest keys of the whole cluster. A free-form job: it asks every server for the keys it was asked for most, and
-- adds up the answers itself.
job.about  = "The most read keys of all nodes"
job.params = { limit = 10 }

function run(p)
  local requests = {}
  for _, server in ipairs(cluster.servers()) do
    -- A key may be hot on a server and not overall, so each is asked for more than the job will show.
    requests[server] = "node:hotkeys:" .. math.min(1000, p.limit * 10)
  end
  local answers = getInParallel(requests)

  local reads = {}
  for _, answer in pairs(answers) do
    for _, keys in pairs(answer) do
      for _, entry in ipairs(keys) do
        reads[entry.key] = (reads[entry.key] or 0) + entry.count
      end
    end
  end

  local top = {}
  for key, count in pairs(reads) do
    top[#top + 1] = { key = key, reads = count }
  end
  table.sort(top, function(a, b)
    if a.reads ~= b.reads then return a.reads > b.reads end
    return a.key < b.key
  end)
  local result = {}
  for i = 1, math.min(p.limit, #top) do result[i] = top[i] end
  return result
end
