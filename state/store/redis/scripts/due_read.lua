-- A shard of the index of who is due, by columns, so that a client reads three strings and not three a customer.
-- KEYS[1]: the shard. ARGV: the size of the first part of a value, and '1' where the rest is wanted.
-- Returns the customers and the rests as MessagePack lists, and the first parts joined; nothing for an empty shard.

local size, all = tonumber(ARGV[1]), redis.call('HGETALL', KEYS[1])
if #all == 0 then return {} end
local customers, heads, rests = {}, {}, {}
for i = 1, #all, 2 do
  local n = (i + 1) / 2
  customers[n], heads[n] = all[i], string.sub(all[i + 1], 1, size)
  if ARGV[2] == '1' then rests[n] = string.sub(all[i + 1], size + 1) end
end
return {cmsgpack.pack(customers), table.concat(heads), ARGV[2] == '1' and cmsgpack.pack(rests) or ''}
