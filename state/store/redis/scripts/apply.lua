-- One batch on a single Redis: histories and items in one call, all or nothing.
-- KEYS: items' state, changed, version, now; then each customer's history and recommendation.
-- ARGV[1]: {window, cap, ttl, clock, {half-lives of demand, of shares}, events by customer}.
-- Answers {customers, refused places, new, known, behind}.

local window, cap, ttl, clock, half_lives, batch = unpack(cmsgpack.unpack(ARGV[1]))
local item_keys = {state = KEYS[1], changed = KEYS[2], version = KEYS[3], now = KEYS[4]}

local customers, tally, refused = {}, {new = 0, known = 0, behind = 0}, {}
for i, events in ipairs(batch) do
  local customer, problem = load(KEYS[3 + 2 * i], KEYS[4 + 2 * i])
  if not customer then return redis.error_reply('NEXTBASKET ' .. i .. ' ' .. problem) end
  for _, event in ipairs(events) do
    if take(customer, event, window, cap, tally) then
      customer.applied = true
    else
      refused[#refused + 1] = event[1]
    end
  end
  settle(customer)
  customers[i] = customer
end

local names, now = {}, false
for _, customer in ipairs(customers) do
  for _, seen in ipairs(customer.seen) do names[seen[2]] = true end
  for _, change in ipairs(customer.counts) do names[change[1]] = true end
  if customer.now then now = math.max(now or customer.now, customer.now) end
end
local items = load_items(item_keys, half_lives, names)
for _, customer in ipairs(customers) do
  for _, seen in ipairs(customer.seen) do observe(items, half_lives, seen) end
  for _, change in ipairs(customer.counts) do count(items, half_lives, change) end
end

keep_items(item_keys, items, now)
local answers = {}
for i, customer in ipairs(customers) do
  keep(customer, clock, ttl)
  answers[i] = customer.applied and answer(customer) or false
end
return cmsgpack.pack({answers, refused, tally.new, tally.known, tally.behind})
