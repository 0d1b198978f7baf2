-- Applies outbox entries to the items, each at most once: a marker holds the last applied sequence of a customer.
-- KEYS: items' state, changed, version, now; then each customer's marker; then markers of outboxes that were trimmed.
-- ARGV[1]: {half-lives of demand and of shares, a version or false, number of markers, seconds, {sequence, ...}}: the other
-- markers expire after these seconds, unless they hold another sequence by now. ARGV[2..]: the packed entries of each
-- customer, concatenated, oldest first.
-- Returns how many entries need not be sent again; more of them would take too long where the items are large. With a
-- version also the version by now, the greatest date, and the items that changed since, code, state and so on: false where
-- the log does not have them, or they are many.

local half_lives, since, customers, seconds, trimmed = unpack(cmsgpack.unpack(ARGV[1]))
local item_keys = {state = KEYS[1], changed = KEYS[2], version = KEYS[3], now = KEYS[4]}
local MAX_CHANGED = 2000

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
for i = 5, 4 + customers do
  done[KEYS[i]] = tonumber(redis.call('GET', KEYS[i]) or 0)
  for _, entry in ipairs({cmsgpack.unpack(ARGV[i - 3])}) do
    full = full or not apply_entry(KEYS[i], entry)
    if not full then handled = handled + 1 end
  end
end
save_items(item_keys, items, now)
for marker, sequence in pairs(new_markers) do redis.call('SET', marker, string.format('%.0f', sequence)) end
for i, sequence in ipairs(trimmed) do
  local marker = KEYS[4 + customers + i]
  if tonumber(redis.call('GET', marker) or -1) == sequence then redis.call('EXPIRE', marker, seconds) end
end

-- The items that changed between two versions.
local function changed_since(first, last)
  if last == first then return {} end
  if last < first or last - first > MAX_VERSIONS then return false end
  local log = redis.call('XRANGE', item_keys.changed, string.format('(%.0f-0', first), '+')
  if #log ~= last - first then return false end
  local seen, codes, states = {}, {}, {}
  for _, entry in ipairs(log) do
    for _, code in ipairs(cmsgpack.unpack(entry[2][2])) do
      if not seen[code] then seen[code], codes[#codes + 1] = true, code end
    end
    if #codes > MAX_CHANGED then return false end
  end
  for i = 1, #codes, 1000 do
    for j, state in ipairs(redis.call('HMGET', item_keys.state, unpack(codes, i, math.min(i + 999, #codes)))) do
      if not state then return false end -- it was lost
      states[#states + 1] = codes[i + j - 1]
      states[#states + 1] = state
    end
  end
  return states
end

if not since then return {handled} end
local version = tonumber(redis.call('GET', item_keys.version) or 0)
return {handled, version, redis.call('GET', item_keys.now), changed_since(since, version)}
