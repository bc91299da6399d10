"""Where published bundles are kept: every version under its digest, and one pointer with its history.

The pointer turns by compare-and-set on its revision, so that of two who publish at once one wins and one is told.
"""

from penstock.bus import Bus
from penstock.bus.bucket import Entry
from penstock.contracts.bundles import Publication, Sources, Standing
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import BUNDLE_POINTER, BUNDLES
from services.policy.rules.sources import BundleRefused, version_of

CURRENT = "current"
HISTORY_MAX = 200
VERSION_LENGTH_MIN = 8


class BundleStore:
    """Only policy writes it. Raises Failure as the bus does."""

    def __init__(self, bus: Bus) -> None:
        self._versions = bus.bucket(BUNDLES)
        self._pointer = bus.bucket(BUNDLE_POINTER)

    async def standing(self, *, fresh: bool = False) -> Entry[Standing] | None:
        """The pointer; None before the first publication."""
        return await self._pointer.get(CURRENT, fresh=fresh)

    async def turn(self, before: Entry[Standing] | None, publication: Publication) -> None:
        """Puts it in force over what was read before. Raises Failure(CONFLICT) when somebody else was quicker."""
        history = before.value.publications if before is not None else ()
        standing = Standing((*history, publication)[-HISTORY_MAX:])
        try:
            if before is None:
                await self._pointer.create(CURRENT, standing)
            else:
                await self._pointer.update(CURRENT, standing, before.revision)
        except Failure as failure:
            if failure.code is not Code.CONFLICT:
                raise
            raise Failure(
                Code.CONFLICT, "somebody else published meanwhile: look at what is in force, then publish again"
            ) from failure

    async def keep(self, version: str, files: dict[str, str]) -> None:
        """Keeps a version that is not kept yet, or that has been damaged."""
        try:
            await self.sources(version)
        except (Failure, BundleRefused):
            await self._versions.put(version, Sources(files))

    async def sources(self, version: str) -> dict[str, str]:
        """The files of a version. Raises Failure(NOT_FOUND), and BundleRefused when they are not what was published."""
        try:
            entry = await self._versions.get(version)
        except Failure as failure:
            if failure.code is Code.INTERNAL:
                raise BundleRefused([f"what is stored of version {version[:12]} cannot be read"]) from failure
            raise
        if entry is None:
            raise Failure(Code.NOT_FOUND, f"there is no version {version[:64]}", param="version")
        if version_of(entry.value.files) != version:
            raise BundleRefused([f"what is stored of version {version[:12]} is not what was published"])
        return entry.value.files

    async def find(self, named: str) -> str:
        """The whole digest of a version that is named by its first characters. Raises Failure NOT_FOUND, INVALID."""
        if not VERSION_LENGTH_MIN <= len(named) <= 64 or not set(named) <= set("0123456789abcdef"):
            raise Failure(
                Code.INVALID, f"name a version by {VERSION_LENGTH_MIN} or more of its characters", param="version"
            )
        if len(named) == 64:
            return named
        found = [key for key in await self._versions.keys() if key.startswith(named)]
        if len(found) != 1:
            what = "no version" if not found else "more than one version"
            raise Failure(Code.NOT_FOUND, f"there is {what} that begins with {named}", param="version")
        return found[0]
