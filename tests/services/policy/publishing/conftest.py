"""Somebody who publishes, and bundles to publish."""

from typing import TypeVar

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
from penstock.contracts.endpoint import Call
from penstock.contracts.errors import Failure
from penstock.contracts.governance import (
    BUNDLE_LIST,
    BUNDLE_PUBLISH,
    BUNDLE_ROLLBACK,
    BUNDLE_SHOW,
    DECISIONS,
    EXPLAIN,
)
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta
from services.policy.rulebook import STARTER
from services.policy.rules.sources import read_sources
from tests.services.policy.conftest import Plane
from tests.support.eventually import eventually

Request = TypeVar("Request")
Reply = TypeVar("Reply")

FORBID = (
    '@id("closed") @reason("closed for today")\n'
    'forbid (principal, action == Action::"model.complete", resource == Model::"large");\n'
)
ADMIN = ("*", "bundle:admin")


def files(more: str = "", tests: str = "") -> dict[str, str]:
    """The starter bundle with more policies and cases."""
    found = read_sources(STARTER)
    return {**found, "more.cedar": more or "// nothing\n", "tests.yaml": found["tests.yaml"] + tests}


class Operator:
    """A tenant's client that may publish."""

    def __init__(self, plane: Plane, token: str, tenant: str = "operator") -> None:
        self._plane = plane
        self._tenant = tenant
        self.token = token

    @classmethod
    async def of(cls, plane: Plane, tenant: str = "operator", scopes: tuple[str, ...] = ADMIN) -> "Operator":
        credential = plane.key(tenant=tenant, subject="user:olga", scopes=scopes)
        return cls(plane, (await eventually(lambda: _known(plane, credential), within_s=20)), tenant)

    async def publish(self, request: Publish, *, id: str = "") -> Published:
        return await self._call(BUNDLE_PUBLISH, request, id)

    async def rollback(self, request: Rollback, *, id: str = "") -> Published:
        return await self._call(BUNDLE_ROLLBACK, request, id)

    async def list(self) -> BundleList:
        return await self._call(BUNDLE_LIST, BundlesRequest())

    async def show(self, version: str = "") -> BundleView:
        return await self._call(BUNDLE_SHOW, BundleRef(version))

    async def explain(self, decision: str, tenant: str = "") -> Explanation:
        return await self._call(EXPLAIN, ExplainRequest(decision, tenant))

    async def decisions(self, request: DecisionsRequest) -> DecisionPage:
        return await self._call(DECISIONS, request)

    async def _call(self, endpoint: Call[Request, Reply], request: Request, id: str = "") -> Reply:
        meta = Meta(request=id or new_id("req"), token=self.token)
        return await self._plane.bus.call(endpoint, request, meta, timeout_s=10, tenant=self._tenant)


async def _known(plane: Plane, credential: str) -> str:
    try:
        return (await plane.authenticate(credential)).token
    except Failure as failure:
        raise AssertionError from failure
