-- Gives the responses of a conversation, and keeps each for as long again. KEYS: index, the responses. ARGV: milliseconds
-- they are kept, when they end.
local found = {}
for i = 2, #KEYS do
  found[i - 1] = redis.call('GET', KEYS[i])
  if found[i - 1] then
    redis.call('PEXPIRE', KEYS[i], ARGV[1])
    redis.call('ZADD', KEYS[1], 'XX', ARGV[2], KEYS[i])
  end
end
return found
