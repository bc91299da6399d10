"""Takes over what is published, at every look; what cannot be used leaves the last good bundle in force and is said."""

import asyncio

from penstock.contracts.bundles import Publication
from penstock.contracts.errors import Code, Failure
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.policy.publishing.store import BundleStore
from services.policy.rulebook import Rulebook
from services.policy.rules.compiled import compile_bundle
from services.policy.rules.sources import BundleRefused

BROKEN = frozenset({Code.INTERNAL, Code.NOT_FOUND})
"""What a store that answers may fail with: the bundle is at fault, not the store."""


class Follower:
    """`problem` says why what was published last is not in force, "" when it is or nothing was published.
    `follows`: False leaves the folder's bundle in force whatever is published."""

    def __init__(self, store: BundleStore, rules: Rulebook, metrics: Metrics, log: Log, *, follows: bool) -> None:
        self._store = store
        self._rules = rules
        self._metrics = metrics
        self._log = log
        self._follows = follows
        self._looking = asyncio.Lock()
        self._seen = 0
        self._followed = False
        self.problem = ""

    async def start(self) -> None:
        """The first look. Raises Failure when what is published cannot be had: another bundle would not do."""
        await self.look()
        if self.problem:
            raise Failure(
                Code.INVALID,
                f"{self.problem}. With bundle_source=folder policy starts from its folder, to publish anew",
            )

    async def look(self) -> None:
        """Raises Failure when the store does not answer; everything else is a `problem`."""
        if self._follows:
            async with self._looking:  # or an older one that takes longer would come out on top
                await self._look()

    async def _look(self) -> None:
        entry = None
        try:
            entry = await self._store.standing()
            if entry is None:
                self._say("what was published is gone from the store" if self._followed else "")
                return
            if entry.revision == self._seen:
                return
            await self._take(entry.value.publications[-1])
        except BundleRefused as refused:
            self._seen = entry.revision if entry is not None else 0
            self._say(f"the published bundle cannot be used: {refused}")
        except Failure as failure:
            if failure.code not in BROKEN:
                raise
            self._say(f"the published bundle cannot be read: {failure.detail}")
        else:
            self._seen = entry.revision
            self._say("")

    async def _take(self, publication: Publication) -> None:
        version = publication.version
        if not self._followed or version != self._rules.bundle.version:
            files = await self._store.sources(version)
            # in a thread: a large bundle takes half a second, and decisions go on meanwhile
            self._rules.take(await asyncio.to_thread(compile_bundle, files))
            self._followed = True
            self._log.info("bundle taken over", version=version, number=publication.number)
        self._metrics.policy_bundle_number.set(float(publication.number))

    def _say(self, problem: str) -> None:
        if problem and problem != self.problem:
            self._metrics.policy_bundle_errors.add()
            self._log.error("published bundle refused, the last good one stays", problem=problem)
        self.problem = problem
