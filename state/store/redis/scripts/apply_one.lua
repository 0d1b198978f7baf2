-- One customer's part of a batch on a Redis Cluster: the history now, the items by way of the outbox in the same slot.
-- KEYS: history, recommendation, outbox. ARGV[1]: {window, cap, ttl, clock, events}.
-- Answers {{customer or false, refused places, new, known, behind}, then entry and sequence of all that waits in the outbox}.

local window, cap, ttl, clock, events = unpack(cmsgpack.unpack(ARGV[1]))
local customer, problem = load(KEYS[1], KEYS[2])
if not customer then return redis.error_reply('NEXTBASKET 1 ' .. problem) end

local tally, refused, applied = {new = 0, known = 0, behind = 0}, {}, false
for _, event in ipairs(events) do
  if take(customer, event, window, cap, tally) then
    applied = true
  else
    refused[#refused + 1] = event[1]
  end
end
settle(customer)

if customer.now then
  -- Larger than any before it, even where the history was rebuilt meanwhile.
  customer.sequence = math.max(customer.sequence + 1, clock)
  local entry = cmsgpack.pack({customer.sequence, customer.now, customer.seen, customer.counts})
  redis.call('ZADD', KEYS[3], string.format('%.0f', customer.sequence), entry)
  redis.call('HSET', KEYS[1], 'q', string.format('%.0f', customer.sequence))
end
keep(customer, clock, ttl)
local reply = redis.call('ZRANGE', KEYS[3], 0, -1, 'WITHSCORES')
table.insert(reply, 1, cmsgpack.pack({applied and answer(customer) or false, refused,
  tally.new, tally.known, tally.behind}))
return reply
