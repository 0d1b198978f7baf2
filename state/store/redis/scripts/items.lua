-- The state of items, as in state/domain/items.py; the keys are those of docs/reference/state.md.
-- An item is {as_of, demand by half-life, sold, first, last, price, price_date, description, description_date, shares by
-- half-life, attributes where there are any}; `half_lives` holds those of demand and those of shares.

local DAY = 86400
local MAX_VERSIONS = 256
local MAX_CODES_BYTES = 131072 -- of one version in the log of changes; some 14,000 codes of eight characters
local MAX_LOG_BYTES = 4194304
local MAX_CHANGES = 1000 -- of items in one call, as in state/store/redis/commit.py
local MAX_ITEM_BYTES = 1000000 -- of the items that one call changes; an item takes 150 bytes, with attributes up to 40,000

local function zeros(size)
  local values = {}
  for i = 1, size do values[i] = 0 end
  return values
end

-- Decays values by some days.
local function decay(values, half_lives, days)
  for i = 1, #values do values[i] = values[i] * 0.5 ^ (days / half_lives[i]) end
end

-- Adds an amount that is some days old.
local function add_decayed(values, half_lives, days, amount)
  if days == 0 then
    for i = 1, #values do values[i] = values[i] + amount end
  else
    for i = 1, #values do values[i] = values[i] + amount * 0.5 ^ (days / half_lives[i]) end
  end
end

