"""Delegation: a narrower token for a run, who acted for whom, and the end of a run with all below it."""

from penstock.contracts.delegation import Chain, ChainLink, ChainRequest, Link, RunRevoke, RunRevoked
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Delegate, Entity, Identity, Reason
from penstock.kit.boundary import refusal_of
from penstock.kit.clock import Clock
from penstock.kit.identity import Claims, Identities
from services.policy.admin import Admin
from services.policy.delegation.chains import Chains, link_of, revocable
from services.policy.delegation.grants import (
    Remaining,
    check_delegate,
    delegation,
    delegation_attempt,
    forbidden,
    narrowed,
)
from services.policy.evaluate import Evaluator
from services.policy.identity.tokens import Signer
from services.policy.money.accounts import Accounts
from services.policy.money.balance import remaining
from services.policy.money.limits import Pot, pots
from services.policy.rulebook import Rulebook

READ, REVOKE = "run.read", "run.revoke"
PAGE_MAX = 500
REASON_MAX = 200


class Delegations:
    """Each is what an endpoint calls."""

    def __init__(
        self,
        rules: Rulebook,
        evaluator: Evaluator,
        accounts: Accounts,
        signer: Signer,
        chains: Chains,
        identities: Identities,
        clock: Clock,
        depth_max: int,
        lifetime_max_s: float,
    ) -> None:
        self._rules = rules
        self._evaluator = evaluator
        self._accounts = accounts
        self._signer = signer
        self._chains = chains
        self._identities = identities
        self._clock = clock
        self._depth_max = depth_max
        self._lifetime_max_s = lifetime_max_s

    async def delegate(self, request: Delegate, meta: Meta) -> Identity:
        """A narrower token for a run, with a budget of its own inside the accounts above it. Policies may forbid it; a
        refusal is a decision in the log too."""
        parent = self._identities.claims(meta)
        check_delegate(request)
        now = self._clock.now()
        key = self._rules.key_of(parent, now)
        allowances = self._rules.allowances
        why = forbidden(parent, request, allowances, self._depth_max)
        child = parent
        if not why:
            left = await self._remaining(parent, request, self._rules.pots(parent, key, now))
            allowance = allowances.of(parent.tenant, request.actor)
            ends = key.expires if key else 0.0
            child = narrowed(parent, request, allowance, left, now, self._lifetime_max_s, ends)
        question = delegation(request, delegation_attempt(parent, request))
        refused = Reason("delegation", why) if why else None
        decision = await self._evaluator.evaluate(question, parent, meta, refused)
        refusal = refusal_of(decision) or (Failure(Code.DENIED, why) if why else None)
        if refusal is not None:
            raise refusal
        identity = self._signer.sign(child)
        own = child.accounts[-1] if len(child.accounts) > len(parent.accounts) else None
        carved = (own.limit_nano, own.limit_tokens) if own is not None else (0, 0)
        await self._chains.keep(link_of(child, carved, decision.context.id))
        return identity

    async def _remaining(self, parent: Claims, request: Delegate, above: tuple[Pot, ...]) -> Remaining:
        """What the narrowest of the parent's accounts has left, where the child gets a slice of it."""
        allowance = self._rules.allowances.of(parent.tenant, request.actor)
        bounded = allowance is not None and (allowance.nano or allowance.tokens)
        if not above or not (request.budget_nano or request.budget_tokens or bounded):
            return Remaining()
        return remaining(above, await self._accounts.standings(parent.tenant, [pot.name for pot in above]))


class Runs:
    """What can be asked about runs under way, and their end. Another tenant's run is as good as none."""

    def __init__(self, chains: Chains, accounts: Accounts, admin: Admin, identities: Identities, clock: Clock) -> None:
        self._chains = chains
        self._accounts = accounts
        self._admin = admin
        self._identities = identities
        self._clock = clock

    async def chain(self, request: ChainRequest, meta: Meta) -> Chain:
        if not 1 <= request.limit <= PAGE_MAX or request.after < 0:
            raise Failure(Code.INVALID, f"limit must be from 1 to {PAGE_MAX}", param="limit")
        claims = self._identities.claims(meta)
        of_run = await self._chains.of_run(claims.tenant, request.id) if is_token(request.id) else []
        links, following = [*await self._chains.above(of_run[-1]), of_run[-1]] if of_run else [], 0
        if not of_run and is_token(request.id):
            links, following = await self._chains.of_txn(claims.tenant, request.id, request.after, request.limit)
        if not links:
            raise _not_found("id")
        resource = _resource(request.id, claims, [*of_run, *links])
        async with self._admin.action(READ, resource, meta):
            return Chain(tuple(await self._standing(claims.tenant, links)), following)

    async def revoke(self, request: RunRevoke, meta: Meta) -> RunRevoked:
        if len(request.reason) > REASON_MAX or not request.reason.isprintable():
            why = f"reason must be at most {REASON_MAX} printable characters"
            raise Failure(Code.INVALID, why, param="reason")
        claims = self._identities.claims(meta)
        links = await self._chains.of_run(claims.tenant, request.run) if is_token(request.run) else []
        if not links:
            raise _not_found("run")
        link = links[-1]
        async with self._admin.action(REVOKE, _resource(link.run, claims, links), meta):
            await self._chains.revoke(link, claims.sub, request.reason)
        return RunRevoked(link.run)

    async def _standing(self, tenant: str, links: list[Link]) -> list[ChainLink]:
        now = self._clock.now()
        carved = [pots([(f"run:{link.run}", link.nano, link.tokens)], {}, now) for link in links]
        names = [pot.name for own in carved for pot in own]
        standings = iter(await self._accounts.standings(tenant, names) if names else ())
        found = []
        for link, own in zip(links, carved, strict=True):
            left = remaining(own, [next(standings) for _ in own])
            ended = self._identities.revocations.refused(revocable(link), tenant)
            found.append(ChainLink(link, left.nano, left.tokens, ended))
        return found


def _resource(id: str, claims: Claims, links: list[Link]) -> Entity:
    """`own`: whether all of it is the caller's, who acts for themselves, or below the run that asks."""
    own = all(_own(claims, link) for link in links)
    return Entity("Run", id, {"own": own, "owner": links[-1].origin, "tenant": claims.tenant})


def _own(claims: Claims, link: Link) -> bool:
    if claims.run:
        return claims.run in link.lineage
    return not claims.chain and claims.sub == link.origin


def _not_found(param: str) -> Failure:
    return Failure(Code.NOT_FOUND, "there is no such run", param=param)
