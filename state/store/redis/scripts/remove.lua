-- Deletes the history and the recommendation of a customer. With fields to compare, only where the history still has them.
-- With entries, the outbox gets them in the same step: the items are to lose the purchases of the history.
-- KEYS: history, recommendation, outbox. ARGV: 'm' and 'rev' of the history, which may be empty, then sequence, entry and so
-- on. Returns the number of keys deleted, -1 where the fields differ.

if ARGV[1] ~= '' or ARGV[2] ~= '' then
  local fields = redis.call('HMGET', KEYS[1], 'm', 'rev')
  if (fields[1] or '') ~= ARGV[1] or (fields[2] or '') ~= ARGV[2] then return -1 end
end
for i = 3, #ARGV, 2 do redis.call('ZADD', KEYS[3], ARGV[i], ARGV[i + 1]) end
return redis.call('EXPIRE', KEYS[1], -1) + redis.call('EXPIRE', KEYS[2], -1)
