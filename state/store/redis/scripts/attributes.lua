-- Attributes of customers and items, as in state/domain/attributes.py: a map of key to {date, value}, nil where there are
-- none, because Lua cannot distinguish an empty map from an empty list.

local MAX_KEYS = 32

-- Compares strings by bytes, as Python does; Lua's comparison follows the server's locale.
local function less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
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
  local keys, old = {}, dated or {}
  for key in pairs(old) do keys[#keys + 1] = key end
  for _, key in ipairs(new_keys) do
    keys[#keys + 1] = key
    merged[key] = {date, attributes[key]}
  end
  table.sort(keys, less)
  for i = #keys, MAX_KEYS + 1, -1 do merged[keys[i]] = nil end
  for _, key in ipairs(new_keys) do changed = changed or merged[key] ~= nil end
  return merged, changed
end
