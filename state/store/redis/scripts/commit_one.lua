-- Writes one customer on a Redis Cluster, with the changes of items in the outbox; left alone where it is not as expected.
-- KEYS: history, outbox. ARGV[1]: {ttl, portion, customer}, with a customer as in commit.lua; ARGV[2..]: what is written.
-- Returns 1 where it was left alone, else 0; then score and entry of the oldest entries of the outbox, at most a portion.

local ttl, portion, customer = unpack(cmsgpack.unpack(ARGV[1]))
local head, problem = head_of(KEYS[1], KEYS[2])
if not head then return redis.error_reply('NEXTBASKET 1 ' .. problem) end
if head ~= customer[1] then return {1} end
write_customer(KEYS[1], KEYS[2], customer, 1, ttl)
local reply = redis.call('ZRANGE', KEYS[2], 0, portion - 1, 'WITHSCORES')
table.insert(reply, 1, 0)
return reply
