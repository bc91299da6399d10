"""The models file while somebody is writing it."""

from pathlib import Path

from penstock.kit.clock import SystemClock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.router.attempts.board import Board
from services.router.choosing.health import BreakerRules
from services.router.models.current import Models
from services.router.models.made_up import LocalModels

FILE = """
deployments:
  one: {{model: m, base_url: "http://127.0.0.1:1/v1", price: free}}
aliases:
  {alias}: [one]
default: {{chat: {alias}}}
"""


def made(path: Path, lines: list[str]) -> Models:
    board = Board(BreakerRules(), lambda: 0.0, Metrics())
    return Models(path, path.parent / "prompts", LocalModels(), {}, SystemClock(), board, Log(lines.append))


async def test_a_file_written_in_pieces_is_neither_refused_nor_taken_half(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(FILE.format(alias="chat"))
    lines: list[str] = []
    models = made(file, lines)
    with file.open("w") as writing:
        for piece in ("", *FILE.format(alias="fresh").splitlines(keepends=True)):
            writing.write(piece)
            writing.flush()
            await models.refresh()
            assert list(models.current.aliases) == ["chat"]
    await models.refresh()
    await models.refresh()

    assert list(models.current.aliases) == ["fresh"]
    assert not [line for line in lines if "refused" in line]


async def test_a_file_that_stays_wrong_is_refused_once(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(FILE.format(alias="chat"))
    lines: list[str] = []
    models = made(file, lines)
    file.write_text("")
    for _ in range(4):
        await models.refresh()

    assert len([line for line in lines if "refused" in line]) == 1
    file.write_text(FILE.format(alias="chat"))
    await models.refresh()
    await models.refresh()
    file.write_text("")
    for _ in range(4):
        await models.refresh()
    assert len([line for line in lines if "refused" in line]) == 2
