-- The hash of a customer, as in state/store/redis/stored_customer.py. It is read and merged by the worker; the scripts
-- compare its head and write.

-- What a worker expects to find: the head; of schema 1, which has none, schema and revisions; '' for an unknown customer.
-- Nil and the reason where the key, or that of the outbox, has another type.
local function head_of(key, outbox)
  local head = redis.pcall('HGET', key, 'm')
  if type(head) == 'table' then return nil, head.err end
  if outbox then
    local entries = redis.pcall('ZRANGE', outbox, 0, 0)
    if entries.err then return nil, entries.err end
  end
  if head then return head end
  local old = redis.call('HMGET', key, 'v', 'rev', 'pub')
  if not (old[1] or old[2]) then return '' end
  return (old[1] or '1') .. ' ' .. (old[2] or '0') .. ' ' .. (old[3] or '0')
end

-- Lets a key expire after some seconds, or never where they are 0.
local function set_ttl(key, ttl)
  if ttl > 0 then redis.call('EXPIRE', key, ttl) else redis.call('PERSIST', key) end
end

-- Writes a customer {expected, number of fields, fields to remove, number of entries, whether it expires anew, ...}. Field,
-- value and so on, then sequence, entry of the outbox and so on, are in ARGV after a position. In this order, because a full
-- Redis refuses the first write only where it is one that needs memory.
local function write_customer(key, outbox, customer, position, ttl)
  local fields, gone, entries = 2 * customer[2], customer[3], 2 * customer[4]
  for i = position + fields + 1, position + fields + entries, 2 do redis.call('ZADD', outbox, ARGV[i], ARGV[i + 1]) end
  for i = position + 1, position + fields, 1000 do
    redis.call('HSET', key, unpack(ARGV, i, math.min(i + 999, position + fields)))
  end
  for i = 1, #gone, 1000 do redis.call('HDEL', key, unpack(gone, i, math.min(i + 999, #gone))) end
  if customer[5] then set_ttl(key, ttl) end
end
