-- Applies outbox entries to the items, each at most once: a marker holds the last sequence applied for a customer.
-- KEYS: items' state, changed, version, now; then each customer's marker. ARGV[1]: {half-lives of demand, of shares};
-- ARGV[2..]: each customer's entries, one packed after the other, oldest first.

local half_lives = cmsgpack.unpack(ARGV[1])
local item_keys = {state = KEYS[1], changed = KEYS[2], version = KEYS[3], now = KEYS[4]}

local due, names, now, marks = {}, {}, false, {}
for i = 5, #KEYS do
  local done = tonumber(redis.call('GET', KEYS[i]) or 0)
  for _, entry in ipairs({cmsgpack.unpack(ARGV[i - 3])}) do
    local sequence, date, seen, counts = unpack(entry)
    if sequence > done then
      done = sequence
      marks[KEYS[i]] = sequence
      due[#due + 1] = {seen, counts}
      now = math.max(now or date, date)
      for _, line in ipairs(seen) do names[line[2]] = true end
      for _, change in ipairs(counts) do names[change[1]] = true end
    end
  end
end

local items = load_items(item_keys, half_lives, names)
for _, entry in ipairs(due) do
  for _, line in ipairs(entry[1]) do observe(items, half_lives, line) end
  for _, change in ipairs(entry[2]) do count(items, half_lives, change) end
end
keep_items(item_keys, items, now)
for marker, sequence in pairs(marks) do redis.call('SET', marker, string.format('%.0f', sequence)) end
return redis.status_reply('OK')
