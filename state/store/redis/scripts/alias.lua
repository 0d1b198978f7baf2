-- Records that a customer is merged into another one, unless it has an alias or the chain of the other leads back to it.
-- KEYS: the lists of customers. ARGV: source, target. Returns 1 where it is recorded; 0 also where the
-- chain is too long for one call: the caller follows it and comes back with its end.

local MAX_STEPS = 1000
local source, target = ARGV[1], ARGV[2]
if redis.call('HGET', KEYS[1], 'm:' .. source) then return 0 end
local at = target
for _ = 1, MAX_STEPS do
  if not at then break end
  if at == source then return 0 end
  at = redis.call('HGET', KEYS[1], 'm:' .. at)
end
if at then return 0 end
redis.call('HSET', KEYS[1], 'm:' .. source, target)
return 1
