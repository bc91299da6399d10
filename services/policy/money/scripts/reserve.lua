-- Reserves for each attempt in all of its pots or in none, one attempt after the other, nothing in between.
-- What is reserved is pending until its decision is heard in the audit stream (recorded.lua), and gets its lease then.
-- KEYS: ledger, due, pending. ARGV: prefix, JSON of the attempts. Amounts are decimal texts: a Lua number is exact to
-- 2^53 only.
if redis.call('EXISTS', KEYS[1]) == 0 then return '"unopened"' end
local prefix = ARGV[1]

local function reserve(ask)
  local key = prefix .. 'attempt:' .. ask.attempt
  local held = redis.call('HMGET', key, 'state', 'digest', 'answer', 'asked')
  if held[1] then
    if held[1] ~= 'held' then return { state = 'over' } end
    if held[2] ~= ask.digest then return { state = 'conflict' } end
    -- asked twice: neither asker may undo what the other was permitted, and the younger has its full time to record it
    if held[4] ~= ask.asked then
      redis.call('HSET', key, 'again', 1)
      redis.call('ZADD', KEYS[3], 'XX', 'GT', ask.asked, ask.attempt)
    end
    return { state = 'held', answer = held[3] }
  end
  local nano, tokens, left = tonumber(ask.nano), tonumber(ask.tokens), -1
  local names = {}
  for i, pot in ipairs(ask.pots) do
    local now = redis.call('HMGET', prefix .. 'pot:' .. pot.name, 'nano', 'held_nano', 'tokens', 'held_tokens')
    local limit_nano, limit_tokens = tonumber(pot.nano), tonumber(pot.tokens)
    if limit_nano >= 0 then
      local free = limit_nano - tonumber(now[1] or 0) - tonumber(now[2] or 0)
      if nano > 0 and free < nano then
        return { state = 'short', pot = pot.name, what = 'nano', left = string.format('%.0f', free) }
      end
      if left < 0 or free - nano < left then left = math.max(0, free - nano) end
    end
    if limit_tokens >= 0 then
      local free = limit_tokens - tonumber(now[3] or 0) - tonumber(now[4] or 0)
      if tokens > 0 and free < tokens then
        return { state = 'short', pot = pot.name, what = 'tokens', left = string.format('%.0f', free) }
      end
    end
    names[i] = pot.name
  end
  for _, pot in ipairs(ask.pots) do
    local name = prefix .. 'pot:' .. pot.name
    redis.call('HINCRBY', name, 'held_nano', ask.nano)
    redis.call('HINCRBY', name, 'held_tokens', ask.tokens)
    if pot.kept_until ~= '0' then redis.call('EXPIREAT', name, pot.kept_until) end
  end
  redis.call('HSET', key, 'state', 'held', 'digest', ask.digest, 'nano', ask.nano, 'tokens', ask.tokens,
    'pots', table.concat(names, ' '), 'answer', ask.answer, 'asked', ask.asked)
  redis.call('ZADD', KEYS[3], ask.asked, ask.attempt)
  return { state = 'reserved', left = string.format('%.0f', left) }
end

local answers = {}
for i, ask in ipairs(cjson.decode(ARGV[2])) do answers[i] = reserve(ask) end
return cjson.encode(answers)
