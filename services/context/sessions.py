"""Conversations in the store: turns in order, each once, the oldest dropped beyond the limits."""

from dataclasses import dataclass

import msgspec

from penstock.contracts.context import History, Turn
from penstock.kit.store import Argument, Script, Store

_APPEND = Script("""
local turns, ids, info = KEYS[1], KEYS[2], KEYS[3]
local turns_max, bytes_max, keep = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bytes = tonumber(redis.call('HGET', info, 'bytes') or '0')
for n = 4, #ARGV, 2 do
  if not redis.call('ZSCORE', ids, ARGV[n]) then
    redis.call('ZADD', ids, redis.call('HINCRBY', info, 'total', 1), ARGV[n])
    redis.call('RPUSH', turns, ARGV[n + 1])
    bytes = bytes + #ARGV[n + 1]
  end
end
local length = redis.call('LLEN', turns)
while length > turns_max or (bytes > bytes_max and length > 1) do
  bytes = bytes - #redis.call('LPOP', turns)
  length = length - 1
end
redis.call('ZREMRANGEBYRANK', ids, 0, -1 - 4 * turns_max)
redis.call('HSET', info, 'bytes', bytes)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, keep) end
return length
""")

_turns = msgspec.json.Decoder(Turn)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Beyond turns or bytes the oldest turns are dropped, never the newest; ids are remembered four times as long."""

    turns_max: int = 1_000
    bytes_max: int = 8 * 1024 * 1024
    keep_s: float = 30 * 24 * 3600.0


class Sessions:
    """All methods raise Failure(UNAVAILABLE) when the store cannot be reached. Names are valid subject tokens."""

    def __init__(self, store: Store, limits: SessionLimits) -> None:
        self._store = store
        self._limits = limits

    async def append(self, tenant: str, session: str, turns: list[Turn]) -> int:
        """How many turns the session now keeps. A turn whose id is there already is left out."""
        limits = self._limits
        arguments: list[Argument] = [limits.turns_max, limits.bytes_max, int(limits.keep_s * 1000)]
        for turn in turns:
            arguments += [turn.id, msgspec.json.encode(turn)]
        length = await self._store.run(_APPEND, _keys(tenant, session), arguments)
        return length if isinstance(length, int) else 0

    async def history(self, tenant: str, session: str, limit: int) -> History:
        """The last turns; none for a session that is not there."""
        turns, _, info = _keys(tenant, session)
        found, total = await self._store.do_all([("LRANGE", turns, -limit, -1), ("HGET", info, "total")])
        kept = [_turns.decode(turn) for turn in found] if isinstance(found, list) else []
        dropped = (int(total) if isinstance(total, bytes) else 0) - len(kept)
        return History(kept, dropped, tuple(sorted({label for turn in kept for label in turn.taint})))

    async def forget(self, tenant: str, session: str) -> bool:
        """Whether it was there."""
        return bool(await self._store.do("DEL", *_keys(tenant, session)))


def _keys(tenant: str, session: str) -> list[str]:
    start = f"penstock:session:{tenant}:{session}"
    return [f"{start}:turns", f"{start}:ids", f"{start}:info"]
