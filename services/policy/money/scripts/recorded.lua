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

local function change(names, sign, nano, tokens)
  for pot in string.gmatch(names, '%S+') do
    local name = prefix .. 'pot:' .. pot
    if nano ~= '0' then redis.call('HINCRBY', name, 'held_nano', sign .. nano) end
    if tokens ~= '0' then redis.call('HINCRBY', name, 'held_tokens', sign .. tokens) end
  end
end

local function hold(one, key, names)
  change(names, '', one.nano, one.tokens)
  for _, pot in ipairs(one.pots) do
    if pot.kept_until ~= '0' then redis.call('EXPIREAT', prefix .. 'pot:' .. pot.name, pot.kept_until) end
  end
  redis.call('HSET', key, 'state', 'held', 'nano', one.nano, 'tokens', one.tokens, 'pots', names)
  redis.call('HSETNX', key, 'digest', '')
  redis.call('PERSIST', key)
  redis.call('ZADD', KEYS[2], one.due, one.attempt)
end

for _, one in ipairs(cjson.decode(ARGV[3])) do
  local key, names = prefix .. 'attempt:' .. one.attempt, {}
  for i, pot in ipairs(one.pots) do names[i] = pot.name end
  names = table.concat(names, ' ')
  local held = redis.call('HMGET', key, 'state', 'nano', 'tokens', 'pots')
  if held[1] == 'held' then
    if redis.call('ZREM', KEYS[3], one.attempt) == 1 then
      redis.call('ZADD', KEYS[2], one.due, one.attempt)
      if held[4] ~= names or held[2] ~= one.nano or held[3] ~= one.tokens then
        -- asked twice, before and after its accounts changed: what is recorded counts
        change(held[4], '-', held[2], held[3])
        hold(one, key, names)
      end
    end
  elseif held[1] == 'void' or (not held[1] and lost(one)) then
    hold(one, key, names)
  end
end
return 1
