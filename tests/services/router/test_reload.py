"""The models file is taken anew when it changes: whole, or not at all."""

import asyncio

import pytest

from penstock.contracts.errors import Code, Failure
from tests.services.router.conftest import Plane
from tests.support.eventually import eventually
from tests.support.model_server import chunk, events, plain


async def test_a_changed_file_is_in_use_soon_without_a_restart(plane: Plane) -> None:
    async with plane.router():
        assert (await plane.complete()).served.deployment == "one"
        plane.aliases["chat"] = ["two", "one"]
        plane.rewrite()

        async def swapped() -> None:
            assert (await plane.complete()).served.deployment == "two"

        await eventually(swapped)


async def test_a_bad_file_is_refused_whole_said_once_and_mended_later(plane: Plane) -> None:
    async with plane.router():
        plane.aliases["fresh"] = ["one"]
        plane.aliases["broken"] = ["nowhere"]
        plane.rewrite()

        def refusals() -> list[str]:
            return [line for line in plane.lines if "models file refused" in line]

        async def refused() -> None:
            assert refusals()

        await eventually(refused)
        assert "alias broken lists nowhere, which is not under deployments" in refusals()[0]
        assert (await plane.complete()).served.deployment == "one"
        with pytest.raises(Failure) as caught:
            await plane.complete("fresh")
        assert caught.value.code is Code.NOT_FOUND
        del plane.aliases["broken"]
        plane.rewrite()

        async def mended() -> None:
            try:
                await plane.complete("fresh")
            except Failure as failure:
                raise AssertionError("not yet") from failure

        await eventually(mended)
        assert len(refusals()) == 1


async def test_a_stream_ends_on_the_file_it_began_with(plane: Plane) -> None:
    pieces = [chunk({"content": "x"}) for _ in range(20)]
    plane.server.script(events(*pieces, chunk({}, "stop"), b"data: [DONE]\n\n", pause_s=0.02), model="one")
    async with plane.router():
        reading = asyncio.create_task(plane.stream())

        async def under_way() -> None:
            assert plane.server.under_way == 1

        await eventually(under_way)
        plane.deploy("chat", "three")
        del plane.deployments["one"], plane.deployments["two"]
        plane.server.script(plain("new"), model="three")
        plane.rewrite()

        async def swapped() -> None:
            assert (await plane.complete()).served.deployment == "three"

        await eventually(swapped)
        seen = await reading
    assert seen.end is not None
    assert seen.end.served.deployment == "one"
    assert seen.text.count(b'"content":"x"') == 20


async def test_a_start_with_a_bad_file_is_refused_with_the_sentence(plane: Plane) -> None:
    plane.aliases["broken"] = []
    with pytest.raises(Failure) as caught:
        async with plane.router():
            pass
    assert caught.value.code is Code.INVALID
    assert caught.value.detail == "alias broken lists no deployment: list one, or remove the alias"
