-- Attributes of customers and items, as in state/domain/attributes.py: a map of key to {date, value}, nil where there are
-- none, because Lua cannot distinguish an empty map from an empty list.

local MAX_KEYS = 32

-- Compares strings by bytes, as Python does; Lua's comparison follows the server's locale. The first byte that differs is
-- found by halving, so that a long common start costs little.
local function less(a, b)
  local same, differ = 0, math.min(#a, #b)
  if string.sub(a, 1, differ) == string.sub(b, 1, differ) then return #a < #b end
  while differ - same > 1 do
    local middle = math.floor((same + differ) / 2)
    if string.sub(a, same + 1, middle) == string.sub(b, same + 1, middle) then same = middle else differ = middle end
  end
  return string.byte(a, differ) < string.byte(b, differ)
end

-- Sorts keys by bytes. They are compared four bytes at a time; -1, less than any of them, and the length are at the end.
local function sort_keys(keys)
  local parts = {}
  for _, key in ipairs(keys) do
    local count = math.ceil(#key / 4)
    local padded = key .. string.rep('\0', 4 * count - #key)
    parts[key] = {struct.unpack('>' .. string.rep('I4', count), padded)}
    parts[key][count + 1], parts[key][count + 2] = -1, #key
  end
  table.sort(keys, function(a, b)
    local x, y, i = parts[a], parts[b], 1
    while x[i] == y[i] and x[i] do i = i + 1 end
    return (x[i] or 0) < (y[i] or 0)
  end)
end

-- The dated attributes after an event of a date with some attributes (nil: none), and whether they changed.
local function merge_attributes(dated, attributes, date)
  if not attributes then return dated, false end
  local merged, changed, new_keys = dated or {}, false, nil
  for key, value in pairs(attributes) do
    local known = merged[key]
    if not known then
      new_keys = new_keys or {}
      new_keys[#new_keys + 1] = key
    elseif known[1] < date or (known[1] == date and known[2] ~= value and less(known[2], value)) then
      merged[key], changed = {date, value}, true
    end
  end
  if not new_keys then return merged, changed end
  local keys = {}
  for key in pairs(merged) do keys[#keys + 1] = key end
  for _, key in ipairs(new_keys) do
    keys[#keys + 1] = key
    merged[key] = {date, attributes[key]}
  end
  if #keys <= MAX_KEYS then return merged, true end
  sort_keys(keys)
  for i = MAX_KEYS + 1, #keys do merged[keys[i]] = nil end
  for _, key in ipairs(new_keys) do changed = changed or merged[key] ~= nil end
  return merged, changed
end
