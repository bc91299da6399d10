-- Keeps an answer, and makes room: what ends soonest goes first. KEYS: answer, index, total. ARGV: the answer, what it
-- takes in bytes, milliseconds it is kept, now in milliseconds, the most bytes that a tenant's answers may take together.
local function forget(member, also_the_answer)
  local size, name = string.match(member, '^(%d+):(.*)$')
  redis.call('DECRBY', KEYS[3], size)
  if also_the_answer then redis.call('DEL', name) end
end

for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[4])) do forget(member, false) end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[4])
local size, most = tonumber(ARGV[2]), tonumber(ARGV[5])
if size > most then return 0 end
while tonumber(redis.call('GET', KEYS[3]) or 0) + size > most do
  local soonest = redis.call('ZPOPMIN', KEYS[2])
  if not soonest[1] then
    redis.call('SET', KEYS[3], 0)
    break
  end
  forget(soonest[1], true)
end
local member = ARGV[2] .. ':' .. KEYS[1]
if redis.call('ZADD', KEYS[2], ARGV[4] + ARGV[3], member) == 1 then redis.call('INCRBY', KEYS[3], size) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
for i = 2, 3 do
  if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
end
return 1
