-- Requests of wrk: a random line of a file (path, tab, entity tag or nothing), after a random pause; figures as JSON.
-- Arguments: the file, and the mean pause of a connection in milliseconds (0: none).
local paths, tags, mean_pause = {}, {}, 0

function init(arguments)
  mean_pause = tonumber(arguments[2])
  for line in io.lines(arguments[1]) do
    local path, tag = line:match("^([^\t]*)\t(.*)$")
    paths[#paths + 1] = path
    tags[#tags + 1] = tag
  end
  math.randomseed(tonumber(arguments[3]))
end

function request()
  local chosen = math.random(#paths)
  local headers = {}
  if tags[chosen] ~= "" then headers["If-None-Match"] = tags[chosen] end
  return wrk.format("GET", paths[chosen], headers)
end

function delay() -- of exponential length, so that requests come as from many independent visitors
  if mean_pause == 0 then return 0 end
  return math.floor(-mean_pause * math.log(1 - math.random()) + 0.5)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "errors": %d, "p50_ms": %f, "p99_ms": %f, "p999_ms": %f}\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3))
end