-- An item from its packed form. Attributes, the eleventh element, stay packed until they are needed, because they may be
-- large and rarely change.
local function read_item(half_lives, packed)
  if string.byte(packed) ~= 155 then
    local item = cmsgpack.unpack(packed)
    item[10] = item[10] or zeros(#half_lives[2]) -- written by a version without shares
    return item
  end
  local item = {cmsgpack.unpack_limit(packed, 10, 1)}
  local position = table.remove(item, 1)
  item.attributes = string.sub(packed, position + 1)
  return item
end

-- The packed form of an item.
local function write_item(item)
  local attributes = item.attributes
  item.attributes, item.dirty = nil, nil
  if not attributes then return cmsgpack.pack(item) end
  return '\155' .. cmsgpack.pack(unpack(item, 1, 10)) .. attributes
end

-- Unpacks the attributes of an item.
local function open_attributes(item)
  if item.attributes then item[11], item.attributes = cmsgpack.unpack(item.attributes), nil end
end

-- Whether the keys of the items are of their types; a key with other data fails here, before any write.
local function check_items(keys)
  redis.call('GET', keys.version)
  redis.call('GET', keys.now)
  redis.call('XLEN', keys.changed)
  redis.call('HGET', keys.state, '')
end

-- Reads the items of a set of codes into `items`, which may have some already; missing ones are skipped. Returns the bytes
-- read, or nil where they are more than `most`, so that a call takes a bounded time however large the attributes are.
local function load_items(keys, half_lives, items, code_set, most)
  local codes, bytes = {}, 0
  for code in pairs(code_set) do
    if not items[code] then codes[#codes + 1] = code end
  end
  for i = 1, #codes, 100 do
    local upto = math.min(i + 99, #codes)
    local values = redis.call('HMGET', keys.state, unpack(codes, i, upto))
    for j = i, upto do
      local packed = values[j - i + 1]
      if packed then
        bytes = bytes + #packed
        if bytes > most then return nil end
        items[codes[j]] = read_item(half_lives, packed)
      end
    end
  end
  return bytes
end

-- Updates an item from a purchase line.
local function observe_sale(items, half_lives, date, code, price, description, attributes)
  local item = items[code]
  if not item then
    items[code] = {date, zeros(#half_lives[1]), 0, date, date, price, date, description,
      description ~= '' and date or 0, zeros(#half_lives[2]), (merge_attributes(nil, attributes, date)), dirty = true}
    return
  end
  if date > item[7] or (date == item[7] and price > item[6]) then
    item[6], item[7], item.dirty = price, date, true
  end
  if description ~= '' and (item[8] == '' or date > item[9] or (date == item[9] and less(item[8], description))) then
    item[8], item[9], item.dirty = description, date, true
  end
  if attributes then
    local changed
    open_attributes(item)
    item[11], changed = merge_attributes(item[11], attributes, date)
    item.dirty = item.dirty or changed
  end
  if date < item[4] then item[4], item.dirty = date, true end
  if date > item[5] then
    local days = (date - item[1]) / DAY
    decay(item[2], half_lives[1], days)
    decay(item[10], half_lives[2], days)
    item[1], item[5], item.dirty = date, date, true
  end
end

-- Changes the demand of an item at a date.
local function count_sale(item, half_lives, date, times, share)
  if not item then return end -- the item was lost with an older Redis; its next sale creates it again
  local days = (item[1] - date) / DAY
  if times ~= 0 then add_decayed(item[2], half_lives[1], days, times) end
  add_decayed(item[10], half_lives[2], days, share or 0) -- nil in an outbox of a version without shares
  item[3] = item[3] + times
  item.dirty = true
end

-- Adds the codes of sales and demand changes to a set. Sales are {date, {code, price, description, code, ...}} or, with
-- attributes, {date, code, price, description, attributes}. Changes are {date, times, share, codes} or, in an outbox of an
-- older version, {code, date, times, share}.
local function add_codes(codes, sales, changes)
  for _, sale in ipairs(sales) do
    local lines = sale[2]
    if type(lines) == 'table' then
      for i = 1, #lines, 3 do codes[lines[i]] = true end
    else
      codes[lines] = true
    end
  end
  for _, change in ipairs(changes) do
    if type(change[4]) == 'table' then
      for _, code in ipairs(change[4]) do codes[code] = true end
    else
      codes[change[1]] = true
    end
  end
end

-- Applies sales, then demand changes; see add_codes().
local function change_items(items, half_lives, sales, changes)
  for _, sale in ipairs(sales) do
    local date, lines = sale[1], sale[2]
    if type(lines) == 'table' then
      for i = 1, #lines, 3 do observe_sale(items, half_lives, date, lines[i], lines[i + 1], lines[i + 2]) end
    else
      observe_sale(items, half_lives, date, lines, sale[3], sale[4], sale[5])
    end
  end
  for _, change in ipairs(changes) do
    if type(change[4]) == 'table' then
      for _, code in ipairs(change[4]) do count_sale(items[code], half_lives, change[1], change[2], change[3]) end
    else
      count_sale(items[change[1]], half_lives, change[2], change[3], change[4])
    end
  end
end

-- Raises the version, and logs the codes that changed: a reader that has one of the versions in the log reads only what
-- changed since. Larger changes leave fewer versions in the log, so that it is bounded in bytes. A change that is too large
-- for the log empties it, and raises the version by more than the log can hold: whatever version a reader has, it reads all
-- items, as after any other gap in the log.
local function log_changes(keys, codes)
  local version, packed = redis.call('INCR', keys.version), cmsgpack.pack(codes)
  local most = math.min(MAX_VERSIONS, math.floor(MAX_LOG_BYTES / #packed))
  if #packed > MAX_CODES_BYTES then
    version, packed, most = version + MAX_VERSIONS, '', 0
    redis.call('SET', keys.version, string.format('%.0f', version))
  end
  redis.call('XADD', keys.changed, 'MAXLEN', most, string.format('%.0f-0', version), 'codes', packed)
  return version
end

-- Writes the changed items under one new version, and the greatest date accepted so far. Returns them, code, state, code and
-- so on, their version, and the greatest date; {} and nil where none changed.
local function save_items(keys, items, now)
  local states, codes, version = {}, {}, nil
  for code, item in pairs(items) do
    if item.dirty then
      codes[#codes + 1] = code
      states[#states + 1] = code
      states[#states + 1] = write_item(item)
    end
  end
  if #codes > 0 then
    version = log_changes(keys, codes)
    for i = 1, #states, 1000 do
      redis.call('HSET', keys.state, unpack(states, i, math.min(i + 999, #states)))
    end
  end
  if now then
    local saved = redis.call('GET', keys.now)
    if saved and tonumber(saved) >= now then
      now = tonumber(saved)
    else
      redis.call('SET', keys.now, string.format('%.0f', now))
    end
  end
  return states, version, now
end
