-- Raises the revision of histories whose revision is still the given one, or deletes their recommendations.
-- KEYS: each customer's history and recommendation. ARGV[1]: {clock or false to delete, {revision, ...}}.
-- Returns the new revisions as text, '' where the history has another revision or does not exist.

local clock, expected = unpack(cmsgpack.unpack(ARGV[1]))
local unchanged = {}
for i, revision in ipairs(expected) do
  local held = redis.pcall('HGET', KEYS[2 * i - 1], 'rev')
  if type(held) == 'table' and held.err then return redis.error_reply('NEXTBASKET ' .. i .. ' ' .. held.err) end
  unchanged[i] = held and tonumber(held) == revision
end
local raised = {}
for i, revision in ipairs(expected) do
  raised[i] = ''
  if unchanged[i] and clock then
    raised[i] = string.format('%.0f', math.max(revision + 1, clock))
    redis.call('HSET', KEYS[2 * i - 1], 'rev', raised[i])
  elseif unchanged[i] then
    redis.call('HDEL', KEYS[2 * i - 1], 'c')
    redis.call('EXPIRE', KEYS[2 * i], -1)
  end
end
return raised
