-- Decisions that stand in the audit stream: what was reserved with them is not pending any more, and has a lease.
-- One whose reservation was given back holds again; so does one that the store does not know because it was emptied
-- between the reservation and the record (stored after the fold's end, and soon after the store was filled).
-- KEYS: ledger, due, pending. ARGV: prefix, seconds in which that may be, JSON of the decisions.
local ledger = redis.call('GET', KEYS[1])
if not ledger then return '"unopened"' end
local prefix = ARGV[1]
local folded, opened = string.match(ledger, '^(%d+) (%S+)$')
folded, opened = tonumber(folded), tonumber(opened)

local function lost(one)
  return folded and one.sequence > folded and one.stored <= opened + tonumber(ARGV[2])
end

local function hold(one, key, names)
  for _, pot in ipairs(one.pots) do
    local name = prefix .. 'pot:' .. pot.name
    redis.call('HSETNX', name, 'since', one.stored)
    if pot.kept_until ~= '0' then redis.call('EXPIREAT', name, pot.kept_until) end
  end
  change(prefix, names, 'held_', '', one.amounts)
  redis.call('HSET', key, 'state', 'held', 'nano', one.amounts[1], 'tokens', one.amounts[2],
    'requests', one.amounts[3], 'slots', one.amounts[4], 'pots', names)
  redis.call('HSETNX', key, 'digest', '')
  redis.call('PERSIST', key)
  redis.call('ZADD', KEYS[2], one.due, one.attempt)
end

for _, one in ipairs(cjson.decode(ARGV[3])) do
  local key, names = prefix .. 'attempt:' .. one.attempt, {}
  for i, pot in ipairs(one.pots) do names[i] = pot.name end
  names = table.concat(names, ' ')
  local state, pots, reserved = attempt_at(key)
  if state == 'held' then
    if redis.call('ZREM', KEYS[3], one.attempt) == 1 then
      redis.call('ZADD', KEYS[2], one.due, one.attempt)
      if pots ~= names or table.concat(reserved, ' ') ~= table.concat(one.amounts, ' ') then
        -- asked twice, before and after its accounts changed: what is recorded counts
        change(prefix, pots, 'held_', '-', reserved)
        hold(one, key, names)
      end
    end
  elseif state == 'void' or (not state and lost(one)) then
    hold(one, key, names)
  end
end
return 1
