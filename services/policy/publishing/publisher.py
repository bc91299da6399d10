"""Checks a bundle and puts it in force, or the one before it again."""

import asyncio

from penstock.bus.bucket import Entry
from penstock.contracts.bundles import Publication, Publish, Published, Rollback, Standing
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Entity, Question
from penstock.kit.clock import Clock
from penstock.kit.identity import Claims
from services.policy.publishing.store import BundleStore
from services.policy.rulebook import Rulebook
from services.policy.rules.bundle import Bundle
from services.policy.rules.bundle_cases import prove
from services.policy.rules.compiled import compile_bundle
from services.policy.rules.sources import BundleRefused

PUBLISH = "bundle.publish"
ROLLBACK = "bundle.rollback"
PROBLEMS_MAX = 50
DETAIL_MAX = 1000
NOTE_MAX = 500
ENCODED_MAX_BYTES = 900 * 1024
"""A version is one message of the broker's."""


class Publisher:
    """Raises Failure: INVALID with all problems as reasons, CONFLICT when somebody else was quicker."""

    def __init__(self, store: BundleStore, rules: Rulebook, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock

    async def check(self, request: Publish, claims: Claims, team: str) -> Bundle:
        """The bundle, when it may be published by this one."""
        _require_short(request.note)
        try:
            bundle = await asyncio.to_thread(_proved, request.files, self._rules.obligations)
        except BundleRefused as refused:
            raise refusal(refused.problems) from refused
        if not request.lock_out:
            self._require_way_back(bundle, claims, team)
        return bundle

    async def publish(self, bundle: Bundle, request: Publish, claims: Claims, meta: Meta) -> Published:
        """Puts the checked bundle in force."""
        before = await self._store.standing(fresh=True)
        done = _done(before, meta, bundle.version)
        if done is not None:
            return _published(done, before, bundle)
        _require_expected(before, request.expects)
        await self._store.keep(bundle.version, request.files)
        publication = self._publication(before, bundle.version, claims, meta, request.note)
        await self._store.turn(before, publication)
        return _published(publication, before, bundle)

    async def target(self, request: Rollback, meta: Meta) -> str:
        """The version that a rollback goes to. Raises Failure NOT_FOUND, INVALID."""
        _require_short(request.note)
        before = await self._store.standing(fresh=True)
        history = before.value.publications if before is not None else ()
        if history and meta.request and history[-1].request == meta.request:
            return history[-1].version  # the same request again, which went there already
        if request.version:
            found = await self._store.find(request.version)
            if found not in [publication.version for publication in history]:
                raise Failure(Code.NOT_FOUND, "this version was never published: publish it", param="version")
            return found
        now = history[-1].version if history else ""
        for publication in reversed(history):
            if publication.version != now:
                return publication.version
        raise Failure(Code.NOT_FOUND, "there is nothing to go back to: no other version was published")

    async def rollback(self, version: str, request: Rollback, claims: Claims, meta: Meta) -> Published:
        """Puts a version in force again. It passed its tests when it was published, and is only read anew."""
        before = await self._store.standing(fresh=True)
        try:
            bundle = await asyncio.to_thread(compile_bundle, await self._store.sources(version))
        except BundleRefused as refused:
            raise refusal(refused.problems) from refused
        done = _done(before, meta, version)
        if done is not None:
            return _published(done, before, bundle)
        _require_expected(before, request.expects)
        publication = self._publication(before, version, claims, meta, request.note, rollback=True)
        await self._store.turn(before, publication)
        return _published(publication, before, bundle)

    def _require_way_back(self, bundle: Bundle, claims: Claims, team: str) -> None:
        question = Question(ActionName(PUBLISH), Entity("Bundle", bundle.version), attempt="way_back")
        verdict = bundle.judge(claims, [question], self._rules.obligations, team, self._clock.now())[0]
        if verdict.effect not in ("allow", "shadow"):
            why = "; ".join(f"{reason.policy}: {reason.text}" for reason in verdict.reasons)
            raise refusal(
                [f"under this bundle you could not publish again ({why}); lock_out publishes it all the same"]
            )

    def _publication(
        self,
        before: Entry[Standing] | None,
        version: str,
        claims: Claims,
        meta: Meta,
        note: str,
        *,
        rollback: bool = False,
    ) -> Publication:
        return Publication(
            number=before.value.publications[-1].number + 1 if before is not None else 1,
            version=version,
            at=round(self._clock.now(), 3),
            tenant=claims.tenant,
            by=claims.sub,
            note=note,
            rollback=rollback,
            request=meta.request,
        )


def refusal(problems: list[str]) -> Failure:
    """The failure that names every problem."""
    shown = problems[:PROBLEMS_MAX]
    more = len(problems) - len(shown)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    reasons = (*shown, *([f"and {more} more"] if more else []))
    return Failure(Code.INVALID, f"the bundle is refused, {count}: {'; '.join(shown)}"[:DETAIL_MAX], reasons=reasons)


def _proved(files: dict[str, str], known: frozenset[str]) -> Bundle:
    size = sum(len(name.encode()) + 2 * len(text.encode()) - len(text) for name, text in files.items())
    if size > ENCODED_MAX_BYTES:
        raise BundleRefused([f"the bundle is larger than {ENCODED_MAX_BYTES} bytes"])
    return prove(files, known)


def _done(before: Entry[Standing] | None, meta: Meta, version: str) -> Publication | None:
    """The publication that this very request made already: it came twice."""
    if before is None or not meta.request:
        return None
    last = before.value.publications[-1]
    return last if (last.request, last.version) == (meta.request, version) else None


def _published(publication: Publication, before: Entry[Standing] | None, bundle: Bundle) -> Published:
    history = before.value.publications if before is not None else ()
    earlier = [one.version for one in history if one.number < publication.number]
    return Published(
        publication.version, publication.number, earlier[-1] if earlier else "", bundle.rules, bundle.warnings
    )


def _require_expected(before: Entry[Standing] | None, expects: int) -> None:
    number = before.value.publications[-1].number if before is not None else 0
    if expects >= 0 and expects != number:
        raise Failure(Code.CONFLICT, f"publication {number} is in force, not {expects}: look at it, then publish again")


def _require_short(note: str) -> None:
    if len(note) > NOTE_MAX:
        raise Failure(Code.INVALID, f"a note has at most {NOTE_MAX} characters", param="note")
