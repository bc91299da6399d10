"""Keeps the agents as their file says, and reads it anew when it changes. A file that is wrong changes nothing."""

import asyncio
import hashlib
from pathlib import Path

from penstock.contracts.errors import Failure
from penstock.kit.clock import Clock
from penstock.kit.config import read_file
from penstock.kit.log import Log
from penstock.kit.watched import Changes
from services.orchestrator.agents import Agents, read_agents
from services.orchestrator.config import Config

DEFAULT_NAME = "agents.yaml"
NO_AGENTS = b"agents: []"


class AgentsWatch:
    """`load` once at the start, then `watch` beside the service."""

    def __init__(self, agents: Agents, config: Config, clock: Clock, log: Log) -> None:
        self._agents = agents
        self._optional = not config.agents_file
        self._path = Path(config.agents_file or Path(config.config_dir) / DEFAULT_NAME)
        self._clock = clock
        self._log = log
        self._max_bytes = config.agents_file_max_bytes
        self._check_every_s = config.agents_check_every_s
        self._changes = Changes()

    async def load(self) -> None:
        """Raises Failure(INVALID) with a sentence when the file cannot be used."""
        text = await asyncio.to_thread(self._read)
        self._agents.replace(read_agents(text))
        self._changes = Changes(_digest(text))

    async def watch(self) -> None:
        """For ever. A change is taken over, or said once to be wrong, at the second look that finds it."""
        while True:
            await self._clock.sleep(self._check_every_s)
            await self.look()

    async def look(self) -> None:
        """One look."""
        try:
            text = await asyncio.to_thread(self._read)
        except Failure as failure:
            if self._changes.settled(f"no text: {failure.detail}"):
                self._refused(failure)
            return
        if not self._changes.settled(_digest(text)):
            return
        try:
            self._agents.replace(read_agents(text))
        except Failure as failure:
            self._refused(failure)
        else:
            self._log.info("agents read anew", file=str(self._path))

    def _refused(self, failure: Failure) -> None:
        self._log.warning("the agents file is not used", why=failure.detail)

    def _read(self) -> bytes:
        if self._optional and not self._path.exists():
            return NO_AGENTS
        return read_file(str(self._path), "the agents file", self._max_bytes)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
