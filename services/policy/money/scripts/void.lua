-- Gives back reservations that no decision stands for; the attempts are over. What they were is kept: should a decision
-- be heard after all (recorded.lua), it holds again.
-- KEYS: ledger, due, pending. ARGV: prefix, seconds to keep what they were, asked before, how many at most.
-- Answers the attempts that are over.
local prefix = ARGV[1]
local found = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])
for _, attempt in ipairs(found) do
  local key = prefix .. 'attempt:' .. attempt
  local state, pots, reserved = attempt_at(key)
  redis.call('ZREM', KEYS[3], attempt)
  if state == 'held' then
    change(prefix, pots, 'held_', '-', reserved)
    redis.call('HSET', key, 'state', 'void')
    redis.call('EXPIRE', key, ARGV[2])
  end
end
return found
