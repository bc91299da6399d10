"""From what a client gives to what it may do on the broker, and whether it may stay. Never logs a credential."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from penstock.bus.callout import Guest
from penstock.bus.callout_jwt import Knock, Pass
from penstock.bus.permissions import tenant_grants
from penstock.contracts.errors import Code, Failure
from penstock.contracts.keys import OIDC, scheme_of
from penstock.kit.clock import Clock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.policy.callout.guesses import Guesses
from services.policy.callout.holder import Holder, is_person, key_in, of_key, of_person
from services.policy.config import Config
from services.policy.identity.keys import ApiKey, parts_of
from services.policy.identity.scopes import allows
from services.policy.oidc.providers import SignedIn

FOLLOW = "job.read"
"""The scope without which a client does not hear of the tenant's jobs: live events ask no policy."""
NOBODY = ""


class Keys(Protocol):
    """Where API keys are looked up."""

    def authenticate(self, credential: str, now: float) -> ApiKey: ...

    def usable(self, key_id: str, now: float) -> ApiKey | None: ...

    def get(self, key_id: str) -> ApiKey | None: ...


class Door:
    """`keys` gives those in force now; `revoked` whether a key was revoked though it still stands among them, and
    raises Failure(UNAVAILABLE) when nobody can say; `sign_in` whose token of an identity provider it is."""

    def __init__(
        self,
        keys: Callable[[], Keys],
        revoked: Callable[[ApiKey], bool],
        sign_in: Callable[[str], Awaitable[SignedIn]],
        config: Config,
        clock: Clock,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._keys = keys
        self._revoked = revoked
        self._sign_in = sign_in
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._guesses = Guesses(config.callout_wrong_max, config.callout_wrong_window_s)
        self._inside: Counter[str] = Counter()

    async def decide(self, knock: Knock) -> Pass:
        """Raises Failure UNAUTHENTICATED, the same for every reason; RATE_LIMITED; UNAVAILABLE."""
        try:
            holder = await self._holder(knock)
        except Failure as failure:
            limited = failure.code is Code.RATE_LIMITED
            self._metrics.policy_callouts.add("limited" if limited else "refused")
            raise
        now = self._clock.now()
        self._inside[holder.who] += 1
        self._metrics.policy_callouts.add("admitted")
        ends = now + self._config.connection_lifetime_max_s
        return Pass(
            name=holder.name,
            grants=tenant_grants(holder.tenant, hears_events=allows(holder.scopes, FOLLOW)),
            expires=min(ends, holder.expires) if holder.expires else ends,
        )

    def unwanted(self, guests: Iterable[Guest]) -> list[Guest]:
        """Who has to go, of all who are there. Raises Failure(UNAVAILABLE)."""
        now = self._clock.now()
        self._inside.clear()
        out = []
        for guest in sorted(guests, key=lambda guest: guest.connection):
            key_id = key_in(guest.name)
            if not key_id and not is_person(guest.name):
                continue  # one of the plane's own
            key = self._keys().usable(key_id, now)
            gone = bool(key_id) and (key is None or self._over(guest, key, now))
            holder = Holder(guest.name, guest.name, "", (), 0.0) if key is None else of_key(key)
            if gone or self._too_much(guest, holder):
                out.append(guest)
            else:
                self._inside[holder.who] += 1
        return out

    def _over(self, guest: Guest, key: ApiKey, now: float) -> bool:
        """Whether the key was revoked, or the secret that let this one in was replaced and its grace is over."""
        return self._revoked(key) or (guest.name != of_key(key).name and key.former_until <= now)

    def _too_much(self, guest: Guest, holder: Holder) -> bool:
        if guest.subscriptions > (holder.subscriptions_max or self._config.subscriptions_max):
            self._log.warning("a client subscribes to too much", who=holder.who, subscriptions=guest.subscriptions)
            return True
        return self._full(holder)

    def _full(self, holder: Holder) -> bool:
        return self._inside[holder.who] >= (holder.connections_max or self._config.connections_max)

    async def _holder(self, knock: Knock) -> Holder:
        if scheme_of(knock.credential) == OIDC:
            holder = await self._person(knock)
        else:
            holder = self._of_key(knock)
        if self._full(holder):
            self._log.warning("a client was turned away: no more connections", host=knock.host, who=holder.who)
            raise Failure(Code.RATE_LIMITED, "it has all the connections that it may have")
        return holder

    async def _person(self, knock: Knock) -> Holder:
        """Nothing is counted: there is no secret to guess in what somebody else signed."""
        try:
            return of_person(await self._sign_in(knock.credential))
        except Failure as failure:
            self._log.info("a client was refused", host=knock.host, why=failure.detail)
            raise

    def _of_key(self, knock: Knock) -> Holder:
        now = self._clock.now()
        guesser = (knock.host, self._known(parts_of(knock.credential)[0]))
        if self._guesses.shut_out(guesser, now):
            raise Failure(Code.RATE_LIMITED, "too many wrong keys")
        try:
            key = self._keys().authenticate(knock.credential, now)
            if self._revoked(key):
                raise Failure(Code.UNAUTHENTICATED, "the API key is not valid")
        except Failure as failure:
            if failure.code is Code.UNAUTHENTICATED:
                self._guesses.wrong(guesser, now)
            limited = self._guesses.shut_out(guesser, now)
            self._log.info("a client was refused", host=knock.host, key=guesser[1], limited=limited, why=failure.detail)
            raise
        return of_key(key)

    def _known(self, key_id: str) -> str:
        """The id of a key that there is; anything else may be a secret, and whoever makes ids up is one guesser."""
        key = self._keys().get(key_id)
        return NOBODY if key is None else key.id
