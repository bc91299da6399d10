-- Closes an attempt that nobody was permitted, unless it was asked about again: then another asker has its fate. It stays
-- held: its decision may still come into the stream, and until the stream says that nothing came of it nobody else may
-- have what it holds.
-- KEYS: ledger, due, pending. ARGV: prefix, attempt. Answers whether it is closed.
local key = ARGV[1] .. 'attempt:' .. ARGV[2]
if redis.call('HEXISTS', key, 'again') == 1 then return 0 end
if redis.call('HGET', key, 'state') == 'held' then redis.call('HSET', key, 'over', 1) end
return 1
