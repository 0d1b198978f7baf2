-- Applies one customer's events of a batch on a Redis Cluster: changes the history, and appends the changes of the items to
-- the outbox in the same slot.
-- KEYS: history, recommendation, outbox. ARGV[1]: {window, cap, ttl, clock, events}.
-- Returns {{customer or false, indexes of refused events, lines new, known, behind}, then entry and sequence of the outbox}.

local window, cap, ttl, clock, events = unpack(cmsgpack.unpack(ARGV[1]))
local line_counts, refused, applied = {new = 0, known = 0, behind = 0}, {}, false

local function add_events()
  local customer, problem = load(KEYS[1], KEYS[2])
  if not customer then return nil, problem end
  for _, event in ipairs(events) do
    if add_invoice(customer, event, window, cap, line_counts) then
      applied = true
    else
      refused[#refused + 1] = event[1]
    end
  end
  collect_changes(customer)
  return customer
end

local customer, problem = guarded(add_events)
if not customer then return redis.error_reply('NEXTBASKET 1 ' .. problem) end

if customer.now then
  -- Larger than any sequence before, also if the history was rebuilt meanwhile.
  customer.sequence = math.max(customer.sequence + 1, clock)
  local entry = cmsgpack.pack({customer.sequence, customer.now, customer.sales, customer.demand_changes})
  redis.call('ZADD', KEYS[3], string.format('%.0f', customer.sequence), entry)
  redis.call('HSET', KEYS[1], 'q', string.format('%.0f', customer.sequence))
end
save(customer, clock, ttl)
local reply = redis.call('ZRANGE', KEYS[3], 0, -1, 'WITHSCORES')
table.insert(reply, 1, cmsgpack.pack({applied and result_of(customer) or false, refused,
  line_counts.new, line_counts.known, line_counts.behind}))
return reply
