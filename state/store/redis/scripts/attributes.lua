-- Attributes of customers and items: what state/domain/attributes.py's merge() does. They are a map of key to {date, value},
-- nil where there are none, since Lua cannot tell an empty map from an empty list.

local MOST_KEYS = 32

-- Lua's own comparison of strings follows the server's locale; ours are by bytes, as in Python.
local function less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- What holds once an event of a date has said some attributes (nil: none), and whether that is another than before.
local function merge(dated, said, date)
  if not said then return dated, false end
  local merged, changed, fresh = dated or {}, false, nil
  for key, value in pairs(said) do
    local known = merged[key]
    if not known then
      fresh = fresh or {}
      fresh[#fresh + 1] = key
    elseif known[1] < date or (known[1] == date and known[2] ~= value and less(known[2], value)) then
      merged[key], changed = {date, value}, true
    end
  end
  if not fresh then return merged, changed end
  local keys, old = {}, dated or {}
  for key in pairs(old) do keys[#keys + 1] = key end
  for _, key in ipairs(fresh) do
    keys[#keys + 1] = key
    merged[key] = {date, said[key]}
  end
  table.sort(keys, less)
  for i = #keys, MOST_KEYS + 1, -1 do merged[keys[i]] = nil end
  for _, key in ipairs(fresh) do changed = changed or merged[key] ~= nil end
  return merged, changed
end
