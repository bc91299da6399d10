"""The catalogue in use: loaded at start, loaded again when its files change, kept as it was when the new one is bad."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.kit.clock import Clock
from penstock.kit.log import Log
from penstock.kit.watched import Changes, stamp
from services.router.attempts.board import Board
from services.router.models.catalogue import Alias, Catalogue
from services.router.models.deployment import CHAT, EMBEDDINGS, Kind
from services.router.models.file import BadModelsFile, build, load
from services.router.models.made_up import LocalModels, models_file
from services.router.templates.shelf import load as load_templates


class Models:
    """`current` is replaced whole, never changed: whoever took it keeps a consistent one."""

    def __init__(
        self,
        path: Path | None,
        prompts: Path,
        local: LocalModels,
        env: Mapping[str, str],
        clock: Clock,
        board: Board,
        log: Log,
    ) -> None:
        """`path`: the models file, None to make one up; `prompts`: the folder of templates, which need not be there."""
        self._prompts = prompts
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
        """For ever. Reading the files is the check: their content counts, keys and scripts too."""
        while True:
            await self._clock.sleep(every_s)
            await self.refresh()

    async def refresh(self) -> None:
        """Takes what the files say, or says once why not; either when two looks in succession found the same."""
        seen = await asyncio.to_thread(self._stamp)
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
            catalogue = load(self._path, self._env, at)
        else:
            catalogue = build(models_file(self._env, self._local), self._env, Path(), at)
        templates = load_templates(self._prompts)
        version = f"{catalogue.version}-{templates.digest[:8]}" if templates.by_name else catalogue.version
        return msgspec.structs.replace(catalogue, templates=templates, version=version)

    def _stamp(self) -> str:
        return f"{stamp(self._path) if self._path else 'made up'} {stamp(self._prompts)}"

    def _say(self) -> None:
        unpriced = {each.name for alias in self.current.aliases.values() for each in alias.everyone() if not each.rates}
        self._log.info(
            "models",
            version=self.current.version,
            aliases=sorted(self.current.aliases),
            prompts=sorted(self.current.templates.by_name),
            price_unknown=sorted(unpriced),
        )
