-- Turns reservations into what was really used, once; an empty amount stands for what was reserved.
-- A reservation whose lease ran out (state expired) was committed as reserved, and is corrected here; of one that was
-- given back (state void) nothing is held, and what was used is added.
-- KEYS: ledger, due, pending. ARGV: prefix, seconds to remember a settled attempt, JSON of the attempts.
if redis.call('EXISTS', KEYS[1]) == 0 then return '"unopened"' end
local prefix = ARGV[1]

local function add(name, field, amount)
  if amount ~= '0' then redis.call('HINCRBY', name, field, amount) end
end

local function take(name, field, amount)
  if amount ~= '0' then redis.call('HINCRBY', name, field, '-' .. amount) end
end

local function settle(one)
  local key = prefix .. 'attempt:' .. one.attempt
  local held = redis.call('HMGET', key, 'state', 'nano', 'tokens', 'pots')
  if held[1] ~= 'held' and held[1] ~= 'expired' and held[1] ~= 'void' then return '' end
  local nano = one.nano == '' and held[2] or one.nano
  local tokens = one.tokens == '' and held[3] or one.tokens
  local from_nano, from_tokens = 'nano', 'tokens'
  if held[1] == 'held' then from_nano, from_tokens = 'held_nano', 'held_tokens' end
  for pot in string.gmatch(held[4], '%S+') do
    local name = prefix .. 'pot:' .. pot
    if held[1] ~= 'void' then
      take(name, from_nano, held[2])
      take(name, from_tokens, held[3])
    end
    add(name, 'nano', nano)
    add(name, 'tokens', tokens)
  end
  redis.call('DEL', key)
  redis.call('HSET', key, 'state', 'settled')
  redis.call('EXPIRE', key, ARGV[2])
  redis.call('ZREM', KEYS[2], one.attempt)
  redis.call('ZREM', KEYS[3], one.attempt)
  return nano
end

local answers = {}
for i, one in ipairs(cjson.decode(ARGV[3])) do answers[i] = settle(one) end
return cjson.encode(answers)
