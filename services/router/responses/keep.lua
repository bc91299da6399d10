-- Keeps a response, and makes room: what ends soonest goes first. KEYS: index, sizes, the response, then one for each of
-- its items. ARGV: the response, what it takes in bytes, milliseconds it is kept, when it ends, now, the most bytes that a
-- tenant's responses may take together, its id.
local function forget(name)
  redis.call('HINCRBY', KEYS[2], 'total', -(redis.call('HGET', KEYS[2], name) or 0))
  redis.call('HDEL', KEYS[2], name)
  redis.call('ZREM', KEYS[1], name)
end

for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[5])) do forget(name) end
forget(KEYS[3])
local size, most = tonumber(ARGV[2]), tonumber(ARGV[6])
if size > most then return 0 end
while tonumber(redis.call('HGET', KEYS[2], 'total') or 0) + size > most do
  local soonest = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  if not soonest then
    redis.call('HSET', KEYS[2], 'total', 0)
    break
  end
  forget(soonest)
  redis.call('DEL', soonest)
end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])
for i = 4, #KEYS do redis.call('SET', KEYS[i], ARGV[7], 'PX', ARGV[3]) end
redis.call('ZADD', KEYS[1], ARGV[4], KEYS[3])
redis.call('HSET', KEYS[2], KEYS[3], size)
redis.call('HINCRBY', KEYS[2], 'total', size)
for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
return 1
