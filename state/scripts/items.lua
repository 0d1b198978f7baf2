-- The items' state: what state/items.py's observe() and count() do, on the keys of docs/state.md.
-- An item is {touched, demand by half-life, sold, first, last, price, price_date, description, description_date}.

local DAY = 86400
local VERSIONS_KEPT = 256

-- Reads the items of the codes in `names`, none of which need exist; fails here, before any write, if a key is foreign.
local function load_items(keys, names)
  redis.call('GET', keys.version)
  redis.call('GET', keys.now)
  redis.call('XLEN', keys.changed)
  local codes, items = {}, {}
  for code in pairs(names) do codes[#codes + 1] = code end
  for i = 1, #codes, 1000 do
    local upto = math.min(i + 999, #codes)
    local values = redis.call('HMGET', keys.state, unpack(codes, i, upto))
    for j = i, upto do
      local packed = values[j - i + 1]
      if packed then items[codes[j]] = cmsgpack.unpack(packed) end
    end
  end
  return items
end

local function observe(items, half_lives, line)
  local date, code, price, description = line[1], line[2], line[3], line[4]
  local item = items[code]
  if not item then
    local demand = {}
    for i = 1, #half_lives do demand[i] = 0 end
    items[code] = {date, demand, 0, date, date, price, date, description, description ~= '' and date or 0, dirty = true}
    return
  end
  if date > item[7] or (date == item[7] and price > item[6]) then
    item[6], item[7], item.dirty = price, date, true
  end
  if description ~= '' and (item[8] == '' or date > item[9] or (date == item[9] and less(item[8], description))) then
    item[8], item[9], item.dirty = description, date, true
  end
  if date < item[4] then item[4], item.dirty = date, true end
  if date > item[5] then
    local days = (date - item[1]) / DAY
    for i, half_life in ipairs(half_lives) do item[2][i] = item[2][i] * 0.5 ^ (days / half_life) end
    item[1], item[5], item.dirty = date, date, true
  end
end

local function count(items, half_lives, change)
  local date, times, item = change[2], change[3], items[change[1]]
  if not item then return end -- lost with an older Redis; it comes back with its next sale
  local days = (item[1] - date) / DAY
  local demand = item[2]
  for i = 1, #half_lives do
    demand[i] = demand[i] + (days == 0 and times or times * 0.5 ^ (days / half_lives[i]))
  end
  item[3] = item[3] + times
  item.dirty = true
end

-- Writes what changed, under one new version, and the greatest date accepted so far. The log of changes names the codes of
-- each of the last versions, so that a reader who knows one of them reads only what changed since.
local function keep_items(keys, items, now)
  local states, codes = {}, {}
  for code, item in pairs(items) do
    if item.dirty then
      item.dirty = nil
      codes[#codes + 1] = code
      states[#states + 1] = code
      states[#states + 1] = cmsgpack.pack(item)
    end
  end
  if #codes > 0 then
    local version = redis.call('INCR', keys.version)
    redis.call('XADD', keys.changed, 'MAXLEN', VERSIONS_KEPT, string.format('%.0f-0', version), 'codes', cmsgpack.pack(codes))
    for i = 1, #states, 1000 do
      redis.call('HSET', keys.state, unpack(states, i, math.min(i + 999, #states)))
    end
  end
  if now then
    local held = redis.call('GET', keys.now)
    if not held or tonumber(held) < now then redis.call('SET', keys.now, string.format('%.0f', now)) end
  end
end
