"""What tenants' clients and the HTTP edge ask about bundles and past decisions. Each is an action of administration."""

import asyncio
from collections import OrderedDict

from penstock.contracts.bundles import (
    BundleList,
    BundleRef,
    BundlesRequest,
    BundleView,
    DecisionPage,
    DecisionsRequest,
    ExplainRequest,
    Explanation,
    Publish,
    Published,
    Rollback,
)
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Entity
from penstock.kit.clock import Clock
from penstock.kit.identity import Identities
from services.policy.admin import Admin
from services.policy.publishing.explain import explain
from services.policy.publishing.follow import Follower
from services.policy.publishing.past import Past
from services.policy.publishing.publisher import PUBLISH, ROLLBACK, Publisher, refusal
from services.policy.publishing.store import BundleStore
from services.policy.rulebook import Rulebook
from services.policy.rules.bundle import Bundle
from services.policy.rules.compiled import compile_bundle
from services.policy.rules.sources import BundleRefused, version_of

READ = "bundle.read"
DECISION_READ = "decision.read"
COMPILED_MAX = 4
ID_MAX = 100


class BundleHandlers:
    """Every call raises Failure as policy refuses it."""

    def __init__(
        self,
        store: BundleStore,
        follower: Follower,
        publisher: Publisher,
        past: Past,
        rules: Rulebook,
        admin: Admin,
        identities: Identities,
        clock: Clock,
    ) -> None:
        self._store = store
        self._follower = follower
        self._publisher = publisher
        self._past = past
        self._rules = rules
        self._admin = admin
        self._identities = identities
        self._clock = clock
        self._compiled: OrderedDict[str, Bundle] = OrderedDict()

    async def publish(self, request: Publish, meta: Meta) -> Published:
        """Checks it, then puts it in force. Who may not publish learns nothing about what is wrong with it."""
        version = version_of(request.files)
        async with self._admin.action(PUBLISH, _bundle(version), meta, plane_wide=True, digest=version) as claims:
            key = self._rules.key_of(claims, self._clock.now())
            bundle = await self._publisher.check(request, claims, key.team if key else "")
            published = await self._publisher.publish(bundle, request, claims, meta)
        await self._follower.look()
        return published

    async def rollback(self, request: Rollback, meta: Meta) -> Published:
        """Puts a version in force that was before."""
        named = request.version or "previous"
        async with self._admin.action(
            ROLLBACK, _bundle(named), meta, plane_wide=True, digest=request.version
        ) as claims:
            version = await self._publisher.target(request, meta)
            published = await self._publisher.rollback(version, request, claims, meta)
        await self._follower.look()
        return published

    async def list(self, request: BundlesRequest, meta: Meta) -> BundleList:
        """The newest publication first."""
        async with self._admin.action(READ, _bundle("all"), meta, plane_wide=True):
            entry = await self._store.standing()
        history = entry.value.publications if entry is not None else ()
        newest = tuple(reversed(history))[: max(1, request.limit)]
        return BundleList(self._rules.bundle.version, newest, not history, self._follower.problem)

    async def show(self, request: BundleRef, meta: Meta) -> BundleView:
        """The files of one version."""
        async with self._admin.action(READ, _bundle(request.version or "current"), meta, plane_wide=True):
            version = await self._store.find(request.version) if request.version else self._rules.bundle.version
            return BundleView(version, await self._sources(version))

    async def decisions(self, request: DecisionsRequest, meta: Meta) -> DecisionPage:
        """Of the caller's tenant; operators may name another."""
        tenant = self._tenant(request.tenant, meta)
        async with self._admin.action(DECISION_READ, Entity("Decision", request.decision[:ID_MAX] or "all"), meta):
            if request.decision:
                return DecisionPage([await self._past.one(tenant, request.decision)])
            return await self._past.page(tenant, request.after, request.limit)

    async def explain(self, request: ExplainRequest, meta: Meta) -> Explanation:
        """By the bundle of then, which is kept."""
        tenant = self._tenant(request.tenant, meta)
        async with self._admin.action(DECISION_READ, Entity("Decision", request.decision[:ID_MAX] or "none"), meta):
            past = await self._past.one(tenant, request.decision)
            try:
                bundle = await self._bundle_of(past.record.bundle)
            except BundleRefused as refused:
                raise refusal(refused.problems) from refused
            return await asyncio.to_thread(explain, past, bundle, self._rules.obligations)

    def _tenant(self, named: str, meta: Meta) -> str:
        own = self._identities.claims(meta).tenant
        if named and named != own and not self._admin.is_operator(own):
            raise Failure(Code.DENIED, "another tenant's decisions are for operators alone", param="tenant")
        return named or own

    async def _sources(self, version: str) -> dict[str, str]:
        try:
            return await self._store.sources(version)
        except BundleRefused as refused:
            raise Failure(Code.INTERNAL, str(refused)) from refused

    async def _bundle_of(self, version: str) -> Bundle:
        if version == self._rules.bundle.version:
            return self._rules.bundle
        found = self._compiled.get(version)
        if found is None:
            files = await self._store.sources(version)
            found = self._compiled[version] = await asyncio.to_thread(compile_bundle, files)
            if len(self._compiled) > COMPILED_MAX:
                self._compiled.popitem(last=False)
        return found


def _bundle(version: str) -> Entity:
    return Entity("Bundle", version[:64])
