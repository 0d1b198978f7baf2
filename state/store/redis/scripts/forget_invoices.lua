-- Removes invoices from a history; a history without invoices goes, with its recommendation.
-- KEYS: history, recommendation. ARGV[1]: {clock, invoice numbers}. Returns the number of invoices removed.

local clock, numbers = unpack(cmsgpack.unpack(ARGV[1]))
local packed = redis.call('HGET', KEYS[1], 'x')
if not packed then return 0 end
local dates = cmsgpack.unpack(packed)
local lines, removed = tonumber(redis.call('HGET', KEYS[1], 'n')), {}
for _, number in ipairs(numbers) do
  if dates[number] then
    local _, breaks = string.gsub(redis.call('HGET', KEYS[1], 'i' .. number), ',\n', '')
    lines = lines - breaks - 1
    dates[number] = nil
    removed[#removed + 1] = number
  end
end
if #removed == 0 then return 0 end
if not next(dates) then
  redis.call('EXPIRE', KEYS[1], -1)
  redis.call('EXPIRE', KEYS[2], -1)
  return #removed
end
for _, number in ipairs(removed) do redis.call('HDEL', KEYS[1], 'i' .. number) end
local revision = math.max(tonumber(redis.call('HGET', KEYS[1], 'rev') or 0) + 1, clock)
redis.call('HSET', KEYS[1], 'x', cmsgpack.pack(dates), 'n', string.format('%.0f', lines),
  'rev', string.format('%.0f', revision))
return #removed
