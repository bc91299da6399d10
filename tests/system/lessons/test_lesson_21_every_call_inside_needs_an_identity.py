"""The inventory of calls on the bus of a running plane: each asks for an identity before anything else, but for the
ones that give one."""

import json

import msgspec
from msgspec import inspect

from penstock.contracts import meta as names
from penstock.contracts.endpoint import TENANT_CLIENT, Call
from penstock.contracts.subjects import DEFAULT_POOL, ENDPOINTS
from tests.support.launched import TENANT, launched_plane

GIVE_ONE = {"TOKEN", "POLICY_AUTHENTICATE"}
"""They take an API key and give a token for it."""
AMONG_WORKERS = {"RUN_DELIVER"}
"""From one worker to the other, at a subject that only they may use: a nudge, with nothing in it that is believed."""
STORED = {"JOB_PUBLISH"}
"""Taken in unread, and refused where its sender sees it: tests/faults/test_hostile_messages.py."""
PLACES = {"tenant": TENANT, "pool": DEFAULT_POOL, "kind": "chat", "worker": "nobody"}


def least(kind: type[object]) -> bytes:
    """The smallest request of its type: what cannot be read is refused before it matters whose it is."""
    return msgspec.json.encode(_least(inspect.type_info(kind)))


def _least(kind: inspect.Type) -> object:
    match kind:
        case inspect.StructType():
            return {field.encode_name: _least(field.type) for field in kind.fields if field.required}
        case inspect.StrType():
            return "x"
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.IntType() | inspect.FloatType():
            return 1
        case inspect.ListType() | inspect.VarTupleType():
            return []
        case inspect.UnionType():
            return _least(kind.types[0])
    return {}


async def test_no_call_is_answered_without_an_identity() -> None:
    calls = {name: endpoint for name, endpoint in ENDPOINTS.items() if isinstance(endpoint, Call)}
    asked = set(calls) - GIVE_ONE - AMONG_WORKERS - STORED
    async with launched_plane({}) as plane:
        for name in sorted(asked):
            call = calls[name]
            caller = next(each for each in call.called_by if each != TENANT_CLIENT)
            async with plane.bus(caller) as bus:
                subject = call.asked_at(by_tenant=False).at(**PLACES)
                for token in ("", "no.such.token"):
                    headers = {names.TOKEN: token} if token else {}
                    reply = await bus.connection.request(subject, least(call.request), headers=headers, timeout_s=10)
                    assert names.ERROR_CODE in reply.headers, (name, token, reply.data[:200])
                    assert json.loads(reply.data)["code"] == "unauthenticated", (name, token, reply.data[:200])


def test_what_is_left_out_of_the_inventory_is_still_there() -> None:
    assert set(ENDPOINTS) >= GIVE_ONE | AMONG_WORKERS | STORED
