-- Leases that ran out: what was reserved counts as used, until an outcome says otherwise. Only what stands in the audit
-- stream has a lease; what is pending is given back instead (void.lua).
-- KEYS: ledger, due, pending. ARGV: prefix, now, how many at most, seconds to wait for a late outcome. Answers the attempts.
local prefix = ARGV[1]
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
for _, attempt in ipairs(due) do
  local key = prefix .. 'attempt:' .. attempt
  local held = redis.call('HMGET', key, 'state', 'nano', 'tokens', 'pots')
  if held[1] == 'held' then
    for pot in string.gmatch(held[4], '%S+') do
      local name = prefix .. 'pot:' .. pot
      redis.call('HINCRBY', name, 'nano', held[2])
      redis.call('HINCRBY', name, 'tokens', held[3])
      if held[2] ~= '0' then redis.call('HINCRBY', name, 'held_nano', '-' .. held[2]) end
      if held[3] ~= '0' then redis.call('HINCRBY', name, 'held_tokens', '-' .. held[3]) end
    end
    redis.call('HSET', key, 'state', 'expired')
    redis.call('HDEL', key, 'answer')
    redis.call('EXPIRE', key, ARGV[4])
  end
  redis.call('ZREM', KEYS[2], attempt)
end
return due
