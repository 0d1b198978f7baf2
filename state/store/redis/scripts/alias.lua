-- Records that a customer is merged into another one, unless it has an alias or the chain of the other leads back to it.
-- KEYS: the lists of customers. ARGV: source, target. Returns 1 where it is recorded.

local source, target = ARGV[1], ARGV[2]
if redis.call('HGET', KEYS[1], 'm:' .. source) then return 0 end
local at = target
while at do
  if at == source then return 0 end
  at = redis.call('HGET', KEYS[1], 'm:' .. at)
end
redis.call('HSET', KEYS[1], 'm:' .. source, target)
return 1
