"""The calls that policy answers. Keys and tokens that come in go no further."""

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.jobs import TokenReply, TokenRequest
from penstock.contracts.meta import Meta
from penstock.contracts.policy import (
    AccountQuery,
    Authenticate,
    Balance,
    Balances,
    Decision,
    Decisions,
    Delegate,
    Identity,
    Question,
    Questions,
)
from penstock.kit.clock import Clock
from penstock.kit.identity import Claims, Identities
from services.policy.config import Config
from services.policy.delegation.grants import (
    Remaining,
    check_delegate,
    delegation,
    delegation_attempt,
    narrowed,
    of_key,
)
from services.policy.evaluate import Evaluator
from services.policy.identity.keys import ApiKey
from services.policy.identity.tokens import Signer
from services.policy.money.accounts import Accounts
from services.policy.money.limits import Pot
from services.policy.rulebook import Rulebook


class Handlers:
    """Each is what an endpoint of main.py calls."""

    def __init__(
        self,
        rules: Rulebook,
        evaluator: Evaluator,
        accounts: Accounts,
        signer: Signer,
        identities: Identities,
        clock: Clock,
        config: Config,
    ) -> None:
        self._rules = rules
        self._evaluator = evaluator
        self._accounts = accounts
        self._signer = signer
        self._identities = identities
        self._clock = clock
        self._config = config

    async def authenticate(self, request: Authenticate, meta: Meta) -> Identity:
        """An API key for a token. UNAUTHENTICATED is the same for a key that is unknown, wrong, expired or revoked."""
        if request.scheme != "api_key":
            raise Failure(Code.INVALID, "this kind of credential is not known", param="scheme")
        return self._signed(self._rules.keys.authenticate(request.credential, self._clock.now()))

    async def token(self, request: TokenRequest, meta: Meta) -> TokenReply:
        """The same for a tenant's own client; another tenant's key is as good as none."""
        key = self._rules.keys.authenticate(request.api_key, self._clock.now())
        if key.tenant != meta.tenant:
            raise Failure(Code.UNAUTHENTICATED, "the API key is not valid")
        identity = self._signed(key)
        return TokenReply(identity.token, identity.tenant, identity.expires)

    async def evaluate(self, request: Question, meta: Meta) -> Decision:
        return await self._evaluator.evaluate(request, self._identities.claims(meta), meta)

    async def evaluations(self, request: Questions, meta: Meta) -> Decisions:
        claims = self._identities.claims(meta)
        return Decisions(await self._evaluator.evaluate_many(request.evaluations, claims, meta))

    async def delegate(self, request: Delegate, meta: Meta) -> Identity:
        """A narrower token for a run, with a budget of its own inside the accounts above it. Policies may forbid it."""
        parent = self._identities.claims(meta)
        check_delegate(parent, request, self._config.depth_max)
        now = self._clock.now()
        key = self._rules.key_of(parent, now)
        remaining = await self._remaining(parent, request, self._rules.pots(parent, key, now))
        child = narrowed(parent, request, remaining, now, self._config.run_lifetime_max_s, key.expires if key else 0.0)
        question = delegation(request, delegation_attempt(parent, request))
        decision = await self._evaluator.evaluate(question, parent, meta)
        if not decision.decision:
            reasons = tuple(reason.text for reason in decision.context.reasons)
            raise Failure(Code.DENIED, "; ".join(reasons), decision=decision.context.id, reasons=reasons)
        return self._signer.sign(child)

    async def balances(self, request: AccountQuery, meta: Meta) -> Balances:
        """The caller's accounts that have a limit; what has none is not counted."""
        claims = self._identities.claims(meta)
        now = self._clock.now()
        pots = self._rules.pots(claims, self._rules.key_of(claims, now), now)
        used = await self._accounts.used(claims.tenant, [pot.name for pot in pots])
        return Balances(
            [
                Balance(pot.name, nano, held_nano, max(0, pot.limit_nano), tokens + held_tokens)
                for pot, (nano, held_nano, tokens, held_tokens) in zip(pots, used, strict=True)
            ]
        )

    def _signed(self, key: ApiKey) -> Identity:
        claims = of_key(key, self._clock.now(), self._config.token_lifetime_s, new_id("txn"))
        return self._signer.sign(claims)

    async def _remaining(self, parent: Claims, request: Delegate, pots: tuple[Pot, ...]) -> Remaining:
        """What the narrowest of the parent's accounts has left, where the child wants a slice of it."""
        if not pots or not (request.budget_nano or request.budget_tokens):
            return Remaining()
        used = await self._accounts.used(parent.tenant, [pot.name for pot in pots])
        nano = [pot.limit_nano - u[0] - u[1] for pot, u in zip(pots, used, strict=True) if pot.limit_nano >= 0]
        tokens = [pot.limit_tokens - u[2] - u[3] for pot, u in zip(pots, used, strict=True) if pot.limit_tokens >= 0]
        return Remaining(max(0, min(nano)) if nano else -1, max(0, min(tokens)) if tokens else -1)
