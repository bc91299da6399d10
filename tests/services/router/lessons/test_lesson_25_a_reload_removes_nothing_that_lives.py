"""The models file is swapped whole: no edit leaves a moment without deployments, what was deleted is used no more."""

import asyncio

import pytest

from penstock.contracts.errors import Code, Failure
from tests.services.router.conftest import Plane
from tests.support.eventually import eventually
from tests.support.model_server import hang, plain


async def test_edits_of_a_parameter_leave_no_moment_without_a_deployment(plane: Plane) -> None:
    plane.server.script(plain())
    async with plane.router():
        over = asyncio.Event()

        async def asks() -> int:
            answered = 0
            while not over.is_set():
                await plane.complete()
                answered += 1
            return answered

        asking = asyncio.create_task(asks())
        for edit in range(10):
            plane.deployments["one"]["concurrency_max"] = 10 + edit
            plane.rewrite()

            async def taken(edit: int = edit) -> None:
                loads = {line for line in plane.lines if "models" in line and "version" in line}
                assert len(loads) > edit + 1

            await eventually(taken)
        over.set()
        assert await asking > 0


async def test_a_key_that_was_deleted_is_shown_no_more(plane: Plane) -> None:
    for name in ("old", "new"):
        (plane.folder / name).write_text(f"sk-{name}\n", encoding="utf-8")
    plane.deploy("keyed", "single", keys=["file:old", "file:new"])
    async with plane.router():
        for _ in range(2):
            await plane.complete("keyed")
        plane.deployments["single"]["keys"] = ["file:new"]
        (plane.folder / "old").unlink()
        plane.rewrite()

        async def swapped() -> None:
            plane.server.received.clear()
            for _ in range(3):
                await plane.complete("keyed")
            assert {request.headers["authorization"] for request in plane.server.received} == {"Bearer sk-new"}

        await eventually(swapped)


async def test_a_key_file_that_changes_changes_the_key(plane: Plane) -> None:
    (plane.folder / "key").write_text("sk-first\n", encoding="utf-8")
    plane.deploy("keyed", "single", key="file:key")
    async with plane.router():
        await plane.complete("keyed")
        (plane.folder / "key").write_text("sk-second\n", encoding="utf-8")

        async def swapped() -> None:
            await plane.complete("keyed")
            assert plane.server.received[-1].headers["authorization"] == "Bearer sk-second"

        await eventually(swapped)
    assert plane.server.received[0].headers["authorization"] == "Bearer sk-first"


async def test_a_request_under_way_ends_on_the_file_it_began_with(plane: Plane) -> None:
    plane.deploy("work", "gone")
    plane.server.script(hang(), model="gone")
    async with plane.router():
        call = asyncio.create_task(plane.complete("work"))

        async def under_way() -> None:
            assert plane.server.under_way == 1

        await eventually(under_way)
        del plane.deployments["gone"]
        plane.deploy("work", "fresh")
        plane.rewrite()

        async def swapped() -> None:
            assert len({line for line in plane.lines if "models" in line and "version" in line}) == 2

        await eventually(swapped)
        assert (await plane.complete("work")).served.deployment == "fresh"
        assert not call.done()
        assert plane.server.under_way == 1
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


async def test_a_file_with_one_mistake_changes_nothing_at_all(plane: Plane) -> None:
    async with plane.router():
        plane.deploy("fresh", "three")
        plane.aliases["ruled"] = {"deployments": ["one"], "rules": [{"when": "1 == 2", "use": ["two"]}]}
        plane.rewrite()

        async def refused() -> None:
            assert [line for line in plane.lines if "can match nothing" in line]

        await eventually(refused)
        with pytest.raises(Failure) as caught:
            await plane.complete("fresh")
        assert caught.value.code is Code.NOT_FOUND
        assert (await plane.complete()).served.deployment == "one"


async def test_a_star_is_a_name_as_any_other_and_catches_nothing(plane: Plane) -> None:
    plane.deploy("*", "three")
    plane.deploy("gpt-*", "four")
    async with plane.router():
        for name in ("anything", "gpt-9", "openai/gpt-9"):
            with pytest.raises(Failure) as caught:
                await plane.complete(name)
            assert caught.value.code is Code.NOT_FOUND
        assert (await plane.complete("*")).served.deployment == "three"
