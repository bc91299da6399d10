-- Gives back reservations that no decision stands for; the attempts are over. What they were is kept: should a decision
-- be heard after all (recorded.lua), it holds again.
-- KEYS: ledger, due, pending. ARGV: prefix, seconds to keep what they were, asked before, how many at most, attempt.
-- With an attempt only this one, however young, unless it was asked about again: then another asker has its fate.
-- Answers the attempts that are over.
local prefix, own = ARGV[1], ARGV[5] ~= ''
local found = own and { ARGV[5] } or redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])
local over = {}
for _, attempt in ipairs(found) do
  local key = prefix .. 'attempt:' .. attempt
  if not (own and redis.call('HEXISTS', key, 'again') == 1) then
    local state, pots, reserved = attempt_at(key)
    if redis.call('ZREM', KEYS[3], attempt) == 1 and state == 'held' then
      change(prefix, pots, 'held_', '-', reserved)
      redis.call('HSET', key, 'state', 'void')
      redis.call('EXPIRE', key, ARGV[2])
    end
    over[#over + 1] = attempt
  end
end
return over
