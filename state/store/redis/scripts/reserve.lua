-- Raises the revision of histories whose revision is still the given one, or deletes their recommendations.
-- KEYS: each customer's history and recommendation. ARGV[1]: {clock or false to delete, {revision, ...}}.
-- Returns the new revisions as text, '' where the history has another revision or does not exist.

local clock, expected = unpack(cmsgpack.unpack(ARGV[1]))
local heads = {}
for i, revision in ipairs(expected) do
  local head, problem = head_of(KEYS[2 * i - 1])
  if not head then return redis.error_reply('NEXTBASKET ' .. i .. ' ' .. problem) end
  local held, published, sequence, writes = string.match(head, '^(%d+) (%d+) (%d+) (%d+)$')
  if not writes then held = string.match(head, '^%d+ (%d+) %d+$') end -- of schema 1
  heads[i] = tonumber(held) == revision and {published, sequence, writes}
end
local raised = {}
for i, revision in ipairs(expected) do
  local history, head = KEYS[2 * i - 1], heads[i]
  raised[i] = ''
  if head then
    local new = string.format('%.0f', clock and math.max(revision + 1, clock) or revision)
    if head[3] then
      redis.call('HSET', history, 'm', string.format('%s %s %s %.0f', new, head[1], head[2], tonumber(head[3]) + 1))
    else
      redis.call('HSET', history, 'rev', new)
    end
    if clock then
      raised[i] = new
    else
      redis.call('HDEL', history, 'c') -- of schema 1
      redis.call('EXPIRE', KEYS[2 * i], -1)
    end
  end
end
return raised
