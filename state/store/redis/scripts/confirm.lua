-- Saves published recommendations and raises `pub`; a lower revision and an unknown customer are ignored.
-- KEYS: each customer's history and recommendation. ARGV[1]: {ttl, {{revision, JSON or false, {rec_id, model, codes}}, ...}}.

local ttl, confirmed = unpack(cmsgpack.unpack(ARGV[1]))
for i, entry in ipairs(confirmed) do
  local history, recommendation = KEYS[2 * i - 1], KEYS[2 * i]
  local fields = redis.pcall('HMGET', history, 'rev', 'pub')
  if fields.err then return redis.error_reply('NEXTBASKET ' .. i .. ' ' .. fields.err) end
  local revision, published = entry[1], tonumber(fields[2] or 0) or 0
  if fields[1] and revision >= published then
    redis.call('HSET', history, 'pub', string.format('%.0f', revision))
    if entry[2] then
      redis.call('HSET', history, 'c', cmsgpack.pack(entry[3]))
      redis.call('SET', recommendation, entry[2])
    end
    set_ttl(recommendation, ttl)
  end
end
return redis.status_reply('OK')
