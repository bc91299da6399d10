"""What can be asked about accounts. Everybody may see what pays for their own actions; the rest is decided."""

import math

from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from penstock.contracts.money import Accounts as Listed
from penstock.contracts.money import AccountsRequest, Statement, StatementRequest
from penstock.contracts.policy import AccountQuery, Balance, Balances, Entity
from penstock.kit.clock import Clock
from penstock.kit.identity import Claims, Identities
from services.policy.admin import Admin
from services.policy.money.accounts import Accounts
from services.policy.money.balance import balance
from services.policy.money.limits import KINDS, Pot
from services.policy.money.rebuild import Rebuilder
from services.policy.money.statement import place_of
from services.policy.rulebook import Rulebook

READ = "account.read"
LINES_MAX = 1000
NAME_MAX = 256


class AccountHandlers:
    """Each is what an endpoint calls."""

    def __init__(
        self,
        rules: Rulebook,
        accounts: Accounts,
        rebuilder: Rebuilder,
        admin: Admin,
        identities: Identities,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._accounts = accounts
        self._rebuilder = rebuilder
        self._admin = admin
        self._identities = identities
        self._clock = clock

    async def balances(self, request: AccountQuery, meta: Meta) -> Balances:
        """The caller's accounts that have a limit; what has none is not counted."""
        return Balances(await self._own(self._identities.claims(meta)))

    async def accounts(self, request: AccountsRequest, meta: Meta) -> Listed:
        """The same, or those of one account of the tenant."""
        claims = self._identities.claims(meta)
        if not request.account:
            return Listed(await self._own(claims))
        async with self._admin.action(READ, resource(request.account, claims), meta):
            now = self._clock.now()
            pots = self._rules.pots_of(claims.tenant, request.account, now)
            return Listed(await self._shown(claims.tenant, pots, now))

    async def statement(self, request: StatementRequest, meta: Meta) -> Statement:
        """What an account was used for, by the audit stream."""
        claims = self._identities.claims(meta)
        check_statement(request)
        async with self._admin.action(READ, resource(request.account, claims), meta):
            return await self._rebuilder.statement_of(claims.tenant, request, self._clock.now())

    async def _own(self, claims: Claims) -> list[Balance]:
        now = self._clock.now()
        pots = self._rules.pots(claims, self._rules.key_of(claims, now), now)
        return await self._shown(claims.tenant, pots, now)

    async def _shown(self, tenant: str, pots: tuple[Pot, ...], now: float) -> list[Balance]:
        standings = await self._accounts.standings(tenant, [pot.name for pot in pots])
        return [balance(pot, standing, now) for pot, standing in zip(pots, standings, strict=True)]


def resource(account: str, claims: Claims) -> Entity:
    """The account as policies see it. Raises Failure(INVALID)."""
    kind, _, name = account.partition(":")
    if (
        kind not in KINDS
        or not name
        or len(account) > NAME_MAX
        or any(not c.isprintable() or c == " " for c in account)
    ):
        raise Failure(Code.INVALID, f"an account is <kind>:<name>, kind one of {', '.join(KINDS)}", param="account")
    own = {claims.sub, f"key:{claims.key}", f"run:{claims.run}", *(f"run:{run}" for run in claims.lineage)}
    return Entity("Account", account, {"own": account in own})


def check_statement(request: StatementRequest) -> None:
    """Raises Failure(INVALID), which names the field."""
    for field, time in (("since", request.since), ("until", request.until)):
        if not (math.isfinite(time) and time >= 0):
            raise Failure(Code.INVALID, f"{field} must be Unix seconds, or 0", param=field)
    if request.until and request.until <= request.since:
        raise Failure(Code.INVALID, "until must be later than since", param="until")
    if not 1 <= request.limit <= LINES_MAX:
        raise Failure(Code.INVALID, f"limit must be from 1 to {LINES_MAX}", param="limit")
    try:
        place_of(request.after)
    except ValueError:
        raise Failure(Code.INVALID, "after must be the `next` of a page", param="after") from None
