"""The tools of this executor, from its tools file: replaced whole when the file changes, kept when it is bad."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import Fact
from penstock.contracts.tools import ToolSpec
from penstock.kit.limit import Limit
from penstock.kit.log import Log
from penstock.kit.watched import Changes, stamp
from services.tool_executor.check import ArgumentCheck
from services.tool_executor.mapping import FactMapping
from services.tool_executor.runner import Runner
from services.tool_executor.toolsfile import BadToolsFile, ToolEntry, parse

Maker = Callable[[ToolEntry, Path], Runner]
"""Makes the runner of an entry; the path is the tools file's folder. Raises BadToolsFile."""


class Tool:
    """One tool, ready for calls."""

    def __init__(self, entry: ToolEntry, runner: Runner, waiting_max: int, wait_s: float) -> None:
        self.entry = entry
        self.runner = runner
        self.check = ArgumentCheck(entry.parameters)
        self.mapping = FactMapping(entry.facts)
        self.places = Limit(f"tool {entry.name}", entry.concurrency_max, waiting_max=waiting_max, wait_s=wait_s)
        self.spec = ToolSpec(
            entry.name,
            entry.description,
            msgspec.Raw(msgspec.json.encode(entry.parameters)),
            entry.effect,
            entry.kind,
            entry.labels,
        )

    @property
    def properties(self) -> dict[str, Fact]:
        """What policy may know of the tool itself."""
        return {"kind": self.entry.kind, "effect": self.entry.effect, "labels": list(self.entry.labels)}

    @property
    def idle(self) -> bool:
        return not self.places.in_flight and not self.places.waiting


class Registry:
    """`refresh` reads the file when it has changed. Calls under way end with the tool they began with."""

    def __init__(self, file: Path, make: Maker, *, waiting_max: int = 64, wait_s: float = 5.0) -> None:
        self._file = file
        self._make = make
        self._waiting_max = waiting_max
        self._wait_s = wait_s
        self._tools: dict[str, Tool] = {}
        self._retired: list[Tool] = []
        self._changes = Changes()

    def get(self, name: str) -> Tool | None:
        return self._tools.get(name)

    def all(self) -> list[Tool]:
        """Sorted by name."""
        return list(self._tools.values())

    async def load(self) -> None:
        """For the start: raises Failure(INVALID) for a bad file. A missing one is no tools."""
        seen = await asyncio.to_thread(self._look)
        if not seen:
            return
        self._changes = Changes(seen)
        try:
            self._replace(await asyncio.to_thread(self._read))
        except BadToolsFile as bad:
            raise Failure(Code.INVALID, str(bad)) from None

    async def keep_fresh(self, every_s: float, log: Log) -> None:
        """Looks at the file for ever."""
        while True:
            await asyncio.sleep(every_s)
            try:
                if await self.refresh():
                    log.info("tools replaced", count=len(self._tools))
            except BadToolsFile as bad:
                log.error("tools file refused, the old tools stay", why=str(bad))

    async def refresh(self) -> bool:
        """Whether the tools were replaced. A change is taken over at the second look that finds it, so that nobody
        reads what is half written; a missing file is no change.

        Raises BadToolsFile, once for a change, with a sentence that says what to write; then the tools are what they
        were.
        """
        await self._close_retired()
        seen = await asyncio.to_thread(self._look)
        if not seen or not self._changes.settled(seen):
            return False
        try:
            tools = await asyncio.to_thread(self._read)
        except BadToolsFile:
            if self._moved(seen):
                return False
            raise
        if self._moved(seen):
            return False
        self._replace(tools)
        return True

    def _moved(self, seen: str) -> bool:
        """Whether somebody wrote while it was read: then nothing is made of it."""
        if self._look() == seen:
            return False
        self._changes.forget()
        return True

    def _replace(self, tools: dict[str, Tool]) -> None:
        self._retired += [tool for tool in self._tools.values() if tools.get(tool.entry.name) is not tool]
        self._tools = tools

    async def close(self) -> None:
        for tool in [*self._tools.values(), *self._retired]:
            await tool.runner.close()

    async def _close_retired(self) -> None:
        idle = [tool for tool in self._retired if tool.idle]
        self._retired = [tool for tool in self._retired if not tool.idle]
        for tool in idle:
            await tool.runner.close()

    def _look(self) -> str:
        return stamp(self._file) if self._file.exists() else ""

    def _read(self) -> dict[str, Tool]:
        try:
            text = self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadToolsFile(f"{self._file} cannot be read: {error}") from None
        try:
            return {entry.name: self._tool(entry) for entry in parse(text)}
        except BadToolsFile as bad:
            raise BadToolsFile(f"{self._file}: {bad}") from None

    def _tool(self, entry: ToolEntry) -> Tool:
        """An entry that did not change keeps its tool, with its connections and its places."""
        known = self._tools.get(entry.name)
        if known is not None and known.entry == entry:
            return known
        try:
            return Tool(entry, self._make(entry, self._file.parent), self._waiting_max, self._wait_s)
        except BadToolsFile as bad:
            raise BadToolsFile(f"tool {entry.name!r}: {bad}") from None
