-- Writes customers, and the changes of items that come with them, on a single Redis. A customer that is not as expected is
-- left alone.
-- KEYS: items' state, changed, version, now; then each customer's history and outbox.
-- ARGV[1]: {ttl, {half-lives of demand, of shares}, customers}. A customer is {expected, number of fields to write, fields to
-- remove, number of entries of the outbox, whether it expires anew, greatest date or false, sales, demand changes}.
-- ARGV[2..]: what write_customer() writes, one customer after the other.
-- Returns the numbers of those left alone, from 0, and, where items changed, their version, the greatest date and the items,
-- code, state, code and so on; or {-1} where nothing was written, because the items are too large.

local ttl, half_lives, customers = unpack(cmsgpack.unpack(ARGV[1]))
local item_keys = {state = KEYS[1], changed = KEYS[2], version = KEYS[3], now = KEYS[4]}

local accepted, others, positions, codes, now = {}, {}, {1}, {}, false
local changed = {}
for i, customer in ipairs(customers) do
  local head, problem = head_of(KEYS[3 + 2 * i], customer[4] > 0 and KEYS[4 + 2 * i])
  if not head then return redis.error_reply('NEXTBASKET ' .. i .. ' ' .. problem) end
  positions[i + 1] = positions[i] + 2 * (customer[2] + customer[4])
  if head == customer[1] then
    accepted[#accepted + 1] = i
    add_codes(codes, customer[7], customer[8])
    if customer[6] then now = math.max(now or customer[6], customer[6]) end
  else
    others[#others + 1] = i - 1
  end
end

if now then
  local items = {}
  check_items(item_keys)
  if not load_items(item_keys, half_lives, items, codes, MAX_ITEM_BYTES) then return {-1} end
  for _, i in ipairs(accepted) do change_items(items, half_lives, customers[i][7], customers[i][8]) end
  local states, version, latest = save_items(item_keys, items, now)
  if version then changed = {version, latest, states} end
end
for _, i in ipairs(accepted) do write_customer(KEYS[3 + 2 * i], KEYS[4 + 2 * i], customers[i], positions[i], ttl) end
return {others, unpack(changed)}
