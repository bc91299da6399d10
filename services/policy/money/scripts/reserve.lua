-- Reserves for each attempt in all of its pots or in none, one attempt after the other, nothing in between.
-- What is reserved is pending until its decision is heard in the audit stream (recorded.lua), and gets its lease then.
-- KEYS: ledger, due, pending. ARGV: prefix, JSON of the attempts.
if redis.call('EXISTS', KEYS[1]) == 0 then return '"unopened"' end
local prefix = ARGV[1]

-- The first measure that a pot has not enough of, and what is left of it.
local function short(ask, pot, now)
  for i, measure in ipairs(MEASURES) do
    local limit, wanted = tonumber(pot.limits[i]), tonumber(ask.amounts[i])
    if limit >= 0 and wanted > 0 then
      local free = limit - tonumber(now[2 * i - 1] or 0) - tonumber(now[2 * i] or 0)
      if free < wanted then return measure, free end
    end
  end
end

local function again(ask, key, held)
  if held[1] ~= 'held' or held[5] then return { state = 'over' } end
  if held[2] ~= ask.digest then return { state = 'conflict' } end
  -- asked twice: neither asker may undo what the other was permitted, and the younger has its full time to record it
  if held[4] ~= ask.asked then
    redis.call('HSET', key, 'again', 1)
    redis.call('ZADD', KEYS[3], 'XX', 'GT', ask.asked, ask.attempt)
  end
  return { state = 'held', answer = held[3] }
end

local function take(ask, pot, known)
  local name = prefix .. 'pot:' .. pot.name
  for i, measure in ipairs(MEASURES) do
    if ask.amounts[i] ~= '0' then redis.call('HINCRBY', name, 'held_' .. measure, ask.amounts[i]) end
  end
  if not known[10] then redis.call('HSET', name, 'since', ask.asked) end
  if pot.alerts ~= '' and known[9] ~= pot.alerts then redis.call('HSET', name, 'limits', pot.alerts) end
  if pot.kept_until ~= '0' then redis.call('EXPIREAT', name, pot.kept_until) end
end

local function reserve(ask)
  local key = prefix .. 'attempt:' .. ask.attempt
  local held = redis.call('HMGET', key, 'state', 'digest', 'answer', 'asked', 'over')
  if held[1] then return again(ask, key, held) end
  local left, names, known = -1, {}, {}
  for i, pot in ipairs(ask.pots) do
    local now = redis.call('HMGET', prefix .. 'pot:' .. pot.name, 'nano', 'held_nano', 'tokens', 'held_tokens',
      'requests', 'held_requests', 'slots', 'held_slots', 'limits', 'since')
    local measure, free = short(ask, pot, now)
    if measure then
      notice(prefix, pot.name, measure)
      return { state = 'short', pot = pot.name, what = measure, left = string.format('%.0f', free) }
    end
    local limit = tonumber(pot.limits[1])
    if limit >= 0 then
      free = limit - tonumber(now[1] or 0) - tonumber(now[2] or 0) - tonumber(ask.amounts[1])
      if left < 0 or free < left then left = math.max(0, free) end
    end
    names[i], known[i] = pot.name, now
  end
  for i, pot in ipairs(ask.pots) do take(ask, pot, known[i]) end
  redis.call('HSET', key, 'state', 'held', 'digest', ask.digest, 'nano', ask.amounts[1], 'tokens', ask.amounts[2],
    'requests', ask.amounts[3], 'slots', ask.amounts[4],
    'pots', table.concat(names, ' '), 'answer', ask.answer, 'asked', ask.asked)
  redis.call('ZADD', KEYS[3], ask.asked, ask.attempt)
  return { state = 'reserved', left = string.format('%.0f', left) }
end

local answers = {}
for i, ask in ipairs(cjson.decode(ARGV[2])) do answers[i] = reserve(ask) end
return cjson.encode(answers)
