"""What this process knows of each deployment now: breakers, calls under way, latencies, and the use of its minute."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from penstock.kit.metrics import Metrics
from services.router.choosing import health, latency, minute
from services.router.choosing.standing import NOBODY, UNSEEN, Elsewhere, Standing
from services.router.fault import Fault, FaultKind
from services.router.models.deployment import Deployment


class Call:
    """One call under way, as the board keeps it. `tokens`: what its minute was charged with, until it is known better.
    `first_s`: when content began to come, since the start; None before that. `small`: it says nothing of how quick
    larger ones are, only of how slow."""

    __slots__ = ("began", "deployment", "first_s", "key", "key_trial", "small", "tokens", "trial")

    def __init__(self, deployment: Deployment, key: int, tokens: int, began: float, *, small: bool) -> None:
        self.small = small
        self.deployment = deployment
        self.key = key
        self.tokens = tokens
        self.began = began
        self.first_s: float | None = None
        self.trial = False
        self.key_trial = False


class Board:
    """`now` in seconds that never go back. Reading `standings` needs no lock: one event loop owns it. `opened` is
    called when a breaker begins a rest of our own finding."""

    def __init__(self, rules: health.BreakerRules, now: Callable[[], float], metrics: Metrics) -> None:
        self._rules = rules
        self.now = now
        self._metrics = metrics
        self._turns: dict[str, int] = {}
        self.standings: dict[str, Standing] = {}
        self.opened: Callable[[], None] = lambda: None

    def turn(self, deployment: Deployment) -> int:
        """Counts up: for keys that take turns."""
        turn = self._turns[deployment.id] = self._turns.get(deployment.id, -1) + 1
        return turn

    @contextmanager
    def calling(self, deployment: Deployment, key: int = 0, tokens: int = 0, *, small: bool = False) -> Iterator[Call]:
        """One call under way, showing that key. A Fault that leaves the block is learned from, any other exception is
        not."""
        call = self._begin(deployment, key, tokens, small=small)
        try:
            yield call
        except Fault as fault:
            self._failed(call, fault)
            raise
        except BaseException:
            self._abandoned(call)
            raise
        else:
            self.well(call)
            if call.first_s is None:
                standing = self._of(deployment)
                whole = self._seen(standing.whole, call, self.now() - call.began)
                self._set(deployment, msgspec.structs.replace(standing, whole=whole))
        finally:
            standing = self._of(deployment)
            self._set(deployment, msgspec.structs.replace(standing, in_flight=standing.in_flight - 1))

    def first(self, call: Call) -> None:
        """Its first content came: whoever waits for a trial need not wait for the whole answer."""
        now = self.now()
        call.first_s = now - call.began
        standing = self._of(call.deployment)
        first = self._seen(standing.first, call, call.first_s)
        self._set(call.deployment, msgspec.structs.replace(standing, first=first))
        self.well(call)

    def well(self, call: Call) -> None:
        """It answers."""
        now = self.now()
        standing = self._of(call.deployment)
        breaker = health.succeeded(standing.breaker, now, trial=call.trial)
        key = health.succeeded(standing.key(call.key), now, trial=call.key_trial)
        self._set(call.deployment, _with(standing, breaker, call.key, key))

    def spent(self, call: Call, tokens: int, *, asked: bool = True) -> None:
        """What it really took of its minute: no request either, when the provider was never asked."""
        standing = self._of(call.deployment)
        counted = minute.counted(standing.minute, 0 if asked else -1, tokens - call.tokens, self.now())
        call.tokens = tokens
        self._set(call.deployment, msgspec.structs.replace(standing, minute=counted))

    def hear(self, told: Mapping[str, Elsewhere]) -> None:
        """What other routers know now; who is not in it is known to none of them."""
        for id, standing in list(self.standings.items()):
            elsewhere = told.get(id, NOBODY)
            if standing.elsewhere != elsewhere:
                standing = self.standings[id] = msgspec.structs.replace(standing, elsewhere=elsewhere)
            if standing == UNSEEN:
                del self.standings[id]
        for id in told.keys() - self.standings.keys():
            self.standings[id] = Standing(elsewhere=told[id])

    def hear_rest(self, id: str, key: int, kind: FaultKind, left_s: float) -> None:
        """Another router has put it (`key` -1), or one of its keys, to rest."""
        now = self.now()
        standing = self.standings.get(id, UNSEEN)
        breaker, own = standing.breaker, standing.key(max(key, 0))
        if key < 0:
            breaker = health.heard(breaker, kind, now, now + left_s)
        else:
            own = health.heard(own, kind, now, now + left_s)
        self.standings[id] = _with(standing, breaker, max(key, 0), own)

    def keep(self, ids: set[str]) -> None:
        """Forgets deployments that are in no models file any more, once they have nothing under way."""
        for id in [id for id, standing in self.standings.items() if id not in ids and not standing.in_flight]:
            del self.standings[id]
            self._turns.pop(id, None)

    def _of(self, deployment: Deployment) -> Standing:
        return self.standings.get(deployment.id, UNSEEN)

    def _seen(self, known: latency.Latency, call: Call, took_s: float) -> latency.Latency:
        now = self.now()
        if call.small and took_s <= latency.expected_s(known, now):
            return known
        return latency.seen(known, took_s, now)

    def _begin(self, deployment: Deployment, key: int, tokens: int, *, small: bool) -> Call:
        now = self.now()
        call = Call(deployment, key, tokens, now, small=small)
        standing = self._of(deployment)
        breaker, own = health.started(standing.breaker), health.started(standing.key(key))
        call.trial = breaker.trial and not standing.breaker.trial
        call.key_trial = own.trial and not standing.key(key).trial
        standing = msgspec.structs.replace(
            _with(standing, breaker, key, own),
            in_flight=standing.in_flight + 1,
            minute=minute.counted(standing.minute, 1, tokens, now),
        )
        self._set(deployment, standing)
        return call

    def _failed(self, call: Call, fault: Fault) -> None:
        now = self.now()
        standing = self._of(call.deployment)
        breaker, own = standing.breaker, standing.key(call.key)
        if fault.kind in health.OF_KEYS:
            breaker = health.abandoned(breaker, trial=call.trial)
            own = health.failed(own, fault.kind, now, fault.retry_after_s, self._rules, trial=call.key_trial)
        else:
            breaker = health.failed(breaker, fault.kind, now, fault.retry_after_s, self._rules, trial=call.trial)
            own = health.abandoned(own, trial=call.key_trial)
        rests = (standing.breaker.resting_until, standing.key(call.key).resting_until)
        standing = _with(standing, breaker, call.key, own)
        if fault.kind not in health.OF_NOBODY and fault.kind not in health.OF_KEYS and call.first_s is None:
            took_s = now - call.began
            standing = msgspec.structs.replace(
                standing,
                first=latency.failed(standing.first, took_s, now),
                whole=latency.failed(standing.whole, took_s, now),
            )
        self._set(call.deployment, standing)
        if rests != (breaker.resting_until, own.resting_until):
            self.opened()

    def _abandoned(self, call: Call) -> None:
        standing = self._of(call.deployment)
        breaker = health.abandoned(standing.breaker, trial=call.trial)
        key = health.abandoned(standing.key(call.key), trial=call.key_trial)
        self._set(call.deployment, _with(standing, breaker, call.key, key))

    def _set(self, deployment: Deployment, standing: Standing) -> None:
        before = self.standings.get(deployment.id)
        self.standings[deployment.id] = standing
        if before is None or before.breaker is not standing.breaker or before.keys is not standing.keys:
            usable = _usable(deployment, standing)
            if before is None or usable != _usable(deployment, before):
                self._metrics.deployment_usable.set(float(usable), deployment.name)


def _usable(deployment: Deployment, standing: Standing) -> bool:
    """Whether it is not at rest, as far as was seen: the end of a rest shows with the next call."""
    keys = max(len(deployment.keys), 1)
    return not standing.breaker.resting_until and any(not standing.key(each).resting_until for each in range(keys))


def _with(standing: Standing, breaker: health.Breaker, key: int, own: health.Breaker) -> Standing:
    if breaker is standing.breaker and own is standing.key(key):
        return standing
    keys = standing.keys
    if own is not standing.key(key):
        keys = (*keys, *[health.WELL] * (key + 1 - len(keys)))
        keys = (*keys[:key], own, *keys[key + 1 :])
    return msgspec.structs.replace(standing, breaker=breaker, keys=keys)
