-- One customer's history: what state/domain/history.py's take() does, on the hash of docs/reference/state.md.
-- Nothing here writes but keep(), so that whatever goes wrong before leaves Redis as it was.

local SCHEMA = 1

-- Order of invoices: date, then number as text.
local function before(date_a, no_a, date_b, no_b)
  if date_a ~= date_b then return date_a < date_b end
  return less(no_a, no_b)
end

-- A kept line's text, ["22613",12000,0.85] or with a fourth element, its id: identity, stock code, whether it is a purchase.
-- Within JSON strings every quote has a backslash before it, so the patterns can match in one way only.
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

-- The customer's facts but for the lines, or nil and why not.
local function load(key, recommendation_key)
  local fields = redis.pcall('HMGET', key, 'v', 'x', 'w', 'rev', 'pub', 'n', 's', 'c', 'q', 'a')
  if fields.err then return nil, fields.err end
  if fields[1] and tonumber(fields[1]) > SCHEMA then return nil, 'SCHEMA ' .. fields[1] end
  local recommendation = redis.pcall('GET', recommendation_key)
  if type(recommendation) == 'table' then return nil, recommendation.err end
  local customer = {
    key = key,
    index = fields[2] and cmsgpack.unpack(fields[2]) or {},
    size = 0,
    watermark = fields[3] and cmsgpack.unpack(fields[3]) or false,
    revision = tonumber(fields[4] or 0),
    published = tonumber(fields[5] or 0),
    lines = tonumber(fields[6] or 0),
    scored = fields[7] and cmsgpack.unpack(fields[7]) or {false, false, {}},
    confirmed = fields[8] or false,
    sequence = tonumber(fields[9] or 0),
    attributes = fields[10] and cmsgpack.unpack(fields[10]) or nil,
    said_more = false,
    recommendation = recommendation,
    open = {},
    fallen = {},
    standings = {},
    changed = false,
    now = false,
    seen = {},
    counts = {},
  }
  for _ in pairs(customer.index) do customer.size = customer.size + 1 end
  return customer
end

