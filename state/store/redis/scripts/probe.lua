-- Runs every command of the other scripts on keys that nothing else uses, and leaves nothing behind. The first error is
-- returned: it names what the user may not do. KEYS: keys of no customer, each named as those that the scripts write.

local problem
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then problem = problem or reply.err end
end

for _, key in ipairs(KEYS) do
  local function remove() try('EXPIRE', key, -1) end
  remove()
  if problem then break end -- what cannot be removed must not be written
  try('HSET', key, 'a', '1')
  try('HGET', key, 'a')
  try('HMGET', key, 'a', 'b')
  try('HGETALL', key)
  try('PERSIST', key)
  try('HDEL', key, 'a')
  remove()
  try('INCR', key)
  try('SET', key, '1')
  try('GET', key)
  remove()
  try('XADD', key, 'MAXLEN', 1, '1-0', 'a', '1')
  try('XLEN', key)
  remove()
  try('ZADD', key, 1, 'a')
  try('ZRANGE', key, 0, -1)
  remove()
end
return problem and redis.error_reply(problem) or redis.status_reply('OK')
