-- Leases that ran out: what was reserved counts as used, until an outcome says otherwise, and its slots are free. Only
-- what stands in the audit stream has a lease; what is pending is given back instead (void.lua).
-- KEYS: ledger, due, pending. ARGV: prefix, now, how many at most, seconds to wait for a late outcome. Answers the attempts.
local prefix = ARGV[1]
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
for _, attempt in ipairs(due) do
  local key = prefix .. 'attempt:' .. attempt
  local state, pots, reserved = attempt_at(key)
  if state == 'held' then
    change(prefix, pots, 'held_', '-', reserved)
    commit(prefix, pots, '', reserved)
    for pot in string.gmatch(pots, '%S+') do notice(prefix, pot) end
    redis.call('HSET', key, 'state', 'expired')
    redis.call('HDEL', key, 'answer')
    redis.call('EXPIRE', key, ARGV[4])
  end
  redis.call('ZREM', KEYS[2], attempt)
end
return due
