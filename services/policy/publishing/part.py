"""The part of the service that publishes and follows bundles: what it answers, what it does by the clock."""

from penstock.contracts.governance import (
    BUNDLE_LIST,
    BUNDLE_PUBLISH,
    BUNDLE_ROLLBACK,
    BUNDLE_SHOW,
    DECISIONS,
    EXPLAIN,
)
from penstock.kit.parts import Parts
from penstock.kit.service import Background, Endpoint, answer
from services.policy.admin import Admin
from services.policy.config import Config
from services.policy.publishing.follow import Follower
from services.policy.publishing.handlers import BundleHandlers
from services.policy.publishing.past import Past
from services.policy.publishing.publisher import Publisher
from services.policy.publishing.store import BundleStore
from services.policy.rulebook import Rulebook
from services.policy.upkeep import Every

IN_FLIGHT_MAX = 4
"""Checking a bundle takes a while of one core."""


class Publishing:
    """Made before the first decision: `start` takes over what is published."""

    def __init__(self, config: Config, parts: Parts, rules: Rulebook) -> None:
        self._config = config
        self._parts = parts
        self._rules = rules
        self._store = BundleStore(parts.bus)
        follows = config.bundle_source == "published"
        self._follower = Follower(self._store, rules, parts.metrics, parts.log, follows=follows)
        self._kept = ""

    async def start(self) -> None:
        """Raises Failure when what is published cannot be had."""
        await self._follower.start()
        self._parts.readiness.fact("bundle", lambda: self._follower.problem)

    def endpoints(self, admin: Admin) -> list[Endpoint]:
        """What it answers."""
        parts, config = self._parts, self._config
        handlers = BundleHandlers(
            self._store,
            self._follower,
            Publisher(self._store, self._rules, parts.clock),
            Past(parts.bus, config.decisions_page_max, config.decisions_scan_max),
            self._rules,
            admin,
            parts.identities,
            parts.clock,
        )
        few = config.calls_in_flight_max
        return [
            answer(BUNDLE_PUBLISH, handlers.publish, in_flight_max=IN_FLIGHT_MAX),
            answer(BUNDLE_ROLLBACK, handlers.rollback, in_flight_max=IN_FLIGHT_MAX),
            answer(BUNDLE_LIST, handlers.list, in_flight_max=few),
            answer(BUNDLE_SHOW, handlers.show, in_flight_max=few),
            answer(DECISIONS, handlers.decisions, in_flight_max=few),
            answer(EXPLAIN, handlers.explain, in_flight_max=IN_FLIGHT_MAX),
        ]

    def background(self) -> list[Background]:
        """What it does by the clock."""
        config, parts = self._config, self._parts
        following = Every("bundle", config.reload_every_s, self._look, parts.clock, parts.log)
        return [following.run]

    async def _look(self) -> None:
        await self._follower.look()
        await self._keep()

    async def _keep(self) -> None:
        """The folder's bundle is kept by its version too: what falls by it can be explained later."""
        version = self._rules.folder.version
        if version == self._kept or version != self._rules.bundle.version:
            return
        await self._store.keep(version, dict(self._rules.folder.files))
        self._kept = version
