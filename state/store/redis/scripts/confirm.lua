-- Saves published recommendations and raises the last published revision; a lower one and an unknown customer are ignored.
-- KEYS: each customer's history and recommendation. ARGV[1]: {ttl, {{revision, JSON or false}, ...}}.
-- Returns the new head of each customer, or false.

local ttl, confirmed = unpack(cmsgpack.unpack(ARGV[1]))
local heads = {}
for i, entry in ipairs(confirmed) do
  local history, recommendation = KEYS[2 * i - 1], KEYS[2 * i]
  local head = redis.pcall('HGET', history, 'm')
  if type(head) == 'table' then return redis.error_reply('NEXTBASKET ' .. i .. ' ' .. head.err) end
  heads[i] = false
  if head then
    local revision, published, sequence, writes = string.match(head, '^(%d+) (%d+) (%d+) (%d+)$')
    if not writes then return redis.error_reply('NEXTBASKET ' .. i .. ' UNREADABLE head of a history') end
    if entry[1] >= tonumber(published) then
      heads[i] = string.format('%s %.0f %s %.0f', revision, entry[1], sequence, tonumber(writes) + 1)
      redis.call('HSET', history, 'm', heads[i])
      if entry[2] then redis.call('SET', recommendation, entry[2]) end
      set_ttl(recommendation, ttl)
    end
  end
end
return heads