-- An invoice with its lines: texts in order of arrival, the place of each identity, purchase lines by code; `date` as it is
-- counted so far (false where it is new), and in `was` the purchase lines as counted so far, of the codes that have changed.
local function open(customer, no)
  local invoice = customer.open[no]
  if invoice then return invoice end
  invoice = {texts = {}, at = {}, codes = {}, purchases = 0, dirty = false, date = customer.index[no] or false, was = {}}
  if customer.index[no] then
    local texts, at, codes = invoice.texts, invoice.at, invoice.codes
    for text in string.gmatch(redis.call('HGET', customer.key, 'i' .. no), '([^\n]+%])') do
      local id, code, purchase = parse(text)
      texts[#texts + 1] = text
      at[id] = #texts
      if purchase then
        codes[code] = (codes[code] or 0) + 1
        invoice.purchases = invoice.purchases + 1
      end
    end
  end
  customer.open[no] = invoice
  return invoice
end

-- The oldest invoices beyond the window, once (date, no) is in the index.
local function beyond(customer, window, no, date)
  local places = {}
  for other, held in pairs(customer.index) do
    if other ~= no then places[#places + 1] = {held, other} end
  end
  places[#places + 1] = {date, no}
  local excess, oldest = #places - window, {}
  for i = 1, excess do -- one, unless the window was made smaller
    local first = 1
    for j = 2, #places do
      if before(places[j][1], places[j][2], places[first][1], places[first][2]) then first = j end
    end
    oldest[i] = table.remove(places, first)
  end
  return oldest
end

-- Whether the customer would hold more lines than the cap after `fresh` new ones in an invoice.
local function too_long(customer, window, cap, no, date, fresh)
  local lines = customer.lines + fresh
  if lines <= cap then return false end
  for _, place in ipairs(beyond(customer, window, no, date)) do
    lines = lines - #open(customer, place[2]).texts
    if place[2] == no then lines = lines - fresh end
  end
  return lines > cap
end

-- The later of two places {date, no}, of which the first may be missing.
local function later(a, b)
  if a and before(b[1], b[2], a[1], a[2]) then return a end
  return b
end

-- Keeps which invoices the recommendation of now is scored against: purchases that appear while it stands, unless they are
-- older than what the customer had bought before it. `scored` is {recommendation, newest purchase before it, {no = true}}.
local function note_scored(customer, invoice, no, date)
  local scored = customer.scored
  if not scored[3][no] then
    if invoice.purchases > 0 then return end
    local newest = scored[2]
    if scored[1] ~= customer.confirmed then
      for held in pairs(scored[3]) do newest = later(newest, {customer.index[held], held}) end
      scored = {customer.confirmed, newest, {}}
    end
    if newest and before(date, no, newest[1], newest[2]) then return end
    scored[3][no] = true
    customer.scored = scored
  end
  customer.standings[no] = scored[1]
end

-- Demand counts each purchased code once an invoice, at the invoice's date, and its shares 1 / √k where the invoice has k
-- codes. One code more or less changes the shares of them all, so an invoice is counted again once a batch, not once an event.
local function recount(customer, no, invoice)
  local counts, codes, was = customer.counts, invoice.codes, invoice.was
  local old_date, date = invoice.date, customer.index[no]
  local moved = old_date and old_date ~= date
  local had, has = 0, 0
  for code, purchases in pairs(codes) do
    if (was[code] or purchases) > 0 then had = had + 1 end
    if purchases > 0 then has = has + 1 end
  end
  had, has = had > 0 and 1 / math.sqrt(had) or 0, has > 0 and 1 / math.sqrt(has) or 0
  for code, purchases in pairs(codes) do
    local counted, counts_now = (was[code] or purchases) > 0, purchases > 0
    if counted and counts_now and not moved then
      if had ~= has then counts[#counts + 1] = {code, date, 0, has - had} end
    else
      if counted then counts[#counts + 1] = {code, old_date, -1, -had} end
      if counts_now then counts[#counts + 1] = {code, date, 1, has} end
    end
  end
end

-- Counts all that the events changed; to be called once, after the last of them.
local function settle(customer)
  for no, invoice in pairs(customer.open) do recount(customer, no, invoice) end
end

-- Takes the attributes of a customer in that an event says.
local function learn(customer, said, date)
  local changed
  customer.attributes, changed = merge(customer.attributes, said, date)
  if changed then customer.changed, customer.said_more = true, true end
end

-- Takes an event {place, invoice_no, date, lines, attributes} in. A line is {text, code, price, description, id, attributes}:
-- all but text and id only of a purchase; id (as JSON, else false) and attributes only where there are any. The lines of
-- purchases become the customer's `seen`, {date, code, price, description, attributes}. Returns false where the event is
-- refused because the history would grow too long.
local function take(customer, event, window, cap, tally)
  local no, date, lines = event[2], event[3], event[4]
  local held_date, watermark = customer.index[no], customer.watermark
  if not held_date and watermark and not before(watermark[1], watermark[2], date, no) then
    tally.behind = tally.behind + #lines
    learn(customer, event[5], date)
    return true
  end
  local invoice = open(customer, no)
  local texts, at, codes = invoice.texts, invoice.at, invoice.codes
  local announced, fresh, purchases = {}, 0, false
  for _, line in ipairs(lines) do
    local id = line[5] or line[1]
    purchases = purchases or line[2]
    if not at[id] and not announced[id] then
      announced[id] = true
      fresh = fresh + 1
    end
  end
  local new_date = held_date and math.min(held_date, date) or date
  if fresh > 0 and too_long(customer, window, cap, no, new_date, fresh) then return false end

  learn(customer, event[5], date)
  if purchases then note_scored(customer, invoice, no, date) end
  customer.now = math.max(customer.now or date, date)
  local seen, was, changed = customer.seen, invoice.was, held_date ~= new_date
  local function hold(code, step)
    was[code] = was[code] or codes[code] or 0
    codes[code] = (codes[code] or 0) + step
    invoice.purchases = invoice.purchases + step
  end
  for _, line in ipairs(lines) do
    local text, code = line[1], line[2]
    local id = line[5] or text
    local place = at[id]
    if not place then
      texts[#texts + 1] = text
      at[id] = #texts
      if code then hold(code, 1) end
      changed, invoice.dirty = true, true
    elseif texts[place] ~= text and less(text, texts[place]) then
      local _, old_code, old_purchase = parse(texts[place])
      if old_purchase then hold(old_code, -1) end
      if code then hold(code, 1) end
      texts[place] = text
      changed, invoice.dirty = true, true
    end
    if code then
      line[1], line[5], line[6] = date, line[6], nil
      seen[#seen + 1] = line
    end
  end
  tally.new = tally.new + fresh
  tally.known = tally.known + #lines - fresh
  if not changed then return true end

  customer.changed = true
  customer.lines = customer.lines + fresh
  customer.index[no] = new_date
  customer.fallen[no] = nil
  if not held_date then customer.size = customer.size + 1 end
  if customer.size > window then
    for _, place in ipairs(beyond(customer, window, no, new_date)) do
      local oldest = open(customer, place[2])
      recount(customer, place[2], oldest) -- what it counts stays when it goes
      customer.lines = customer.lines - #oldest.texts
      customer.index[place[2]] = nil
      customer.open[place[2]] = nil
      customer.scored[3][place[2]] = nil
      customer.fallen[place[2]] = true
      customer.size = customer.size - 1
      watermark = customer.watermark
      if not watermark or before(watermark[1], watermark[2], place[1], place[2]) then customer.watermark = place end
    end
  end
  return true
end

-- Gives a key so many seconds from now, or for ever where they are 0.
local function live(key, ttl)
  if ttl > 0 then redis.call('EXPIRE', key, ttl) else redis.call('PERSIST', key) end
end

-- Writes what changed.
local function keep(customer, clock, ttl)
  if not customer.changed then return end
  customer.revision = math.max(customer.revision + 1, clock)
  local gone = {}
  for no in pairs(customer.fallen) do gone[#gone + 1] = 'i' .. no end
  for i = 1, #gone, 1000 do redis.call('HDEL', customer.key, unpack(gone, i, math.min(i + 999, #gone))) end
  for no, invoice in pairs(customer.open) do
    if invoice.dirty then redis.call('HSET', customer.key, 'i' .. no, table.concat(invoice.texts, ',\n')) end
  end
  redis.call('HSET', customer.key, 'v', SCHEMA, 'x', cmsgpack.pack(customer.index),
    'rev', string.format('%.0f', customer.revision), 'n', customer.lines)
  if customer.watermark then redis.call('HSET', customer.key, 'w', cmsgpack.pack(customer.watermark)) end
  redis.call('HSET', customer.key, 's', cmsgpack.pack(customer.scored))
  if customer.said_more then redis.call('HSET', customer.key, 'a', cmsgpack.pack(customer.attributes)) end
  live(customer.key, ttl)
end

-- The customer for the caller: invoices, watermark, revision, published, changed, recommendation, standings, attributes.
local function answer(customer)
  local fields, invoices = redis.call('HGETALL', customer.key), {}
  for i = 1, #fields, 2 do
    if string.byte(fields[i]) == 105 then -- i
      local no = string.sub(fields[i], 2)
      invoices[#invoices + 1] = {no, customer.index[no], fields[i + 1]}
    end
  end
  local standings = {}
  for no, packed in pairs(customer.standings) do
    if packed then
      local standing = cmsgpack.unpack(packed)
      table.insert(standing, 1, no)
      standings[#standings + 1] = standing
    end
  end
  return {invoices, customer.watermark, customer.revision, customer.published, customer.changed,
    customer.recommendation, standings, customer.attributes or false}
end
