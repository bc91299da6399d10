-- Deletes a response. KEYS: index, sizes, the response, then one for each of its items.
redis.call('HINCRBY', KEYS[2], 'total', -(redis.call('HGET', KEYS[2], KEYS[3]) or 0))
redis.call('HDEL', KEYS[2], KEYS[3])
redis.call('ZREM', KEYS[1], KEYS[3])
for i = 3, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
