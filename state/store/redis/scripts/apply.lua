-- Applies a batch on a single Redis: histories and items change in one call, atomically.
-- KEYS: items' state, changed, version, now; then each customer's history and recommendation.
-- ARGV[1]: {window, cap, ttl, clock, {half-lives of demand, of shares}, events by customer}.
-- Returns {customers, indexes of refused events, lines new, lines known, lines behind}.

local window, cap, ttl, clock, half_lives, batch = unpack(cmsgpack.unpack(ARGV[1]))
local item_keys = {state = KEYS[1], changed = KEYS[2], version = KEYS[3], now = KEYS[4]}

local customers, line_counts, refused = {}, {new = 0, known = 0, behind = 0}, {}

local function add_events(i, events)
  local customer, problem = load(KEYS[3 + 2 * i], KEYS[4 + 2 * i])
  if not customer then return nil, problem end
  for _, event in ipairs(events) do
    if add_invoice(customer, event, window, cap, line_counts) then
      customer.applied = true
    else
      refused[#refused + 1] = event[1]
    end
  end
  collect_changes(customer)
  return customer
end

for i, events in ipairs(batch) do
  local customer, problem = guarded(add_events, i, events)
  if not customer then return redis.error_reply('NEXTBASKET ' .. i .. ' ' .. problem) end
  customers[i] = customer
end

local codes, now = {}, false
for _, customer in ipairs(customers) do
  for _, sale in ipairs(customer.sales) do codes[sale[2]] = true end
  for _, change in ipairs(customer.demand_changes) do codes[change[1]] = true end
  if customer.now then now = math.max(now or customer.now, customer.now) end
end
local items = load_items(item_keys, half_lives, codes)
for _, customer in ipairs(customers) do
  for _, sale in ipairs(customer.sales) do observe_sale(items, half_lives, sale) end
  for _, change in ipairs(customer.demand_changes) do count_sale(items, half_lives, change) end
end

save_items(item_keys, items, now)
local results = {}
for i, customer in ipairs(customers) do
  save(customer, clock, ttl)
  results[i] = customer.applied and result_of(customer) or false
end
return cmsgpack.pack({results, refused, line_counts.new, line_counts.known, line_counts.behind})
