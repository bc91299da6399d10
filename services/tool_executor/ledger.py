"""The call ledger: one effect per idempotency key, and no call of a run that somebody else has taken over since.

An entry is running (with a lease that its executor renews), done (with the answer), or unknown: an executor went away
in the middle of a call with effect `once`, and nobody can say whether it took effect.
"""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.tools import Effect, ToolResult
from penstock.kit.store import Script, Store

_BEGIN = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local digest, owner, lease, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local once, epoch, epoch_ttl = ARGV[5] == '1', tonumber(ARGV[6]), tonumber(ARGV[7])
if KEYS[2] ~= '' then
  local seen = tonumber(redis.call('GET', KEYS[2]) or '0')
  if epoch < seen then return {'stale'} end
  if epoch > 0 then redis.call('SET', KEYS[2], ARGV[6], 'PX', epoch_ttl) end
end
if KEYS[1] == '' then return {'run'} end
local entry = redis.call('HMGET', KEYS[1], 'digest', 'state', 'lease', 'result', 'owner')
if not entry[1] then
  redis.call('HSET', KEYS[1], 'digest', digest, 'state', 'running', 'owner', owner, 'lease', now + lease)
  redis.call('PEXPIRE', KEYS[1], ttl)
  return {'run'}
end
if entry[1] ~= digest then return {'conflict'} end
if entry[2] == 'done' then return {'done', entry[4]} end
if entry[2] == 'unknown' then return {'unknown'} end
if entry[5] == owner then return {'run'} end -- asked again, since the answer was lost
if tonumber(entry[3]) > now then return {'busy'} end
if once then
  redis.call('HSET', KEYS[1], 'state', 'unknown')
  return {'unknown'}
end
redis.call('HSET', KEYS[1], 'owner', owner, 'lease', now + lease)
redis.call('PEXPIRE', KEYS[1], ttl)
return {'run'}
""")

_END = Script("""
local entry = redis.call('HMGET', KEYS[1], 'owner', 'state')
if entry[1] ~= ARGV[1] or entry[2] ~= 'running' then return 0 end
if ARGV[2] == 'free' then return redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'result', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
""")

_RENEW = Script("""
local entry = redis.call('HMGET', KEYS[1], 'owner', 'state')
if entry[1] ~= ARGV[1] or entry[2] ~= 'running' then return 0 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'lease', time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2]))
return 1
""")

_FIRST_WAIT_S = 0.02
_LAST_WAIT_S = 0.5
_results = msgspec.msgpack.Decoder(ToolResult)


@dataclass(frozen=True, slots=True)
class LedgerLimits:
    """`keep_s`: how long an answer is given again. `once_keep_s` must outlast every run that might ask again:
    after it, a key is new. `lease_s`: how soon the call of a dead executor is given up."""

    lease_s: float = 10.0
    keep_s: float = 24 * 3600.0
    once_keep_s: float = 31 * 24 * 3600.0
    epoch_keep_s: float = 31 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Call:
    """What identifies a call. `key` empty: no entry is kept; `run` empty: no epoch is checked.
    `digest` stands for tool and arguments."""

    tenant: str
    key: str
    digest: str
    effect: Effect
    run: str = ""
    epoch: int = 0


class Claim:
    """The right to carry out a call, until it is settled or freed."""

    __slots__ = ("entry", "keep_s", "owner")

    def __init__(self, entry: str, owner: str, keep_s: float) -> None:
        self.entry = entry
        self.owner = owner
        self.keep_s = keep_s


class Ledger:
    """Entries are the tenant's own: another tenant's key is another key."""

    def __init__(self, store: Store, limits: LedgerLimits) -> None:
        self._store = store
        self._limits = limits
        self._held: dict[str, Claim] = {}

    async def begin(self, call: Call, wait_s: float) -> Claim | ToolResult:
        """The claim, or the answer of the same call made before; waits for it while it is made elsewhere.

        Raises Failure: CONFLICT (other arguments, or an epoch of the past), UNKNOWN_OUTCOME, DEADLINE after `wait_s`.
        """
        try:
            async with asyncio.timeout(max(wait_s, 0.0)):
                return await self._begin(call)
        except TimeoutError:
            raise Failure(Code.DEADLINE, "the same call is still being made elsewhere") from None

    async def settle(self, claim: Claim, result: ToolResult) -> None:
        """Keeps the answer. When that fails the entry stays running until its lease ends."""
        await self._end(claim, "done", msgspec.msgpack.encode(result))

    async def give_up(self, claim: Claim) -> None:
        """Nobody knows whether the call took effect."""
        await self._end(claim, "unknown")

    async def free(self, claim: Claim) -> None:
        """The call took no effect, or one that may be repeated: the next one with this key starts anew."""
        await self._end(claim, "free")

    async def renew_for_ever(self) -> None:
        """Keeps the leases of the calls under way; runs beside the service."""
        while True:
            await asyncio.sleep(self._limits.lease_s / 3)
            for claim in list(self._held.values()):
                with suppress(Failure):  # a store that comes back before the lease ends is early enough
                    await self._store.run(_RENEW, [claim.entry], [claim.owner, _ms(self._limits.lease_s)])

    async def _begin(self, call: Call) -> Claim | ToolResult:
        claim = self._claim(call)
        epoch_key = f"penstock:tool:epoch:{call.tenant}:{call.run}" if call.run else ""
        pause_s = _FIRST_WAIT_S
        arguments: list[str | int] = [
            call.digest,
            claim.owner,
            _ms(self._limits.lease_s),
            _ms(claim.keep_s),
            int(call.effect == "once"),
            call.epoch,
            _ms(self._limits.epoch_keep_s),
        ]
        while True:
            try:
                answer = await self._store.run(_BEGIN, [claim.entry, epoch_key], arguments)
            except asyncio.CancelledError:
                with suppress(Failure):  # the entry may be there by now, and nobody would work for it
                    await self._end(claim, "free")
                raise
            found = self._answer(answer)
            if found is not None:
                return found
            if _word(answer) == "run":
                if claim.entry:
                    self._held[claim.owner] = claim
                return claim
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_WAIT_S)

    def _claim(self, call: Call) -> Claim:
        keep_s = self._limits.once_keep_s if call.effect == "once" else self._limits.keep_s
        hashed = hashlib.sha256(call.key.encode()).hexdigest()
        return Claim(f"penstock:tool:call:{call.tenant}:{hashed}" if call.key else "", new_id("own"), keep_s)

    def _answer(self, answer: object) -> ToolResult | None:
        word = _word(answer)
        if word == "stale":
            raise Failure(Code.CONFLICT, "this run has been taken over: the call carries an old epoch")
        if word == "conflict":
            raise Failure(Code.CONFLICT, "this idempotency key was used for another call", param="idempotency_key")
        if word == "unknown":
            raise Failure(Code.UNKNOWN_OUTCOME, "an earlier call with this key may have taken effect")
        if word == "done" and isinstance(answer, list) and isinstance(answer[1], bytes):
            return msgspec.structs.replace(_results.decode(answer[1]), replayed=True)
        return None

    async def _end(self, claim: Claim, state: str, result: bytes = b"") -> None:
        self._held.pop(claim.owner, None)
        if claim.entry:
            await self._store.run(_END, [claim.entry], [claim.owner, state, result, _ms(claim.keep_s)])


def _word(answer: object) -> str:
    first = answer[0] if isinstance(answer, list) and answer else b""
    return first.decode() if isinstance(first, bytes) else ""


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
