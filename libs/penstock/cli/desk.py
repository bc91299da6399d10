"""What every command has at hand: its arguments, the screen, the data folder, a connection when it asks for one."""

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from penstock.cli.exits import Exit
from penstock.cli.screen import Screen
from penstock.client import Penstock, Profile, find_profile
from penstock.contracts.errors import Failure
from penstock.local.layout import Layout, find_layout
from penstock.local.state import State, read_state

Run = Callable[["Desk", argparse.Namespace], Awaitable[Exit]]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class UsageError(Exception):
    """The command was written wrongly; the message says how to write it."""


@dataclass(frozen=True)
class Desk:
    """`environment` is the process's; nothing else reads it."""

    screen: Screen
    environment: Mapping[str, str]
    here: Path
    home: Path

    @property
    def layout(self) -> Layout:
        return find_layout(self.environment, self.here, self.home)

    @property
    def state(self) -> State | None:
        """Of the plane that runs from the data folder."""
        return read_state(self.layout.root)

    def profile(self) -> Profile:
        """Raises ProfileError."""
        return find_profile(self.environment, self.here, self.home)

    @asynccontextmanager
    async def plane(self) -> AsyncIterator[Penstock]:
        """Connected as the profile's tenant. Raises Failure, ProfileError."""
        profile = self.profile()
        try:
            plane = await Penstock.connect(
                profile.url,
                tenant=profile.tenant,
                seed_file=profile.seed_file,
                api_key=profile.key(),
                ca_file=profile.ca_file,
            )
        except Failure as failure:
            failure.detail += self._advice()
            raise
        async with plane:
            yield plane

    def _advice(self) -> str:
        if self.state is None:
            return f". No plane runs from {self.layout.root}: start one with `penstock up`, or set PENSTOCK_URL"
        return ". `penstock doctor` looks for the reason"
