"""The agents file while somebody is writing it."""

from pathlib import Path

from penstock.contracts.errors import Failure
from penstock.kit.clock import SystemClock
from penstock.kit.log import Log
from services.orchestrator.agents import Agents
from services.orchestrator.agents_watch import AgentsWatch
from services.orchestrator.config import Config

FILE = "agents:\n  - name: {name}\n    instructions: Help.\n"


async def watch(file: Path, agents: Agents, lines: list[str]) -> AgentsWatch:
    config = Config(agents_file=str(file), data_dir=str(file.parent))
    watch = AgentsWatch(agents, config, SystemClock(), Log(lines.append))
    await watch.load()
    return watch


def known(agents: Agents, name: str) -> bool:
    try:
        return agents.named(name).name == name
    except Failure:
        return False


async def test_a_file_written_in_pieces_is_neither_refused_nor_taken_half(tmp_path: Path) -> None:
    file, agents, lines = tmp_path / "agents.yaml", Agents(), list[str]()
    file.write_text(FILE.format(name="old"))
    watching = await watch(file, agents, lines)
    with file.open("w") as writing:
        for piece in ("", *(FILE.format(name="new") + FILE.format(name="newer")[8:]).splitlines(keepends=True)):
            writing.write(piece)
            writing.flush()
            await watching.look()
            assert (known(agents, "old"), known(agents, "new")) == (True, False)
    await watching.look()

    assert (known(agents, "old"), known(agents, "new"), known(agents, "newer")) == (False, True, True)
    assert [line for line in lines if "not used" in line] == []


async def test_a_file_that_stays_wrong_or_away_is_said_once_each(tmp_path: Path) -> None:
    file, agents, lines = tmp_path / "agents.yaml", Agents(), list[str]()
    file.write_text(FILE.format(name="old"))
    watching = await watch(file, agents, lines)
    file.write_text("")
    for _ in range(4):
        await watching.look()
    file.unlink()
    for _ in range(4):
        await watching.look()

    assert len([line for line in lines if "not used" in line]) == 2
    assert known(agents, "old")
