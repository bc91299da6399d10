"""From what a client gives to what it may do on the broker, and whether it may stay. Never logs a key."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from penstock.bus.callout import Guest
from penstock.bus.callout_jwt import Knock, Pass
from penstock.bus.permissions import tenant_grants
from penstock.contracts.errors import Code, Failure
from penstock.kit.clock import Clock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.policy.callout.guesses import Guesses
from services.policy.config import Config
from services.policy.identity.keys import ApiKey, key_id_of
from services.policy.identity.scopes import allows

FOLLOW = "job.read"
"""The scope without which a client does not hear of the tenant's jobs: live events ask no policy."""
NAME = "key."
NOBODY = ""


class Keys(Protocol):
    """Where API keys are looked up."""

    def authenticate(self, credential: str, now: float) -> ApiKey: ...

    def usable(self, key_id: str, now: float) -> ApiKey | None: ...

    def get(self, key_id: str) -> ApiKey | None: ...


class Door:
    """`keys` gives those in force now; `revoked` whether a key was revoked though it still stands among them, and
    raises Failure(UNAVAILABLE) when nobody can say."""

    def __init__(
        self,
        keys: Callable[[], Keys],
        revoked: Callable[[ApiKey], bool],
        config: Config,
        clock: Clock,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._keys = keys
        self._revoked = revoked
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._guesses = Guesses(config.callout_wrong_max, config.callout_wrong_window_s)
        self._inside: Counter[str] = Counter()

    async def decide(self, knock: Knock) -> Pass:
        """Raises Failure UNAUTHENTICATED, the same for every reason; RATE_LIMITED; UNAVAILABLE."""
        now = self._clock.now()
        guesser = (knock.host, self._known(key_id_of(knock.credential)))
        if self._guesses.shut_out(guesser, now):
            self._metrics.policy_callouts.add("limited")
            raise Failure(Code.RATE_LIMITED, "too many wrong keys")
        try:
            key = self._let_in(knock.credential, now)
        except Failure as failure:
            self._refused(knock, guesser, failure, now)
            raise
        self._inside[key.id] += 1
        self._metrics.policy_callouts.add("admitted")
        return self._pass(key, now)

    def unwanted(self, guests: Iterable[Guest]) -> list[Guest]:
        """Who has to go, of all who are there. Raises Failure(UNAVAILABLE)."""
        now = self._clock.now()
        ours = [guest for guest in guests if guest.name.startswith(NAME)]
        self._inside.clear()
        out = []
        for guest in sorted(ours, key=lambda guest: guest.connection):
            key = self._keys().usable(guest.name.split(".")[1], now)
            if key is None or self._over(guest, key, now) or self._too_much(guest, key):
                out.append(guest)
            else:
                self._inside[key.id] += 1
        return out

    def _over(self, guest: Guest, key: ApiKey, now: float) -> bool:
        """Whether the key was revoked, or the secret that let this one in was replaced and its grace is over."""
        return self._revoked(key) or (guest.name != _name(key) and key.former_until <= now)

    def _too_much(self, guest: Guest, key: ApiKey) -> bool:
        if guest.subscriptions > (key.subscriptions_max or self._config.subscriptions_max):
            self._log.warning("a client subscribes to too much", key=key.id, subscriptions=guest.subscriptions)
            return True
        return self._inside[key.id] >= self._connections_max(key)

    def _let_in(self, credential: str, now: float) -> ApiKey:
        key = self._keys().authenticate(credential, now)
        if self._revoked(key):
            raise Failure(Code.UNAUTHENTICATED, "the API key is not valid")
        if self._inside[key.id] >= self._connections_max(key):
            raise Failure(Code.RATE_LIMITED, f"the key {key.id} has all the connections that it may have")
        return key

    def _pass(self, key: ApiKey, now: float) -> Pass:
        """It ends with the key, and in any case some day."""
        ends = now + self._config.connection_lifetime_max_s
        return Pass(
            name=_name(key),
            grants=tenant_grants(key.tenant, hears_events=allows(key.scopes, FOLLOW)),
            expires=min(ends, key.expires) if key.expires else ends,
        )

    def _connections_max(self, key: ApiKey) -> int:
        return key.connections_max or self._config.connections_max

    def _refused(self, knock: Knock, guesser: tuple[str, str], failure: Failure, now: float) -> None:
        self._metrics.policy_callouts.add("refused")
        if failure.code is not Code.UNAUTHENTICATED:
            self._log.warning("a client was turned away", host=knock.host, why=failure.detail)
            return
        self._guesses.wrong(guesser, now)
        limited = self._guesses.shut_out(guesser, now)
        self._log.info("a client was refused", host=knock.host, key=guesser[1], limited=limited)

    def _known(self, key_id: str) -> str:
        """The id of a key that there is; anything else may be a secret, and whoever makes ids up is one guesser."""
        key = self._keys().get(key_id)
        return NOBODY if key is None else key.id


def _name(key: ApiKey) -> str:
    """Which key, and which of its secrets: those before the last rotation have another name."""
    return f"{NAME}{key.id}.{int(key.rotated * 1000)}"
