"""Stored responses over the bus: their owner's, decided and recorded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import ResponseDeleted, ResponseRef
from penstock.contracts.services import ROUTER
from penstock.contracts.subjects import LLM_RESPONSE_DELETE, LLM_RESPONSE_GET
from penstock.kit.log import Log
from penstock.kit.service import Parts, Service, answer, running
from penstock.kit.store import Store
from services.router.config import Config
from services.router.protocols.openai_responses.body import read_body
from services.router.responses.desk import ResponsesDesk
from services.router.responses.state import ResponsesState, StateLimits
from tests.services.router.conftest import Plane

RESPONSE = b'{"id":"resp_1","object":"response","output":[]}'


@asynccontextmanager
async def desk(plane: Plane, *, stored: bool = True) -> AsyncIterator[None]:
    """With one response of alice's, unless nothing is stored."""
    store = Store(plane.valkey.url)

    @asynccontextmanager
    async def build(config: Config, parts: Parts) -> AsyncIterator[Service]:
        state = ResponsesState(store, parts.clock, StateLimits())
        asked = read_body(b'{"model":"chat","input":"Hi"}')
        for subject in ("user:alice", "user:bob"):
            id = b"resp_1" if subject == "user:alice" else b"resp_2"
            await state.save("acme", subject, asked, RESPONSE.replace(b"resp_1", id), "openai")
        made = ResponsesDesk(state if stored else None, parts.boundary, parts.identities)
        yield Service(
            ROUTER,
            [
                answer(LLM_RESPONSE_GET, made.get, in_flight_max=4),
                answer(LLM_RESPONSE_DELETE, made.delete, in_flight_max=4),
            ],
        )

    async with running(build, plane.config, "router", log=Log(plane.lines.append)):
        yield
    await store.close()


async def refused(plane: Plane, id: str) -> Failure:
    with pytest.raises(Failure) as caught:
        await plane.bus.call(LLM_RESPONSE_GET, ResponseRef(id), plane.meta())
    return caught.value


async def test_a_stored_response_is_read_and_deleted_by_its_owner(plane: Plane) -> None:
    async with desk(plane):
        found = await plane.bus.call(LLM_RESPONSE_GET, ResponseRef("resp_1"), plane.meta())
        assert msgspec.json.decode(found.body) == msgspec.json.decode(RESPONSE)
        gone = await plane.bus.call(LLM_RESPONSE_DELETE, ResponseRef("resp_1"), plane.meta())
        assert gone == ResponseDeleted("resp_1")
        failure = await refused(plane, "resp_1")
        assert (failure.code, failure.detail) == (Code.NOT_FOUND, "Response with id 'resp_1' not found.")
        assert [decision.action for decision in await plane.decisions()] == [
            "context.session",
            "context.forget",
            "context.session",
        ]
        await plane.outcomes(3)


async def test_somebody_elses_response_is_not_there(plane: Plane) -> None:
    async with desk(plane):
        assert (await refused(plane, "resp_2")).detail == "Response with id 'resp_2' not found."


async def test_ids_that_are_none_and_a_router_without_a_store_are_refused(plane: Plane) -> None:
    async with desk(plane):
        for id in ("", "x" * 201):
            assert (await refused(plane, id)).code is Code.INVALID
    async with desk(plane, stored=False):
        assert (await refused(plane, "resp_1")).code is Code.NOT_FOUND
