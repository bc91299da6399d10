-- Fills an empty store from a fold of the audit stream, unless somebody did already.
-- The ledger key says up to which sequence of the stream it was folded, and when.
-- KEYS: ledger, due, tenants. ARGV: prefix, tenant, now, JSON {pots, attempts}, seconds to wait for a late outcome,
-- sequence.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local prefix, folded = ARGV[1], cjson.decode(ARGV[4])
for _, pot in ipairs(folded.pots) do
  local name = prefix .. 'pot:' .. pot.name
  redis.call('HSET', name, unpack(pot.fields))
  if pot.kept_until ~= '0' then redis.call('EXPIREAT', name, pot.kept_until) end
end
for _, one in ipairs(folded.attempts) do
  local key = prefix .. 'attempt:' .. one.attempt
  redis.call('HSET', key, 'state', one.state, 'digest', '', 'nano', one.amounts[1], 'tokens', one.amounts[2],
    'requests', one.amounts[3], 'slots', one.amounts[4], 'pots', one.pots)
  if one.state == 'held' then
    redis.call('ZADD', KEYS[2], one.due, one.attempt)
  else
    redis.call('EXPIRE', key, ARGV[5])
  end
end
redis.call('SET', KEYS[1], ARGV[6] .. ' ' .. ARGV[3])
redis.call('SADD', KEYS[3], ARGV[2])
return 1
