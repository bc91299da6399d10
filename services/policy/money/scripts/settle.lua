-- Turns reservations into what was really used, once; an empty amount stands for what was reserved.
-- A reservation whose lease ran out (state expired) was committed as reserved, and is corrected here; of one that was
-- given back (state void) nothing is held, and what was used is added.
-- KEYS: ledger, due, pending. ARGV: prefix, seconds to remember a settled attempt, JSON of the attempts.
if redis.call('EXISTS', KEYS[1]) == 0 then return '"unopened"' end
local prefix = ARGV[1]

local function settle(one)
  local key = prefix .. 'attempt:' .. one.attempt
  local state, pots, reserved = attempt_at(key)
  if state ~= 'held' and state ~= 'expired' and state ~= 'void' then return '' end
  local used = {}
  for i = 1, 3 do used[i] = one.amounts[i] == '' and reserved[i] or one.amounts[i] end
  if state == 'held' then change(prefix, pots, 'held_', '-', reserved) end
  if state == 'expired' then commit(prefix, pots, '-', reserved) end
  commit(prefix, pots, '', used)
  for pot in string.gmatch(pots, '%S+') do notice(prefix, pot) end
  redis.call('DEL', key)
  redis.call('HSET', key, 'state', 'settled')
  redis.call('EXPIRE', key, ARGV[2])
  redis.call('ZREM', KEYS[2], one.attempt)
  redis.call('ZREM', KEYS[3], one.attempt)
  return used[1]
end

local answers = {}
for i, one in ipairs(cjson.decode(ARGV[3])) do answers[i] = settle(one) end
return cjson.encode(answers)
