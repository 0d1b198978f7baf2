-- Applies outbox entries to the items, each at most once: a marker holds the last applied sequence of a customer.
-- KEYS: items' state, changed, version, now; then each customer's marker. ARGV[1]: {half-lives of demand, of shares};
-- ARGV[2..]: the packed entries of each customer, concatenated, oldest first.

local half_lives = cmsgpack.unpack(ARGV[1])
local item_keys = {state = KEYS[1], changed = KEYS[2], version = KEYS[3], now = KEYS[4]}

-- Returns how many entries need not be sent again; more of them would take too long where the items are large.

local items, done, now, new_markers, handled, bytes, changed = {}, {}, false, {}, 0, 0, 0

local function apply_entry(marker, entry)
  local sequence, date, sales, changes = unpack(entry)
  if sequence <= done[marker] then return true end
  local codes = {}
  add_codes(codes, sales, changes)
  local count = 0
  for _ in pairs(codes) do count = count + 1 end
  if handled > 0 and changed + count > MAX_CHANGES then return false end
  -- The first entry is applied in any case: older versions wrote large ones.
  local read = load_items(item_keys, half_lives, items, codes, handled == 0 and math.huge or MAX_ITEM_BYTES - bytes)
  if not read then return false end
  bytes, changed = bytes + read, changed + count
  change_items(items, half_lives, sales, changes)
  done[marker], new_markers[marker] = sequence, sequence
  now = math.max(now or date, date)
  return true
end

check_items(item_keys)
local full = false
for i = 5, #KEYS do
  done[KEYS[i]] = tonumber(redis.call('GET', KEYS[i]) or 0)
  for _, entry in ipairs({cmsgpack.unpack(ARGV[i - 3])}) do
    full = full or not apply_entry(KEYS[i], entry)
    if not full then handled = handled + 1 end
  end
end
save_items(item_keys, items, now)
for marker, sequence in pairs(new_markers) do redis.call('SET', marker, string.format('%.0f', sequence)) end
return handled
