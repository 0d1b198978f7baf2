-- One customer's history, as in state/domain/history.py; the hash is that of docs/reference/state.md.
-- Only save() writes, so that an error before it leaves Redis unchanged.

local SCHEMA = 1

-- Whether invoice a is before b: by date, then number as text.
local function before(date_a, no_a, date_b, no_b)
  if date_a ~= date_b then return date_a < date_b end
  return less(no_a, no_b)
end

-- The identity, the stock code and whether it is a purchase, of a stored line ["22613",12000,0.85] or, with a line id as
-- fourth element, ["22613",12000,0.85,"id"]. Quotes within JSON strings are escaped, so the patterns are unambiguous.
local function parse(text)
  local code, quantity, id
  if string.sub(text, -2) == '"]' then
    code, quantity, id = string.match(text, '^%["(.*)",(%-?%d+),[%d%.eE+-]+,(".*")%]$')
  else
    code, quantity = string.match(text, '^%["(.*)",(%-?%d+),[%d%.eE+-]+%]$')
    id = text
  end
  if string.find(code, '\\', 1, true) then code = cjson.decode('["' .. code .. '"]')[1] end
  return id, code, string.byte(quantity) ~= 45
end

-- A stored number, 0 where there is none.
local function number(text)
  return tonumber(text or 0) or error('not a number: ' .. text)
end

-- The customer without the lines of the invoices, or nil and the reason.
local function load(key, recommendation_key)
  local fields = redis.pcall('HMGET', key, 'v', 'x', 'w', 'rev', 'pub', 'n', 's', 'c', 'q', 'a')
  if fields.err then return nil, fields.err end
  if fields[1] and number(fields[1]) > SCHEMA then return nil, 'SCHEMA ' .. fields[1] end
  local recommendation = redis.pcall('GET', recommendation_key)
  if type(recommendation) == 'table' then return nil, recommendation.err end
  local customer = {
    key = key,
    index = fields[2] and cmsgpack.unpack(fields[2]) or {},
    size = 0,
    watermark = fields[3] and cmsgpack.unpack(fields[3]) or false,
    revision = number(fields[4]),
    published = number(fields[5]),
    lines = number(fields[6]),
    scoring = fields[7] and cmsgpack.unpack(fields[7]) or {false, false, {}},
    confirmed = fields[8] or false,
    sequence = number(fields[9]),
    attributes = fields[10] and cmsgpack.unpack(fields[10]) or nil,
    attributes_changed = false,
    recommendation = recommendation,
    open = {},
    dropped = {},
    priors = {},
    changed = false,
    now = false,
    sales = {},
    demand_changes = {},
  }
  for _ in pairs(customer.index) do customer.size = customer.size + 1 end
  return customer
end

-- Calls a function that reads a customer. Where what is stored cannot be read, returns nil and the reason. Errors of
-- commands are tables or, in Redis 6, begin with @.
local function guarded(read, ...)
  local ok, customer, problem = pcall(read, ...)
  if ok then return customer, problem end
  local reason = type(customer) == 'table' and customer.err or tostring(customer)
  if type(customer) == 'string' and string.sub(reason, 1, 1) ~= '@' then reason = 'UNREADABLE ' .. reason end
  return nil, (string.gsub(reason, '[\r\n]', ' '))
end

