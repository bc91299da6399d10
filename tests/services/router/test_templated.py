"""Prompt templates, named in a request, over the bus."""

from pathlib import Path

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Completion, CompletionRequest, Template
from penstock.contracts.subjects import LLM_COMPLETE
from tests.services.router.conftest import Plane
from tests.support.eventually import eventually

GREETING = """
current: "1"
versions:
  "1":
    messages: [{role: system, content: "Greet {{ name }}."}]
    variables: {name: {type: string}}
"""


@pytest.fixture
def prompts(plane: Plane) -> Path:
    folder = plane.folder / "prompts"
    folder.mkdir()
    (folder / "greeting.yaml").write_text(GREETING)
    return folder


async def ask(plane: Plane, version: str = "", **variables: object) -> Completion:
    body = msgspec.Raw(b'{"messages":[{"role":"user","content":"Say hello."}],"temperature":0.5,"x_mine":[1]}')
    values = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in variables.items()}
    request = CompletionRequest("chat", body, prompt=Template("greeting", version, values))
    return await plane.bus.call(LLM_COMPLETE, request, plane.meta())


async def test_its_messages_come_first_and_its_version_is_in_the_record(plane: Plane, prompts: Path) -> None:
    async with plane.router():
        await ask(plane, name="Alice")
        (outcome,) = await plane.outcomes(1)
    (request,) = plane.server.received
    assert request.fields["messages"] == [
        {"role": "system", "content": "Greet Alice."},
        {"role": "user", "content": "Say hello."},
    ]
    assert (request.fields["temperature"], request.fields["x_mine"]) == (0.5, [1])
    assert outcome.template == "greeting@1"


async def test_what_does_not_fit_is_refused_before_anybody_is_asked(plane: Plane, prompts: Path) -> None:
    async with plane.router():
        for version, name, code in [("", 3, Code.INVALID), ("9", "Alice", Code.NOT_FOUND)]:
            with pytest.raises(Failure) as caught:
                await ask(plane, version, name=name)
            assert caught.value.code is code
    assert plane.server.received == []


async def test_an_edited_template_is_in_use_soon_and_a_bad_one_never(plane: Plane, prompts: Path) -> None:
    async with plane.router():
        await ask(plane, name="Alice")
        (prompts / "greeting.yaml").write_text(GREETING.replace("Greet", "Welcome"))

        async def welcomed() -> None:
            await ask(plane, name="Bob")
            assert "Welcome Bob." in str(plane.server.received[-1].fields["messages"])

        await eventually(welcomed)
        (prompts / "greeting.yaml").write_text(GREETING.replace("{{ name }}", "{{ nobody }}"))

        async def said() -> None:
            assert any("uses nobody, which is not under its variables" in line for line in plane.lines)

        await eventually(said)
        await ask(plane, name="Carol")
    assert "Welcome Carol." in str(plane.server.received[-1].fields["messages"])
