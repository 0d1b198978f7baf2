-- Adds fields to a hash; those it has stay as they are.
-- KEYS: the hash. ARGV: field, value, field, value and so on.

for i = 1, #ARGV, 2 do
  if not redis.call('HGET', KEYS[1], ARGV[i]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
return redis.status_reply('OK')
