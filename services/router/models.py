"""The catalogue in use: loaded at start, loaded again when its files change, kept as it was when the new one is bad."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from penstock.contracts.errors import Code, Failure
from penstock.kit.clock import Clock
from penstock.kit.log import Log
from penstock.kit.watched import Changes, stamp
from services.router.board import Board
from services.router.catalogue import Alias, Catalogue
from services.router.deployment import CHAT, EMBEDDINGS, Kind
from services.router.made_up import LocalModels, models_file
from services.router.models_file import BadModelsFile, build, load


class Models:
    """`current` is replaced whole, never changed: whoever took it keeps a consistent one."""

    def __init__(
        self, path: Path | None, local: LocalModels, env: Mapping[str, str], clock: Clock, board: Board, log: Log
    ) -> None:
        self._path = path
        self._local = local
        self._env = env
        self._clock = clock
        self._board = board
        self._log = log
        self._said = ""
        self._changes = Changes()
        self.current = self._read()
        self._say()

    def named(self, name: str, kind: Kind) -> Alias:
        """The alias `name`, or the default of its kind. Raises Failure(NOT_FOUND, INVALID)."""
        catalogue = self.current
        default = catalogue.default_chat if kind == CHAT else catalogue.default_embed if kind == EMBEDDINGS else ""
        if not name and not default:
            raise Failure(Code.INVALID, "name a model: there is no default", param="model")
        return catalogue.find(name or default)

    async def watch(self, every_s: float) -> None:
        """For ever, where there is a file. Reading it is the check: its content counts, keys and scripts too."""
        while self._path is not None:
            await self._clock.sleep(every_s)
            await self.refresh()

    async def refresh(self) -> None:
        """Takes what the files say, or says once why not; either when two looks in succession found the same."""
        seen = await asyncio.to_thread(stamp, self._path) if self._path else "made up"
        try:
            fresh = await asyncio.to_thread(self._read)
        except BadModelsFile as error:
            if self._changes.settled(f"{seen} {error}") and str(error) != self._said:
                self._said = str(error)
                self._log.error("models file refused, the one before stays", why=str(error))
            return
        if not self._changes.settled(f"{seen} {fresh.version}"):
            return
        self._said = ""
        if fresh.version != self.current.version:
            self.current = fresh
            self._board.keep({each.id for alias in fresh.aliases.values() for each in alias.deployments})
            self._say()

    def _read(self) -> Catalogue:
        at = datetime.fromtimestamp(self._clock.now(), UTC)
        if self._path is not None:
            return load(self._path, self._env, at)
        return build(models_file(self._env, self._local), self._env, Path(), at)

    def _say(self) -> None:
        unpriced = {each.name for alias in self.current.aliases.values() for each in alias.everyone() if not each.rates}
        self._log.info(
            "models",
            version=self.current.version,
            aliases=sorted(self.current.aliases),
            price_unknown=sorted(unpriced),
        )
