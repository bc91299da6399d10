-- What every script here begins with, below `local PERCENTS`: the thresholds of alerts, lowest first.
-- A pot is a hash: what is committed and what is held (held_*) of each measure, as decimal texts, since a Lua number is
-- exact to 2^53 only. Slots are held and never committed.
local MEASURES = { 'nano', 'tokens', 'requests', 'slots' }

local function attempt_at(key)
  local found = redis.call('HMGET', key, 'state', 'pots', 'nano', 'tokens', 'requests', 'slots')
  return found[1], found[2], { found[3], found[4], found[5] or '0', found[6] or '0' }
end

-- Adds to each of the pots, or takes away (sign '-'): what is held (kind 'held_') or committed (kind ''). A pot that
-- was forgotten, since its time is over, stays forgotten.
local function change(prefix, names, kind, sign, amounts)
  for pot in string.gmatch(names, '%S+') do
    local name = prefix .. 'pot:' .. pot
    if redis.call('EXISTS', name) == 1 then
      for i, measure in ipairs(MEASURES) do
        if amounts[i] ~= '0' then redis.call('HINCRBY', name, kind .. measure, sign .. amounts[i]) end
      end
    end
  end
end

local function commit(prefix, names, sign, amounts)
  change(prefix, names, '', sign, { amounts[1], amounts[2], amounts[3], '0' })
end

-- Notes in `alerts`, once for each limit and threshold, what a pot's committed amounts have reached; `refused` is the
-- measure that somebody was refused for, which is the last threshold.
local function notice(prefix, pot, refused)
  local name = prefix .. 'pot:' .. pot
  local now = redis.call('HMGET', name, 'limits', 'nano', 'tokens', 'requests', 'told_nano', 'told_tokens', 'told_requests')
  if not now[1] then return end
  local i = 0
  for limit in string.gmatch(now[1], '%S+') do
    i = i + 1
    local measure, used, most = MEASURES[i], tonumber(now[i + 1] or 0), tonumber(limit)
    local told_limit, told = string.match(now[i + 4] or '', '^(%d+):(%d+)$')
    if told_limit ~= limit then told = 0 end
    for j, percent in ipairs(PERCENTS) do
      local reached = used >= most * percent / 100 or (refused == measure and j == #PERCENTS)
      if most >= 0 and percent > tonumber(told) and reached then
        redis.call('HSET', name, 'told_' .. measure, limit .. ':' .. percent)
        redis.call('HSET', prefix .. 'alerts', table.concat({ measure, percent, limit, pot }, ' '), now[i + 1] or '0')
      end
    end
  end
end
