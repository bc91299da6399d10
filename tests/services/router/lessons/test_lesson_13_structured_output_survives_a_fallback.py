"""A target that cannot honour what was asked for is no candidate, unless the caller accepts the loss."""

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Completion
from penstock.contracts.subjects import LLM_COMPLETE
from tests.services.router.conftest import Plane, asking
from tests.support.model_server import base64_image, plain, status

SCHEMA = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "order", "strict": True, "schema": {"type": "object", "properties": {}}},
    }
}
TOOLS = {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}
IMAGES = {
    "messages": [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": base64_image(100)}}]},
    ]
}
WANTED = pytest.mark.parametrize(
    ("lacking", "fields", "reason"),
    [
        ({"schema": False}, SCHEMA, "keeps to no schema"),
        ({"tools": False}, TOOLS, "takes no tools"),
        ({"images": False}, IMAGES, "takes no images"),
    ],
    ids=["schema", "tools", "images"],
)


async def ask(plane: Plane, fields: dict[str, object], losses: str = "report") -> Completion:
    request = msgspec.structs.replace(asking("chat", **fields), losses=losses)
    return await plane.bus.call(LLM_COMPLETE, request, plane.meta())


@WANTED
async def test_who_cannot_honour_it_does_not_stand_in(
    plane: Plane, lacking: dict[str, object], fields: dict[str, object], reason: str
) -> None:
    plane.deployments["two"] |= lacking
    plane.server.script(status(500), model="one")
    async with plane.router(rounds_max=1):
        with pytest.raises(Failure) as caught:
            await ask(plane, fields)
    assert (caught.value.code, caught.value.detail) == (Code.UPSTREAM, "the provider answered with status 500")
    assert plane.server.asked("two") == 0


@WANTED
async def test_where_nobody_can_the_caller_is_told_so_and_nobody_is_asked(
    plane: Plane, lacking: dict[str, object], fields: dict[str, object], reason: str
) -> None:
    for model in ("one", "two"):
        plane.deployments[model] |= lacking
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await ask(plane, fields)
    assert caught.value.code is Code.INVALID
    assert caught.value.detail == f"no deployment of chat can do this (one: {reason}; two: {reason})"
    assert plane.server.received == []


@WANTED
async def test_a_caller_who_accepts_the_loss_gets_an_answer_all_the_same(
    plane: Plane, lacking: dict[str, object], fields: dict[str, object], reason: str
) -> None:
    plane.deployments["two"] |= lacking
    plane.server.script(status(500), model="one")
    plane.server.script(plain("prose"), model="two")
    async with plane.router(rounds_max=1):
        answer = await ask(plane, fields, "accept")
    assert answer.served.deployment == "two"
    assert answer.served.reason == f"{reason}, and the caller accepts that"
