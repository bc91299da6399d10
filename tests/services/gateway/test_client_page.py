"""The programs that the page on clients shows do what it says."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.services.gateway import samples
from tests.services.gateway.conftest import ScriptedEdge

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "use-your-own-client.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:8080"


async def said(edge: ScriptedEdge, program: str) -> str:
    """What the program prints when this edge is at the address that the page names."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program.replace(ADDRESS, edge.url)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PENSTOCK_KEY": edge.key},
    )
    out, errors = await running.communicate()
    assert running.returncode == 0, errors.decode()
    return out.decode()


def test_there_is_a_program_for_every_protocol() -> None:
    assert [re.findall(r"^(?:from|import) (openai|anthropic|google)", text, re.MULTILINE) for text in PROGRAMS] == [
        ["openai"],
        ["openai"],
        ["anthropic"],
        ["google", "google"],
    ]


async def test_the_openai_programs(edge: ScriptedEdge) -> None:
    edge.router.vectors = [[0.5, -1.0], [0.25, 3.0]]
    edge.router.bodies = [samples.CHAT, samples.RESPONSE, samples.CHAT]
    assert await said(edge, PROGRAMS[0]) == "Hello!\nHello!\n2\n"
    assert await said(edge, PROGRAMS[1]) == "first 0.000048000\nHello!\n"
    assert (edge.router.completion.session, edge.router.completion.labels) == ("conversation-7", {"team": "north"})


@pytest.mark.parametrize(("program", "frames"), [(2, samples.MESSAGE_FRAMES), (3, samples.GEMINI_FRAMES)])
async def test_the_programs_that_stream(edge: ScriptedEdge, program: int, frames: list[bytes]) -> None:
    edge.router.frames = frames
    assert await said(edge, PROGRAMS[program]) == "Hello!"