-- An invoice with its lines: `texts` in order of arrival, `index_of` each identity, the number of purchase lines by code in
-- `codes`. `date` is the date counted so far (false for a new invoice), `counted` the purchase lines counted so far of the
-- codes that changed.
local function open(customer, no)
  local invoice = customer.open[no]
  if invoice then return invoice end
  invoice = {texts = {}, index_of = {}, codes = {}, purchases = 0, dirty = false, date = customer.index[no] or false, counted = {}}
  if customer.index[no] then
    local texts, index_of, codes = invoice.texts, invoice.index_of, invoice.codes
    for text in string.gmatch(redis.call('HGET', customer.key, 'i' .. no), '([^\n]+%])') do
      local id, code, purchase = parse(text)
      texts[#texts + 1] = text
      index_of[id] = #texts
      if purchase then
        codes[code] = (codes[code] or 0) + 1
        invoice.purchases = invoice.purchases + 1
      end
    end
    if #texts == 0 then error('an invoice without lines') end
  end
  customer.open[no] = invoice
  return invoice
end

-- The oldest invoices that exceed the window once (date, no) is in the index, as {date, no}, the oldest first.
local function oldest_beyond(customer, window, no, date)
  local positions = {{date, no}}
  for other, other_date in pairs(customer.index) do
    if other ~= no then positions[#positions + 1] = {other_date, other} end
  end
  local excess = #positions - window
  if excess <= 0 then return {} end
  if excess == 1 then
    local first = positions[1]
    for i = 2, #positions do
      local position = positions[i]
      if before(position[1], position[2], first[1], first[2]) then first = position end
    end
    return {first}
  end
  -- The window was reduced.
  table.sort(positions, function(a, b) return before(a[1], a[2], b[1], b[2]) end)
  for i = #positions, excess + 1, -1 do positions[i] = nil end
  return positions
end

-- The number of lines of an invoice that is in the index.
local function line_count(customer, no)
  local invoice = customer.open[no]
  if invoice then return #invoice.texts end
  local _, breaks = string.gsub(redis.call('HGET', customer.key, 'i' .. no), '\n', '\n')
  return breaks + 1
end

-- Whether the customer would have more lines than the cap with some new ones in an invoice.
local function too_long(customer, window, cap, no, date, new_lines)
  local lines = customer.lines + new_lines
  if lines <= cap then return false end
  for _, position in ipairs(oldest_beyond(customer, window, no, date)) do
    if position[2] == no then
      lines = lines - #open(customer, no).texts - new_lines
    else
      lines = lines - line_count(customer, position[2])
    end
  end
  return lines > cap
end

-- The later of two positions {date, no}; the first may be false.
local function later(a, b)
  if a and before(b[1], b[2], a[1], a[2]) then return a end
  return b
end

-- Notes the recommendation that a purchase invoice is scored against: the one in force when the invoice first appears, unless
-- the invoice is older than the purchases before that recommendation. `scoring` is {recommendation, newest purchase before
-- it, {no = true}}.
local function note_prior(customer, invoice, no, date)
  local scoring = customer.scoring
  if not scoring[3][no] then
    if invoice.purchases > 0 then return end
    local newest = scoring[2]
    if scoring[1] ~= customer.confirmed then
      for other in pairs(scoring[3]) do newest = later(newest, {customer.index[other], other}) end
      scoring = {customer.confirmed, newest, {}}
    end
    if newest and before(date, no, newest[1], newest[2]) then return end
    scoring[3][no] = true
    customer.scoring = scoring
  end
  customer.priors[no] = scoring[1]
end

-- Appends the demand changes of an invoice {code, date, times, share}. Each purchased code counts once an invoice, at the
-- invoice's date, and its share is 1 / √k for the k codes of the invoice. One code more or less changes all shares, so this
-- is called once a batch for each invoice, not once an event.
local function append_demand_changes(customer, no, invoice)
  local changes, codes, counted = customer.demand_changes, invoice.codes, invoice.counted
  local old_date, date = invoice.date, customer.index[no]
  local moved = old_date and old_date ~= date
  local old_share, new_share = 0, 0
  for code, purchases in pairs(codes) do
    if (counted[code] or purchases) > 0 then old_share = old_share + 1 end
    if purchases > 0 then new_share = new_share + 1 end
  end
  old_share = old_share > 0 and 1 / math.sqrt(old_share) or 0
  new_share = new_share > 0 and 1 / math.sqrt(new_share) or 0
  for code, purchases in pairs(codes) do
    local was_purchased, is_purchased = (counted[code] or purchases) > 0, purchases > 0
    if was_purchased and is_purchased and not moved then
      if old_share ~= new_share then changes[#changes + 1] = {code, date, 0, new_share - old_share} end
    else
      if was_purchased then changes[#changes + 1] = {code, old_date, -1, -old_share} end
      if is_purchased then changes[#changes + 1] = {code, date, 1, new_share} end
    end
  end
end

-- Collects the demand changes of all events; to be called once, after the last of them.
local function collect_changes(customer)
  for no, invoice in pairs(customer.open) do append_demand_changes(customer, no, invoice) end
end

-- Merges the customer's attributes in an event.
local function merge_customer(customer, attributes, date)
  local changed
  customer.attributes, changed = merge_attributes(customer.attributes, attributes, date)
  if changed then customer.changed, customer.attributes_changed = true, true end
end

-- Adds an event {index, invoice_no, date, lines, attributes}. A line is {text, code, price, description, id, attributes}:
-- all but text and id only of a purchase; id (as JSON, else false) and attributes only where there are any. Purchase lines
-- are appended to the customer's `sales` as {date, code, price, description, attributes}. Returns false where the event is
-- refused because the history would have too many lines.
local function add_invoice(customer, event, window, cap, line_counts)
  local no, date, lines = event[2], event[3], event[4]
  local held_date, watermark = customer.index[no], customer.watermark
  if not held_date and watermark and not before(watermark[1], watermark[2], date, no) then
    line_counts.behind = line_counts.behind + #lines
    merge_customer(customer, event[5], date)
    return true
  end
  local invoice = open(customer, no)
  local texts, index_of, codes = invoice.texts, invoice.index_of, invoice.codes
  local announced, new_lines, purchases = {}, 0, false
  for _, line in ipairs(lines) do
    local id = line[5] or line[1]
    purchases = purchases or line[2]
    if not index_of[id] and not announced[id] then
      announced[id] = true
      new_lines = new_lines + 1
    end
  end
  local new_date = held_date and math.min(held_date, date) or date
  if new_lines > 0 and too_long(customer, window, cap, no, new_date, new_lines) then return false end

  merge_customer(customer, event[5], date)
  if purchases then note_prior(customer, invoice, no, date) end
  customer.now = math.max(customer.now or date, date)
  local sales, counted, changed = customer.sales, invoice.counted, held_date ~= new_date
  local function count_line(code, step)
    counted[code] = counted[code] or codes[code] or 0
    codes[code] = (codes[code] or 0) + step
    invoice.purchases = invoice.purchases + step
  end
  for _, line in ipairs(lines) do
    local text, code = line[1], line[2]
    local id = line[5] or text
    local index = index_of[id]
    if not index then
      texts[#texts + 1] = text
      index_of[id] = #texts
      if code then count_line(code, 1) end
      changed, invoice.dirty = true, true
    elseif texts[index] ~= text and less(text, texts[index]) then
      local _, old_code, old_purchase = parse(texts[index])
      if old_purchase then count_line(old_code, -1) end
      if code then count_line(code, 1) end
      texts[index] = text
      changed, invoice.dirty = true, true
    end
    if code then
      line[1], line[5], line[6] = date, line[6], nil
      sales[#sales + 1] = line
    end
  end
  line_counts.new = line_counts.new + new_lines
  line_counts.known = line_counts.known + #lines - new_lines
  if not changed then return true end

  customer.changed = true
  customer.lines = customer.lines + new_lines
  customer.index[no] = new_date
  customer.dropped[no] = nil
  if not held_date then customer.size = customer.size + 1 end
  if customer.size > window then
    for _, position in ipairs(oldest_beyond(customer, window, no, new_date)) do
      local oldest = customer.open[position[2]]
      customer.lines = customer.lines - line_count(customer, position[2])
      if oldest then append_demand_changes(customer, position[2], oldest) end -- its demand stays when it leaves the window
      customer.index[position[2]] = nil
      customer.open[position[2]] = nil
      customer.scoring[3][position[2]] = nil
      customer.dropped[position[2]] = true
      customer.size = customer.size - 1
      watermark = customer.watermark
      if not watermark or before(watermark[1], watermark[2], position[1], position[2]) then customer.watermark = position end
    end
  end
  return true
end

-- Lets a key expire after some seconds, or never where they are 0.
local function set_ttl(key, ttl)
  if ttl > 0 then redis.call('EXPIRE', key, ttl) else redis.call('PERSIST', key) end
end

-- Writes the history if it changed.
local function save(customer, clock, ttl)
  if not customer.changed then return end
  customer.revision = math.max(customer.revision + 1, clock)
  local gone = {}
  for no in pairs(customer.dropped) do gone[#gone + 1] = 'i' .. no end
  for i = 1, #gone, 1000 do redis.call('HDEL', customer.key, unpack(gone, i, math.min(i + 999, #gone))) end
  for no, invoice in pairs(customer.open) do
    if invoice.dirty then redis.call('HSET', customer.key, 'i' .. no, table.concat(invoice.texts, ',\n')) end
  end
  redis.call('HSET', customer.key, 'v', SCHEMA, 'x', cmsgpack.pack(customer.index),
    'rev', string.format('%.0f', customer.revision), 'n', customer.lines)
  if customer.watermark then redis.call('HSET', customer.key, 'w', cmsgpack.pack(customer.watermark)) end
  redis.call('HSET', customer.key, 's', cmsgpack.pack(customer.scoring))
  if customer.attributes_changed then redis.call('HSET', customer.key, 'a', cmsgpack.pack(customer.attributes)) end
  set_ttl(customer.key, ttl)
end

-- The customer for the caller: invoices, watermark, revision, published, changed, recommendation, priors, attributes.
local function result_of(customer)
  local fields, invoices = redis.call('HGETALL', customer.key), {}
  for i = 1, #fields, 2 do
    if string.byte(fields[i]) == 105 then -- i
      local no = string.sub(fields[i], 2)
      invoices[#invoices + 1] = {no, customer.index[no], fields[i + 1]}
    end
  end
  local priors = {}
  for no, packed in pairs(customer.priors) do
    if packed then
      local prior = cmsgpack.unpack(packed)
      table.insert(prior, 1, no)
      priors[#priors + 1] = prior
    end
  end
  return {invoices, customer.watermark, customer.revision, customer.published, customer.changed,
    customer.recommendation, priors, customer.attributes or false}
end
