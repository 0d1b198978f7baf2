-- Applies outbox entries to the items, each at most once: a marker holds the last applied sequence of a customer.
-- KEYS: items' state, changed, version, now; then each customer's marker. ARGV[1]: {half-lives of demand, of shares};
-- ARGV[2..]: the packed entries of each customer, concatenated, oldest first.

local half_lives = cmsgpack.unpack(ARGV[1])
local item_keys = {state = KEYS[1], changed = KEYS[2], version = KEYS[3], now = KEYS[4]}

local entries, codes, now, new_markers = {}, {}, false, {}
for i = 5, #KEYS do
  local done = tonumber(redis.call('GET', KEYS[i]) or 0)
  for _, entry in ipairs({cmsgpack.unpack(ARGV[i - 3])}) do
    local sequence, date, sales, changes = unpack(entry)
    if sequence > done then
      done = sequence
      new_markers[KEYS[i]] = sequence
      entries[#entries + 1] = {sales, changes}
      now = math.max(now or date, date)
      add_codes(codes, sales, changes)
    end
  end
end

local items = load_items(item_keys, half_lives, codes)
for _, entry in ipairs(entries) do change_items(items, half_lives, entry[1], entry[2]) end
save_items(item_keys, items, now)
for marker, sequence in pairs(new_markers) do redis.call('SET', marker, string.format('%.0f', sequence)) end
return redis.status_reply('OK')
