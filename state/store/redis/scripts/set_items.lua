-- Replaces the states of items; sets the greatest date accepted, also to an earlier one, where one is given.
-- KEYS: items' state, changed, version, now. ARGV[1]: {now or false, {{code, item}, ...}}.

local now, replaced = unpack(cmsgpack.unpack(ARGV[1]))
local item_keys = {state = KEYS[1], changed = KEYS[2], version = KEYS[3], now = KEYS[4]}
local items = {}
for _, one in ipairs(replaced) do
  one[2].dirty = true
  items[one[1]] = one[2]
end
save_items(item_keys, items, false)
if now then redis.call('SET', item_keys.now, string.format('%.0f', now)) end
return redis.status_reply('OK')
