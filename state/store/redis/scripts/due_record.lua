-- Writes the entries of customers to the index of who is due, unless a later revision is there. KEYS: shards.
-- ARGV[1]: for each shard {{customer, revision}, ...}; then the value of each of these customers; an empty one deletes.
-- A value begins with its revision, a little-endian double.

local next_value = 1
for shard, entries in ipairs(cmsgpack.unpack(ARGV[1])) do
  for _, entry in ipairs(entries) do
    local customer, revision = unpack(entry)
    next_value = next_value + 1
    local value, stored = ARGV[next_value], redis.call('HGET', KEYS[shard], customer)
    if not stored or #stored < 8 or struct.unpack('<d', stored) <= revision then
      if value == '' then
        redis.call('HDEL', KEYS[shard], customer)
      else
        redis.call('HSET', KEYS[shard], customer, value)
      end
    end
  end
end
return redis.status_reply('OK')
