"""The registry: replaced whole, kept when the new file is bad."""

import os
from pathlib import Path

import pytest

from penstock.contracts.errors import Failure
from services.tool_executor.credentials import Credentials
from services.tool_executor.http import HttpRunner
from services.tool_executor.registry import Registry
from services.tool_executor.toolsfile import BadToolsFile, ToolEntry

TOOL = """
  - name: {name}
    description: {description}
    kind: http
    http: {{url: "https://api.example.com/"}}
"""


def make(entry: ToolEntry, folder: Path) -> HttpRunner:
    return HttpRunner(entry, Credentials({}))


def write(file: Path, *names: str, description: str = "d") -> None:
    beside = file.with_suffix(".new")
    beside.write_text("tools:" + "".join(TOOL.format(name=name, description=description) for name in names))
    os.replace(beside, file)


async def test_a_missing_file_is_no_tools_until_it_comes(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "tools.yaml", make)
    assert not await registry.refresh()
    assert registry.all() == []
    write(tmp_path / "tools.yaml", "b", "a")
    assert [await registry.refresh() for _ in range(3)] == [False, True, False]
    assert [tool.entry.name for tool in registry.all()] == ["a", "b"]
    assert not await registry.refresh()


async def test_a_changed_file_replaces_the_tools_and_keeps_those_that_did_not_change(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "tools.yaml", make)
    write(tmp_path / "tools.yaml", "a", "b")
    await registry.load()
    kept = registry.get("a")
    write(tmp_path / "tools.yaml", "a", "c")
    assert [await registry.refresh() for _ in range(2)] == [False, True]
    assert registry.get("a") is kept
    assert registry.get("b") is None
    assert registry.get("c") is not None


async def test_a_bad_file_is_refused_whole_and_said_once(tmp_path: Path) -> None:
    file = tmp_path / "tools.yaml"
    registry = Registry(file, make)
    write(file, "a")
    await registry.load()
    write(file, "b", "c", description="''")
    assert not await registry.refresh()
    with pytest.raises(BadToolsFile, match=r"tools\.yaml: tool 'b': description is empty"):
        await registry.refresh()
    assert [tool.entry.name for tool in registry.all()] == ["a"]
    assert not await registry.refresh()


async def test_a_bad_setting_is_said_with_file_and_tool(tmp_path: Path) -> None:
    file = tmp_path / "tools.yaml"
    file.write_text("tools:\n  - {name: a, description: d, kind: http, http: {url: 'http://169.254.169.254/'}}\n")
    with pytest.raises(Failure, match=r"tools\.yaml: tool 'a': 169\.254\.169\.254 is at an address"):
        await Registry(file, make).load()


async def test_a_file_written_in_pieces_is_neither_refused_nor_taken_half(tmp_path: Path) -> None:
    file = tmp_path / "tools.yaml"
    registry = Registry(file, make)
    write(file, "a")
    await registry.load()
    with file.open("w") as writing:
        assert not await registry.refresh()
        for piece in ("tools:", TOOL.format(name="b", description="d"), TOOL.format(name="c", description="d")):
            writing.write(piece)
            writing.flush()
            assert not await registry.refresh()
            assert [tool.entry.name for tool in registry.all()] == ["a"]
    assert await registry.refresh()
    assert [tool.entry.name for tool in registry.all()] == ["b", "c"]


async def test_a_file_that_went_away_changes_nothing(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "tools.yaml", make)
    write(tmp_path / "tools.yaml", "a")
    await registry.load()
    (tmp_path / "tools.yaml").unlink()
    assert [await registry.refresh() for _ in range(3)] == [False, False, False]
    assert registry.get("a") is not None
